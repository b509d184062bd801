"""Artifacts of a one-layer classifier in every format, and its answers by NumPy alone."""

import dataclasses
import functools
import hashlib
import warnings
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vitsd_export.artifact.manifest import (
    LABELS_FILE,
    MANIFEST_FILE,
    MANIFEST_KEY,
    SAVED_MODEL_EXTRAS,
    Format,
    Manifest,
    TensorSpec,
    sidecar_path,
)
from vitsd_export.data.labels import CIFAR10_CLASSES

SIZE = 8
CLASSES = 10
_RNG = np.random.default_rng(20240607)
WEIGHTS = (_RNG.normal(size=(SIZE * SIZE * 3, CLASSES)) / 16).astype(np.float32)
BIAS = _RNG.normal(size=CLASSES).astype(np.float32)
IMAGES = _RNG.integers(0, 256, (7, SIZE, SIZE, 3), dtype=np.uint8)
LABELS = tuple(f"tiny {name}" for name in CIFAR10_CLASSES)


def reference_logits(images: np.ndarray) -> np.ndarray:
    """The network in float64: pixels / 255, one dense layer."""
    pixels = images.reshape(len(images), -1).astype(np.float64) / 255
    return pixels @ WEIGHTS.astype(np.float64) + BIAS


def reference_probabilities(images: np.ndarray) -> np.ndarray:
    """The network's softmax in float64."""
    powers = np.exp(reference_logits(images))
    return powers / powers.sum(axis=1, keepdims=True)


def tiny_manifest(
    kind: Format, meaning: str = "probabilities", labels: tuple[str, ...] = LABELS
) -> Manifest:
    """A manifest as the exporters write it."""
    return Manifest(
        format=kind,
        scheme="float32",
        input=TensorSpec("image", "uint8", (None, SIZE, SIZE, 3), "pixels 0-255 RGB"),
        output=TensorSpec(meaning, "float32", (None, CLASSES), meaning),
        labels=labels,
        source={"name": "tiny", "sha256": "0" * 64, "parameters": WEIGHTS.size + BIAS.size},
        options={"batch": None},
        tools={"numpy": np.__version__},
        created="2024-06-07T00:00:00+00:00",
        verification={"passed": True},
    )


def onnx_model(
    *,
    shape: Sequence[int | str] = ("N", SIZE, SIZE, 3),
    dtype: str = "uint8",
    output: str = "probabilities",
    softmax: bool = True,
    metadata: dict[str, str] | None = None,
    extra_input: bool = False,
) -> Any:
    """The network as an ONNX ModelProto."""
    from onnx import TensorProto, helper, numpy_helper

    dtypes = {
        "uint8": TensorProto.UINT8,
        "float32": TensorProto.FLOAT,
        "int64": TensorProto.INT64,
    }
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["pixels", "white"], ["scaled"]),
        helper.make_node("Reshape", ["scaled", "flat"], ["row"]),
        helper.make_node("MatMul", ["row", "weights"], ["product"]),
        helper.make_node("Add", ["product", "bias"], ["sum" if softmax else output]),
    ]
    if softmax:
        nodes.append(helper.make_node("Softmax", ["sum"], [output], axis=-1))
    inputs = [helper.make_tensor_value_info("image", dtypes[dtype], list(shape))]
    if extra_input:
        inputs.append(helper.make_tensor_value_info("training", TensorProto.BOOL, []))
    graph = helper.make_graph(
        nodes,
        "tiny",
        inputs,
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, [shape[0], CLASSES])],
        [
            numpy_helper.from_array(np.float32(255), "white"),
            numpy_helper.from_array(np.array([-1, len(WEIGHTS)]), "flat"),
            numpy_helper.from_array(WEIGHTS, "weights"),
            numpy_helper.from_array(BIAS, "bias"),
        ],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="tiny"
    )
    helper.set_model_props(model, metadata or {})
    return model


