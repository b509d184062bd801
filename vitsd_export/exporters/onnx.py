"""ONNX: TensorFlow graph → tf2onnx → a self-contained, checked file."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import EncodeError
from onnx import TensorProto, helper, numpy_helper

from vitsd_export import __version__
from vitsd_export.errors import InputError
from vitsd_export.exporters.freezing import frozen_function
from vitsd_export.exporters.manifest import LABELS_KEY, MANIFEST_KEY, Manifest
from vitsd_export.lowering.inference_graph import InferenceGraph

# Loads in onnxruntime since 1.14 (February 2023) and in onnxruntime-web of the same age.
DEFAULT_OPSET = 17

# Larger weights bypass tf2onnx, which copies every constant many times over.
_LIFTED_BYTES = 64 * 1024


def write_onnx(
    graph: InferenceGraph,
    path: Path,
    *,
    scheme: str = "float32",
    opset: int = DEFAULT_OPSET,
    batch: int | None = None,
) -> None:
    """Writes the inference graph as one .onnx file.

    Args:
        graph: What to export.
        path: File to write.
        scheme: `float32`, or `float16` to store the weights in half precision (computed in float32).
        opset: Version of the default ONNX operator set.
        batch: Number of images in a call; None to leave it open.

    Raises:
        InputError: If the model holds an operation that ONNX cannot express.
    """
    frozen = frozen_function(graph, batch)
    graph_def = frozen.graph.as_graph_def()
    input_name, output_name = frozen.inputs[0].name, frozen.outputs[0].name
    weights = _lift_large_weights(graph_def)
    model = _convert(
        graph_def, [input_name, *(f"{name}:0" for name in weights)], output_name, opset
    )
    _attach(model, weights)
    _rename(model.graph, {input_name: "image", output_name: graph.output})
    _set_signature(model.graph, graph, batch)
    if scheme == "float16":
        _store_float16(model.graph)
    model.producer_name, model.producer_version = "vitsd-export", __version__
    _drop_unused_domains(model)
    model.doc_string = "Image classifier: RGB pixels 0-255 in, one score a class out."
    _check_self_contained(model)
    try:
        onnx.checker.check_model(model, full_check=True)
        onnx.save(model, path)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise InputError(
            f"The model converts to an invalid ONNX graph: {error}. Try another --opset."
        ) from error
    except EncodeError as error:
        raise InputError("The model is larger than 2 GB, the limit of an ONNX file.") from error


def embed_manifest(path: Path, manifest: Manifest) -> None:
    """Puts the manifest and the labels into a file's metadata_props."""
    model = onnx.load(path)
    helper.set_model_props(
        model,
        {MANIFEST_KEY: manifest.to_json(), LABELS_KEY: "\n".join(manifest.labels)},
    )
    onnx.save(model, path)


def _lift_large_weights(graph_def: Any) -> dict[str, np.ndarray]:
    """Replaces large float constants by placeholders; returns them by node name."""
    import tensorflow as tf

    lifted: dict[str, np.ndarray] = {}
    for node in graph_def.node:
        if node.op != "Const":
            continue
        proto = node.attr["value"].tensor
        shape = [dim.size for dim in proto.tensor_shape.dim]
        if node.attr["dtype"].type != tf.float32.as_datatype_enum:
            continue
        if 4 * int(np.prod(shape)) < _LIFTED_BYTES:
            continue
        lifted[node.name] = tf.make_ndarray(proto)
        node.op = "Placeholder"
        node.attr.pop("value")
        node.attr["shape"].shape.CopyFrom(tf.TensorShape(shape).as_proto())
    return lifted


def _convert(graph_def: Any, inputs: list[str], output: str, opset: int) -> onnx.ModelProto:
    import tf2onnx

    import vitsd_export.exporters.erfc  # noqa: F401  registers the handler

    log = _ErrorLog()
    logger = logging.getLogger("tf2onnx")
    level, propagate = logger.level, logger.propagate
    logger.addHandler(log)
    logger.setLevel(logging.ERROR)
    logger.propagate = False
    try:
        model, _ = tf2onnx.convert.from_graph_def(
            graph_def, name="classifier", input_names=inputs, output_names=[output], opset=opset
        )
    except (ValueError, NotImplementedError, RuntimeError, KeyError, AttributeError) as error:
        raise InputError(
            f"tf2onnx cannot convert this model to opset {opset}: {error}. Try a newer --opset."
        ) from error
    finally:
        logger.removeHandler(log)
        logger.setLevel(level)
        logger.propagate = propagate
    # tf2onnx logs what it cannot convert and goes on to write a file that no runtime loads.
    if log.messages:
        raise InputError(
            f"tf2onnx cannot convert this model to opset {opset}: {' '.join(log.messages)[:500]}"
        )
    return model


class _ErrorLog(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(" ".join(record.getMessage().split()))


def _attach(model: onnx.ModelProto, weights: dict[str, np.ndarray]) -> None:
    """Turns the inputs that stand for lifted weights into initializers."""
    graph = model.graph
    values = {f"{name}:0": value for name, value in weights.items()}
    images = [value for value in graph.input if value.name not in values]
    del graph.input[:]
    graph.input.extend(images)
    for name, value in values.items():
        graph.initializer.append(numpy_helper.from_array(value, name))


def _rename(graph: onnx.GraphProto, names: dict[str, str]) -> None:
    for node in graph.node:
        for tensors in (node.input, node.output):
            for index, tensor in enumerate(tensors):
                tensors[index] = names.get(tensor, tensor)
    for value in (*graph.input, *graph.output, *graph.value_info):
        value.name = names.get(value.name, value.name)


def _set_signature(graph: onnx.GraphProto, source: InferenceGraph, batch: int | None) -> None:
    size = source.image_size
    leading = "batch" if batch is None else batch
    dtype = TensorProto.UINT8 if source.input_type == "uint8" else TensorProto.FLOAT
    del graph.input[:], graph.output[:]
    # Their batch is tf2onnx's unnamed one; shape inference restores them from the signature.
    del graph.value_info[:]
    graph.input.append(helper.make_tensor_value_info("image", dtype, (leading, size, size, 3)))
    graph.output.append(
        helper.make_tensor_value_info(
            source.output, TensorProto.FLOAT, (leading, source.num_classes)
        )
    )


def _store_float16(graph: onnx.GraphProto) -> None:
    """Stores float32 weights in half precision and casts them back where they are used.

    onnxruntime folds the casts when it loads the file, so speed is that of float32 on processors without
    half-precision arithmetic, and the file is half as large. What half precision cannot hold stays.
    """
    casts = []
    for initializer in graph.initializer:
        if initializer.data_type != TensorProto.FLOAT:
            continue
        value = numpy_helper.to_array(initializer)
        if value.size < 64 or np.abs(value).max() > np.finfo(np.float16).max:
            continue
        name = initializer.name
        initializer.CopyFrom(numpy_helper.from_array(value.astype(np.float16), f"{name}/float16"))
        casts.append(
            helper.make_node(
                "Cast", [f"{name}/float16"], [name], name=f"{name}/cast", to=TensorProto.FLOAT
            )
        )
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def _drop_unused_domains(model: onnx.ModelProto) -> None:
    """Removes operator sets that no node is from; tf2onnx always asks for ai.onnx.ml."""
    used = {node.domain for node in model.graph.node} | {""}
    kept = [opset for opset in model.opset_import if opset.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(kept)


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
