"""The manifest of an artifact that has just been made."""

import datetime
import hashlib
import importlib.metadata
import platform
from pathlib import Path
from typing import Any

from vitsd_export import __version__
from vitsd_export._internal.hashing import file_sha256
from vitsd_export.artifact.manifest import Manifest, TensorSpec
from vitsd_export.data.dataset import ImageDataset
from vitsd_export.quantization.calibration.images import CalibrationSource
from vitsd_export.quantization.making import FittedLayers
from vitsd_export.workflows.prepared_model import PreparedModel
from vitsd_export.workflows.targets import Target


def make_manifest(
    model: PreparedModel,
    target: Target,
    source: CalibrationSource,
    images: ImageDataset | None,
    fitted: FittedLayers | None,
) -> Manifest:
    """Returns the manifest of an artifact, without the outcome of its verification.

    Args:
        source: Where calibration images come from.
        images: These, if there were any.
        fitted: What they decided.
    """
    graph, loaded = model.graph, model.reference.loaded
    batch, size = target.options.batch, graph.image_size
    return Manifest(
        format=target.format,
        scheme=target.scheme,
        input=TensorSpec("image", graph.input_type, (batch, size, size, 3), "RGB pixels 0-255"),
        output=TensorSpec(
            graph.output, target.numbers.output_dtype, (batch, *graph.answer_shape), graph.output
        ),
        labels=model.labels,
        source={
            "name": loaded.name,
            "sha256": loaded.sha256,
            "parameters": int(loaded.model.count_params()),
            **loaded.provenance,
            "card": {key: value for key, value in loaded.card.items() if key != "labels"},
        },
        options=_options(model, target, source, fitted),
        tools=_tool_versions(*target.exporter.tools(graph), *target.recipe.tools),
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        calibration=_calibration(target, source, images, fitted),
    )


def _options(
    model: PreparedModel, target: Target, source: CalibrationSource, fitted: FittedLayers | None
) -> dict[str, Any]:
    recipe = target.recipe
    options = target.exporter.describe(model.graph, target.options)
    options |= {name: getattr(target, name) for name in recipe.options}
    options["rewrites"] = [name for name in model.graph.rewrites if name not in recipe.left_out]
    options["runs_on"] = recipe.runs_on
    if target.head_rank is not None:
        options["head"] = model.head_compression(target.head_rank, source).to_dict()
    if fitted is not None and fitted.int4:
        options["int4_layers"] = list(fitted.int4)
    if target.keep_float:
        options["keep_float"] = list(target.keep_float)
    return options


def _calibration(
    target: Target,
    source: CalibrationSource,
    images: ImageDataset | None,
    fitted: FittedLayers | None,
) -> dict[str, Any] | None:
    if images is None or fitted is None:
        return None
    return {
        "source": images.source,
        "split": images.split,
        "count": len(images),
        "seed": source.seed,
        "method": target.method(source) if target.recipe.ranged else None,
        "sha256": images.sha256(),
        "weighted_layers": fitted.weighted,
        "calibrated_layers": fitted.calibrated,
    }


def _tool_versions(*tools: str) -> dict[str, str]:
    names = ("keras", "tensorflow", "numpy", *tools)
    return {
        "python": platform.python_version(),
        "vitsd-export": __version__,
        **{name: importlib.metadata.version(name) for name in names},
    }


def describe_file(path: Path) -> dict[str, Any]:
    """Returns `bytes` and `sha256` of an artifact; of a folder, that of its list of files and digests."""
    if path.is_file():
        return {"bytes": path.stat().st_size, "sha256": file_sha256(path)}
    files = sorted(file for file in path.rglob("*") if file.is_file())
    listing = "".join(
        f"{file_sha256(file)}  {file.relative_to(path).as_posix()}\n" for file in files
    )
    return {
        "bytes": sum(file.stat().st_size for file in files),
        "sha256": hashlib.sha256(listing.encode()).hexdigest(),
    }
