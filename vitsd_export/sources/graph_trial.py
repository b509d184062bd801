"""Runs a SavedModel in a process of its own.

A graph that is damaged or made to harm can crash TensorFlow or never end, neither of which Python can
catch. What has run through here may be loaded.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from vitsd_export.errors import InputError

# Loading takes seconds, and minutes for models of a gigabyte.
LIMIT_SECONDS = 600.0


def try_graph(folder: Path, signature: str, images: np.ndarray) -> np.ndarray:
    """Returns what a signature with one input and one output answers to images of its own type.

    Args:
        folder: A SavedModel whose operators have been checked.
        signature: Name of the signature.
        images: Its input.

    Raises:
        InputError: If it cannot be loaded or run, crashes, or does not end.
    """
    with tempfile.TemporaryDirectory(prefix="vitsd-export-") as scratch:
        question, answer = Path(scratch) / "images.npy", Path(scratch) / "answers.npy"
        np.save(question, images)
        # With the modules of this process, and none that happens to lie in the current folder.
        command = [sys.executable, "-P", "-m", __name__, str(folder), signature, scratch]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        try:
            finished = subprocess.run(
                command,
                capture_output=True,
                text=True,
                errors="replace",
                env=environment,
                timeout=LIMIT_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise InputError(
                f"The SavedModel {folder} does not answer within {LIMIT_SECONDS:.0f} seconds; it may be "
                "damaged or made to run for ever. Save it again."
            ) from error
        if finished.returncode == 0 and answer.is_file():
            return np.asarray(np.load(answer, allow_pickle=False))
        # A number above 255 or below 0 stands for a signal.
        last = (finished.stderr.strip().splitlines() or ["no message"])[-1]
        how = "crashes TensorFlow" if finished.returncode not in (0, 1) else "cannot be run"
        raise InputError(
            f"The SavedModel {folder} {how}; it is incomplete, damaged, or made by a TensorFlow that this "
            f"one does not follow. Save or copy it again. Reason: {last[:300]}"
        )


def main() -> None:
    """Answers the images in a folder; TensorFlow's own message goes to standard error."""
    from vitsd_export._internal.tensorflow import import_tensorflow

    folder, signature, scratch = sys.argv[1:]
    tf = import_tensorflow()
    loaded = tf.saved_model.load(folder)
    function = loaded.signatures[signature]
    (name,) = function.structured_input_signature[1]
    images = np.load(Path(scratch) / "images.npy", allow_pickle=False)
    (answers,) = function(**{name: tf.constant(images)}).values()
    np.save(Path(scratch) / "answers.npy", answers.numpy())


if __name__ == "__main__":
    main()
