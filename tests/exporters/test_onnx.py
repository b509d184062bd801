"""Writing ONNX files."""

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, numpy_helper

from tests.support.keras_models import loaded, softmax
from tests.support.tiny_artifacts import tiny_manifest
from vitsd_export._internal.tensorflow import quiet_converters
from vitsd_export.errors import InputError
from vitsd_export.exporters.formats.onnx import OnnxExporter
from vitsd_export.exporters.onnx import UNLOWERED_OPSET, write_onnx
from vitsd_export.lowering.inference_graph import InferenceGraph

SIZE = 8
INPUTS = SIZE * SIZE * 3


def wide_network() -> Any:
    """A network with a weight above and one below the size at which weights bypass tf2onnx."""
    keras.utils.set_random_seed(3)
    image = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(image))
    x = keras.layers.Dense(100, activation="gelu", name="wide")(x)
    return keras.Model(image, keras.layers.Dense(10, name="narrow")(x))


def write(model: Any, path: Path, *, half: bool = False) -> onnx.ModelProto:
    """Writes a model and reads the file."""
    graph = InferenceGraph(loaded(model), answers_probabilities=False)
    with quiet_converters():
        write_onnx(graph, path, half=half)
    return onnx.load(path)


def answers(path: Path, images: np.ndarray) -> np.ndarray:
    """What a file says of images."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"image": images})[0])


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    """Images of the network's size."""
    return np.random.default_rng(5).integers(0, 256, (9, SIZE, SIZE, 3), dtype=np.uint8)


def test_large_weights_are_constants_with_their_exact_values(
    tmp_path: Path, pictures: np.ndarray
) -> None:
    model = wide_network()
    wide, narrow = (np.asarray(model.get_layer(name).kernel) for name in ("wide", "narrow"))
    assert wide.nbytes > 64 * 1024 > narrow.nbytes
    written = write(model, tmp_path / "x.onnx")
    # What stands for a weight during conversion is no input of the file.
    assert [value.name for value in written.graph.input] == ["image"]
    stored = [numpy_helper.to_array(tensor) for tensor in written.graph.initializer]
    for kernel in (wide, narrow):
        same = [values for values in stored if values.shape in (kernel.shape, kernel.T.shape)]
        assert len(same) == 1
        values = same[0] if same[0].shape == kernel.shape else same[0].T
        np.testing.assert_array_equal(values, kernel)
    expected = softmax(np.asarray(model(pictures.astype(np.float32), training=False)))
    np.testing.assert_allclose(answers(tmp_path / "x.onnx", pictures), expected, atol=1e-5)


def test_a_weight_that_is_used_twice_is_stored_once(tmp_path: Path, pictures: np.ndarray) -> None:
    keras.utils.set_random_seed(4)
    image = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(image))
    shared = keras.layers.Dense(INPUTS, name="shared")
    model = keras.Model(image, keras.layers.Dense(10)(shared(keras.layers.ReLU()(shared(x)))))
    written = write(model, tmp_path / "x.onnx")
    sizes = [numpy_helper.to_array(tensor).size for tensor in written.graph.initializer]
    assert sizes.count(INPUTS * INPUTS) == 1
    expected = softmax(np.asarray(model(pictures.astype(np.float32), training=False)))
    np.testing.assert_allclose(answers(tmp_path / "x.onnx", pictures), expected, atol=1e-5)


def test_float16_keeps_what_half_precision_cannot_hold_and_what_is_small(
    tmp_path: Path, pictures: np.ndarray
) -> None:
    model = wide_network()
    layer = model.get_layer("wide")
    kernel, bias = layer.get_weights()
    kernel[0, 0] = 1e6
    layer.set_weights([kernel, bias])
    model.get_layer("narrow").bias.assign(np.arange(10.0) / 10)
    written = write(model, tmp_path / "x.onnx", half=True)
    stored = {
        numpy_helper.to_array(tensor).size: tensor.data_type for tensor in written.graph.initializer
    }
    assert stored[INPUTS * 100] == TensorProto.FLOAT
    assert stored[100 * 10] == TensorProto.FLOAT16
    assert stored[10] == TensorProto.FLOAT
    # Whoever reads a half-precision weight gets it as float32 again.
    halves = {t.name for t in written.graph.initializer if t.data_type == TensorProto.FLOAT16}
    casts = [node for node in written.graph.node if set(node.input) & halves]
    assert {node.op_type for node in casts} == {"Cast"}
    assert len(casts) == len(halves)
    logits = np.asarray(model(pictures.astype(np.float32), training=False))
    np.testing.assert_allclose(answers(tmp_path / "x.onnx", pictures), softmax(logits), atol=1e-2)


def test_the_file_tells_who_made_it(tmp_path: Path) -> None:
    import vitsd_export

    written = write(wide_network(), tmp_path / "x.onnx")
    assert (written.producer_name, written.producer_version) == (
        "vitsd-export",
        vitsd_export.__version__,
    )
    assert written.opset_import[0].version == UNLOWERED_OPSET


def test_the_manifest_travels_inside_and_the_graph_stays(
    tmp_path: Path, pictures: np.ndarray
) -> None:
    path = tmp_path / "x.onnx"
    before = write(wide_network(), path)
    told = answers(path, pictures)
    manifest = tiny_manifest("onnx", labels=tuple(f"größe {index}" for index in range(10)))
    OnnxExporter().embed_manifest(path, manifest)
    after = onnx.load(path)
    properties = {entry.key: entry.value for entry in after.metadata_props}
    assert json.loads(properties["vitsd_export"]) == json.loads(manifest.to_json())
    assert properties["labels"].splitlines() == list(manifest.labels)
    assert after.graph == before.graph
    np.testing.assert_array_equal(answers(path, pictures), told)


@keras.saving.register_keras_serializable("tests")
class Bessel(keras.layers.Layer):
    """A layer of an operation that ONNX has not."""

    def call(self, inputs: Any) -> Any:
        import tensorflow as tf

        return tf.math.bessel_i0e(inputs)


def test_an_operation_that_onnx_has_not_is_named_and_nothing_is_written(tmp_path: Path) -> None:
    image = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.GlobalAveragePooling2D()(Bessel()(image))
    model = keras.Model(image, keras.layers.Dense(10)(x))
    with pytest.raises(InputError, match=r"(?s)cannot convert.*BesselI0e"):
        write(model, tmp_path / "x.onnx")
    assert list(tmp_path.iterdir()) == []
