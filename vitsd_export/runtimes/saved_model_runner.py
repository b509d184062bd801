"""Runs SavedModel folders with TensorFlow."""

from pathlib import Path
from typing import Any

import numpy as np

from vitsd_export._internal.messages import first_line
from vitsd_export._internal.native_stderr import quiet_native_stderr
from vitsd_export._internal.tensorflow import import_tensorflow, set_tensorflow_threads
from vitsd_export.artifact.damage import unusable
from vitsd_export.artifact.saved_model_file import LOADER_ERRORS, SIGNATURE, read_manifest
from vitsd_export.artifact.tensor_info import TensorInfo
from vitsd_export.runtimes.base import DEFAULT_BATCH_SIZE, ImageRunner
from vitsd_export.runtimes.delegation import Delegation
from vitsd_export.runtimes.tensorflow_delegation import read_delegation


class SavedModelRunner(ImageRunner):
    """The signature `serving_default` of a SavedModel.

    TensorFlow's threads belong to the process (`tf.config.threading`), not to a model.
    """

    packages = ("tensorflow",)
    formats = ("saved_model",)

    @classmethod
    def prepare(cls, threads: int) -> None:
        """Imports TensorFlow and sets the process's threads."""
        set_tensorflow_threads(threads)

    @classmethod
    def open(cls, path: Path, *, threads: int | None, batch_size: int) -> "SavedModelRunner":
        """Opens a folder; the process's threads are those that `prepare` set."""
        return cls(path, batch_size=batch_size)

    def __init__(self, path: Path, *, batch_size: int = DEFAULT_BATCH_SIZE) -> None:
        tf = import_tensorflow()

        self._runtime_errors = (tf.errors.OpError, *LOADER_ERRORS)
        try:
            with quiet_native_stderr():
                loaded = tf.saved_model.load(str(path))
                signatures = dict(loaded.signatures)
        except self._runtime_errors as error:
            raise unusable(
                path,
                "it is incomplete, damaged or not a SavedModel that TensorFlow "
                f"{tf.__version__} can load ({first_line(error).rstrip('.')})",
            ) from error
        if SIGNATURE not in signatures:
            names = ", ".join(map(repr, signatures)) or "none"
            raise unusable(path, f"it has no signature {SIGNATURE!r} (it has {names})")
        function = signatures[SIGNATURE]
        super().__init__(
            name=f"tensorflow {tf.__version__}",
            path=path,
            manifest=read_manifest(path),
            inputs=_infos(function.structured_input_signature[1]),
            outputs=_infos(function.structured_outputs),
            batch_size=batch_size,
        )
        # The variables live as long as the object that was loaded.
        self._loaded = loaded
        self._folder = path
        self._function = function
        self._constant = tf.constant

    def _run_batch(self, pixels: np.ndarray) -> np.ndarray:
        tensor = self._constant(pixels.astype(self._input.dtype, copy=False))
        answers = self._function(**{self._input.name: tensor})[self._output.name]
        return np.asarray(answers.numpy(), np.float32)

    def delegation(self) -> Delegation | None:
        """Returns on what device TensorFlow ran the nodes, of the folder opened once more."""
        pixels = np.zeros((1, self.image_size, self.image_size, 3), np.uint8)
        with SavedModelRunner(self._folder) as again:
            return read_delegation(lambda: again.run(pixels))

    def _release(self) -> None:
        del self._loaded, self._function


def _infos(specs: dict[str, Any]) -> tuple[TensorInfo, ...]:
    return tuple(
        TensorInfo(name, spec.dtype.name, tuple(spec.shape) if spec.shape.rank is not None else ())
        for name, spec in specs.items()
    )