def write_onnx(path: Path, *, with_manifest: bool = True, **options: Any) -> Path:
    """Writes the network as an ONNX file."""
    meaning = "probabilities" if options.get("softmax", True) else "logits"
    metadata = {MANIFEST_KEY: tiny_manifest("onnx", meaning).to_json()} if with_manifest else None
    path.write_bytes(onnx_model(metadata=metadata, **options).SerializeToString())
    return path


def _tf_function(batch: int | None, dtype: str, softmax: bool) -> Callable[..., Any]:
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec([batch, SIZE, SIZE, 3], dtype, name="image")])
    def serve(image: Any) -> dict[str, Any]:
        row = tf.reshape(tf.cast(image, tf.float32) / 255.0, [-1, len(WEIGHTS)])
        logits = tf.matmul(row, tf.constant(WEIGHTS)) + tf.constant(BIAS)
        return {"probabilities": tf.nn.softmax(logits)} if softmax else {"logits": logits}

    return serve


@functools.cache
def tflite_bytes(
    *,
    batch: int | None = 1,
    dtype: str = "uint8",
    softmax: bool = True,
    quantized_as: str | None = None,
) -> bytes:
    """The network as a LiteRT flatbuffer, all int8 inside if its ports are quantized."""
    import tensorflow as tf

    function = _tf_function(batch, dtype, softmax).get_concrete_function()  # type: ignore[attr-defined]
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function], tf.Module())
    if quantized_as is not None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: (
            [image[None].astype(np.float32)] for image in IMAGES
        )
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = tf.dtypes.as_dtype(quantized_as)
        converter.inference_output_type = tf.dtypes.as_dtype(quantized_as)
    with warnings.catch_warnings():
        # The converter warns of statistics that only its old, calibration-free quantization reads.
        warnings.filterwarnings("ignore", "Statistics for quantized inputs", UserWarning)
        return bytes(converter.convert())


def append_zip(path: Path, manifest: Manifest) -> None:
    """Appends manifest and labels to a .tflite file, as the exporter does."""
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(MANIFEST_FILE, manifest.to_json())
        archive.writestr(LABELS_FILE, "\n".join(manifest.labels))


def write_tflite(path: Path, *, with_manifest: bool = True, **options: Any) -> Path:
    """Writes the network as a LiteRT file."""
    path.write_bytes(tflite_bytes(**options))
    if with_manifest:
        append_zip(path, tiny_manifest("tflite"))
    return path


def write_saved_model(
    path: Path,
    *,
    with_manifest: bool = True,
    shape: Sequence[int | None] = (None, SIZE, SIZE, 3),
    signature: str = "serving_default",
) -> Path:
    """Writes the network as a SavedModel whose weights are variables."""
    import tensorflow as tf

    module = tf.Module()
    module.weights = tf.Variable(WEIGHTS)
    module.bias = tf.Variable(BIAS)

    @tf.function(input_signature=[tf.TensorSpec(list(shape), tf.uint8, name="image")])
    def serve(image: Any) -> dict[str, Any]:
        row = tf.reshape(tf.cast(image, tf.float32) / 255.0, [-1, len(WEIGHTS)])
        return {"probabilities": tf.nn.softmax(tf.matmul(row, module.weights) + module.bias)}

    module.serve = serve
    tf.saved_model.save(module, str(path), signatures={signature: serve})
    if with_manifest:
        extras = path / SAVED_MODEL_EXTRAS
        extras.mkdir()
        manifest = tiny_manifest("saved_model")
        (extras / MANIFEST_FILE).write_text(manifest.to_json(), encoding="utf-8")
    return path


def write_sidecar(path: Path, kind: Format) -> None:
    """Writes the manifest beside a file, with the file's digest in it."""
    data = path.read_bytes()
    file = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    manifest = dataclasses.replace(tiny_manifest(kind), file=file)
    sidecar_path(path).write_text(manifest.to_json(), encoding="utf-8")
