"""ONNX: a self-contained, checked file, straight from the lowered graph or else by way of tf2onnx."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from vitsd_export import __version__
from vitsd_export.artifact.manifest import LABELS_KEY, MANIFEST_KEY, Manifest, label_lines
from vitsd_export.errors import InputError, UsageError
from vitsd_export.exporters import onnx_from_graph, onnx_from_tensorflow
from vitsd_export.exporters.onnx_file import LARGE_BYTES, OnnxGraph, append_metadata, write_model
from vitsd_export.lowering.inference_graph import INPUT_NAME, InferenceGraph

# The newest that onnxruntime 1.20 (October 2024) and onnxruntime-web 1.20 load.
LOWERED_OPSET = 21
# tf2onnx 1.17 writes at most opset 18; 17 loads in onnxruntime since 1.14 (February 2023).
UNLOWERED_OPSET = 17
UNLOWERED_OPSETS = range(13, 19)

# Smaller weights are not worth a Cast.
_FEWEST_HALVES = 64


def choose_opset(graph: InferenceGraph, opset: int | None) -> int:
    """Returns the operator set to write.

    Args:
        graph: What is exported.
        opset: What was asked for; None leaves the choice to us.

    Raises:
        UsageError: If it cannot be written.
    """
    lowered = graph.lowered is not None
    if opset is None:
        return LOWERED_OPSET if lowered else UNLOWERED_OPSET
    if not lowered and opset not in UNLOWERED_OPSETS:
        raise UsageError(
            f"This model is not lowered ({graph.not_lowered_because}), and tf2onnx, which converts it, "
            f"writes opsets {UNLOWERED_OPSETS.start} to {UNLOWERED_OPSETS.stop - 1}, not {opset}."
        )
    return opset


def write_onnx(
    graph: InferenceGraph,
    path: Path,
    *,
    half: bool = False,
    opset: int | None = None,
    batch: int | None = None,
) -> None:
    """Writes the inference graph as one .onnx file.

    Args:
        graph: What to export.
        path: File to write.
        half: Whether weights are stored in half precision; computed in float32.
        opset: Version of the default ONNX operator set; chosen by `choose_opset` when None.
        batch: Number of images in a call; None to leave it open.

    Raises:
        InputError: If the model holds an operation that ONNX cannot express.
        UsageError: If the opset cannot be written.
    """
    opset = choose_opset(graph, opset)
    if graph.lowered is not None:
        built = onnx_from_graph.build(graph.lowered, opset, graph.output)
    else:
        built = onnx_from_tensorflow.build(graph, opset, batch)
    if half:
        built = _store_float16(built)
    large = {name: value for name, value in built.weights.items() if value.nbytes >= LARGE_BYTES}
    small = [
        numpy_helper.from_array(value, name)
        for name, value in built.weights.items()
        if name not in large
    ]
    size, leading = graph.image_size, "batch" if batch is None else batch
    dtype = TensorProto.UINT8 if graph.input_type == "uint8" else TensorProto.FLOAT
    image = helper.make_tensor_value_info(INPUT_NAME, dtype, (leading, size, size, 3))
    answer = helper.make_tensor_value_info(
        graph.output, TensorProto.FLOAT, (leading, *graph.answer_shape)
    )
    sets = [helper.make_opsetid("", opset)]
    model = helper.make_model(
        helper.make_graph(built.nodes, "classifier", [image], [answer], [*built.constants, *small]),
        opset_imports=sets,
        ir_version=helper.find_min_ir_version_for(sets),
        producer_name="vitsd-export",
        producer_version=__version__,
        doc_string="Image classifier: RGB pixels 0-255 in, one score a class out.",
    )
    _check_self_contained(model)
    write_model(model, large, path)


def embed_manifest(path: Path, manifest: Manifest) -> None:
    """Puts the manifest and the labels into the metadata_props of a file that has none yet."""
    append_metadata(
        path, {MANIFEST_KEY: manifest.to_json(), LABELS_KEY: label_lines(manifest.labels)}
    )


def _store_float16(graph: OnnxGraph) -> OnnxGraph:
    """Stores float32 weights in half precision and casts them back where they are used.

    onnxruntime folds the casts when it loads the file, so speed is that of float32 on processors without
    half-precision arithmetic, and the file is half as large. What half precision cannot hold stays.
    """
    casts, weights = [], {}
    for name, value in graph.weights.items():
        if value.size < _FEWEST_HALVES or np.abs(value).max() > np.finfo(np.float16).max:
            weights[name] = value
            continue
        half = f"{name}/float16"
        weights[half] = value.astype(np.float16)
        cast = helper.make_node("Cast", [half], [name], name=f"{name}/cast", to=TensorProto.FLOAT)
        casts.append(cast)
    return OnnxGraph([*casts, *graph.nodes], graph.constants, weights)


def _check_self_contained(model: onnx.ModelProto) -> None:
    foreign = sorted(
        {
            f"{node.domain}::{node.op_type}"
            for node in model.graph.node
            if node.domain not in ("", "ai.onnx")
        }
    )
    if foreign:
        raise InputError(f"The converted model needs operators outside ONNX: {', '.join(foreign)}.")
