"""Writing LiteRT files."""

import json
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from tests.support.keras_models import loaded, small_transformer, softmax
from tests.support.tiny_artifacts import tiny_manifest
from vitsd_export._internal.tensorflow import quiet_converters
from vitsd_export.errors import InputError
from vitsd_export.exporters.formats.litert import LiteRTExporter
from vitsd_export.exporters.litert import convert
from vitsd_export.lowering.inference_graph import InferenceGraph


def interpreter(content: bytes) -> Any:
    """A file's content in LiteRT."""
    from ai_edge_litert.interpreter import Interpreter

    return Interpreter(model_content=content)


@pytest.fixture(scope="module")
def model() -> Any:
    """A small transformer."""
    return small_transformer()


@pytest.fixture(scope="module")
def content(model: Any) -> bytes:
    """It in LiteRT."""
    with quiet_converters():
        return convert(InferenceGraph(loaded(model), answers_probabilities=False))


def test_nothing_has_to_be_initialised_first(
    model: Any, content: bytes, images: np.ndarray
) -> None:
    runner = interpreter(content).get_signature_runner("serving_default")
    answers = [runner(image=image[None])["probabilities"][0] for image in images[:5]]
    expected = softmax(np.asarray(model(images[:5].astype(np.float32), training=False)))
    np.testing.assert_allclose(answers, expected, atol=1e-4)
    names = [operator["op_name"] for operator in interpreter(content)._get_ops_details()]
    assert not {"VAR_HANDLE", "READ_VARIABLE", "CALL_ONCE"} & set(names)


def test_the_manifest_is_appended_and_the_model_stays(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.tflite"
    path.write_bytes(content)
    manifest = tiny_manifest("tflite", labels=tuple(f"größe {index}" for index in range(10)))
    LiteRTExporter().embed_manifest(path, manifest)
    assert path.read_bytes().startswith(content)
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        told = json.loads(archive.read("vitsd_export.json"))
        assert archive.read("labels.txt").decode().splitlines() == list(manifest.labels)
    assert told == json.loads(manifest.to_json())
    assert interpreter(path.read_bytes()).get_signature_list() == {
        "serving_default": {"inputs": ["image"], "outputs": ["probabilities"]}
    }


@keras.saving.register_keras_serializable("tests")
class Bessel(keras.layers.Layer):
    """A layer of an operation that LiteRT has not."""

    def call(self, inputs: Any) -> Any:
        import tensorflow as tf

        return tf.math.bessel_i0e(inputs)


def test_an_operation_that_is_not_built_in_is_refused() -> None:
    image = keras.Input((8, 8, 3))
    x = keras.layers.GlobalAveragePooling2D()(Bessel()(image))
    model = keras.Model(image, keras.layers.Dense(10)(x))
    with pytest.raises(InputError, match=r"built-in operators.*BesselI0e"), quiet_converters():
        convert(InferenceGraph(loaded(model), answers_probabilities=False))
