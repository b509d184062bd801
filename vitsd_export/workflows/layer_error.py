"""Which layers of an artifact lose most against the model it was made from."""

from collections.abc import Callable
from pathlib import Path

from vitsd_export._internal.tensorflow import use_tensorflow
from vitsd_export.data.sample import choose_images
from vitsd_export.data.sources import load_images
from vitsd_export.errors import InputError
from vitsd_export.measure.layer_error import Sensitivity, measure_sensitivity
from vitsd_export.measure.tensor_readers import READERS, GraphReader, TensorReader, open_reader
from vitsd_export.runtimes import open_runner
from vitsd_export.sources.location import locate

_ARTIFACTS = tuple(form.suffix for form in READERS)


def artifact_sensitivity(
    model: str | Path,
    artifact: Path,
    *,
    preset: str | None = None,
    data: str = "sample",
    data_dir: Path | None = None,
    samples: int = 128,
    progress: Callable[[str], None] = lambda _: None,
) -> Sensitivity:
    """Compares an artifact with its model, layer by layer.

    Args:
        model: What it was made from: bundled name, file, SavedModel folder, or address on the Hugging Face
            hub; or a float32 artifact of any model.
        artifact: ONNX or LiteRT file.
        preset: Architecture of a weights file.
        data: Training images to run both on: `sample` (bundled; see `choose_images`), `cifar10`,
            `cifar100`, or a folder.
        data_dir: Where CIFAR lies if `data` is its name.
        samples: Number of images; all that there are when fewer.
        progress: Called with what is going on.

    Raises:
        InputError: If the model, the artifact or the images cannot be used, or the two have no layer in
            common.
        EnvironmentProblem: If TensorFlow or the artifact's runtime is missing.
    """
    with open_runner(artifact) as runner:
        size, data = runner.image_size, choose_images(data, runner.labels)
    found = open_reader(artifact)
    is_artifact = Path(model).suffix in _ARTIFACTS
    reference = open_reader(Path(model)) if is_artifact else _read_model(model, preset, progress)
    progress("reading images")
    images = load_images(data, split="train", size=size, data_dir=data_dir)
    if len(images) > samples:
        images = images.sample(samples, 0)
    progress(f"comparing layers on {len(images)} images: {images.source}")
    return measure_sensitivity(
        reference,
        found,
        images.images,
        lambda done: progress(f"comparing layers: {done} of {len(images)} images"),
    )


def _read_model(
    model: str | Path, preset: str | None, progress: Callable[[str], None]
) -> TensorReader:
    location = locate(model)  # Before the seconds that TensorFlow takes.
    progress("loading the model")
    use_tensorflow()
    from vitsd_export.lowering.reading import OtherArchitecture, read_graph
    from vitsd_export.lowering.rewrites import rewrite
    from vitsd_export.sources.checkpoint import load_model

    loaded = load_model(location, preset=preset)
    try:
        return GraphReader(rewrite(read_graph(loaded.model))[-1].graph)
    except OtherArchitecture as difference:
        raise InputError(
            f"The layers of {model} cannot be told apart: {difference}. Export it as float32 in the "
            "artifact's format, and give that file in place of the model."
        ) from difference
