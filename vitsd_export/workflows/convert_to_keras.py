"""Any source becomes a Keras 3 file."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from vitsd_export._internal.atomic_write import check_target, publish, staging
from vitsd_export._internal.damaged_files import reason
from vitsd_export._internal.tensorflow import quiet_converters, use_tensorflow
from vitsd_export.data.labels import default_labels, named_labels
from vitsd_export.data.sample import SAMPLE, choose_images
from vitsd_export.data.sources import load_images
from vitsd_export.errors import InputError, UsageError, VerificationError
from vitsd_export.sources.location import loading_step, locate
from vitsd_export.sources.options import LoadingOptions

# What is written is read again by the same Keras; nothing is rounded on the way.
_LARGEST_DIFFERENCE = 1e-5
_IMAGES = 64


@dataclasses.dataclass(frozen=True)
class Converted:
    """A Keras 3 file that was written.

    Attributes:
        path: Where it lies.
        form: What the source was.
        sha256: Digest of the file, hexadecimal.
        bytes: Its size.
        source: Provenance, as in the file's card.
        difference: Largest absolute difference between the answers of the source and of the file.
    """

    path: Path
    form: str
    sha256: str
    bytes: int
    source: dict[str, Any]
    difference: float

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values for JSON."""
        return {**dataclasses.asdict(self), "path": str(self.path)}


def convert_model(
    source: str | Path,
    output: Path,
    *,
    labels: str | Path | None = None,
    progress: Callable[[str], None] = lambda _: None,
    **options: Unpack[LoadingOptions],
) -> Converted:
    """Writes a trained model as a .keras file for inference, and checks that both give the same answers.

    Args:
        source: What `load_model` takes.
        output: The .keras file; replaced only once the new one is complete and checked.
        labels: As in `Export`.
        progress: Called with what is going on.
        **options: How the source is loaded.

    Raises:
        UsageError: If the output is no .keras file, or options contradict the source.
        InputError: If the source cannot be used, or is a bare graph, of which Keras cannot make layers.
        VerificationError: If the answers of the file and the source differ.
        EnvironmentProblem: If it cannot be written.
    """
    if output.suffix != ".keras":
        raise UsageError(f"{output} must end in .keras: Keras goes by the name.")
    check_target(output, folder=False)
    given = named_labels(labels) if labels else None
    progress(loading_step(source))
    location = locate(source)
    use_tensorflow()
    from vitsd_export.sources.checkpoint import load_model, write_archive

    loaded = load_model(location, **options)
    for note in loaded.notes:
        progress(f"about the model: {note}")
    if loaded.is_graph:
        raise InputError(
            f"{loaded.path} is a graph without layers, of which no Keras file can be made. Export it as it "
            "is: vitsd-export onnx, tflite or saved-model."
        )
    names = given or loaded.labels or default_labels(loaded.num_classes)
    if len(names) != loaded.num_classes:
        raise InputError(
            f"{labels} has {len(names)} labels; the model has {loaded.num_classes} classes."
        )
    origin = {"name": loaded.name, "sha256": loaded.sha256, **loaded.provenance}
    card = {**loaded.card, "labels": list(names), "converted_from": origin}
    chosen = choose_images(SAMPLE, names)
    images = load_images(chosen, split="test", size=loaded.image_size).images[:_IMAGES]
    with staging(output) as staged:
        progress(f"writing {output}")
        try:
            with quiet_converters():
                digest = write_archive(loaded.model, staged, card)
        except (NotImplementedError, TypeError) as error:
            raise InputError(
                f"{loaded.path} cannot be saved by Keras: {reason(error)}. Give its layers a get_config, or "
                "export it as it is: vitsd-export onnx, tflite or saved-model."
            ) from error
        # Its own layers are known by now.
        again = load_model(staged, custom_objects=options.get("custom_objects"), trust=True)
        difference = _difference(loaded.model, again.model, images)
        if not difference <= _LARGEST_DIFFERENCE:
            raise VerificationError(
                f"{output} was not written: read again, its answers differ from those of {loaded.path} (by "
                f"{difference:.2g}). A layer of the model does not save all that it needs."
            )
        size = staged.stat().st_size
        publish(staged, output)
    form = loaded.provenance["form"]
    return Converted(output, form, digest, size, origin, difference)


def _difference(source: Any, written: Any, images: np.ndarray) -> float:
    pixels = images.astype(np.float32)
    one, other = (np.asarray(model(pixels, training=False)) for model in (source, written))
    if np.array_equal(one, other, equal_nan=True):
        return 0.0
    return float(np.abs(one - other).max())
