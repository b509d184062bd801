"""Tests of naming what is on image files."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.tiny_artifacts import (
    CLASSES,
    IMAGES,
    LABELS,
    SIZE,
    reference_probabilities,
    write_onnx,
)
from vitsd_export.data.images import read_image, resize_image
from vitsd_export.errors import InputError, UsageError
from vitsd_export.runtimes import open_runner
from vitsd_export.runtimes.base import ImageRunner
from vitsd_export.workflows.predict import predict


@pytest.fixture
def runner(tmp_path: Path) -> ImageRunner:
    """The tiny network in ONNX Runtime."""
    return open_runner(write_onnx(tmp_path / "tiny.onnx"))


def test_classes_are_named_by_falling_probability(tmp_path: Path, runner: ImageRunner) -> None:
    paths = []
    for index, image in enumerate(IMAGES):
        paths.append(tmp_path / f"{index}.png")
        Image.fromarray(image).save(paths[-1])
    predictions = predict(runner, [str(path) for path in paths], top=3)
    assert [prediction.path for prediction in predictions] == paths
    expected = reference_probabilities(IMAGES)
    for prediction, row in zip(predictions, expected, strict=True):
        best = sorted(range(CLASSES), key=lambda index: -row[index])[:3]
        assert [name for name, _ in prediction.classes] == [LABELS[index] for index in best]
        np.testing.assert_allclose([value for _, value in prediction.classes], row[best], atol=2e-6)
        assert all(type(value) is float for _, value in prediction.classes)


def test_images_of_other_sizes_are_resized(tmp_path: Path, runner: ImageRunner) -> None:
    path = tmp_path / "large.png"
    pixels = np.random.default_rng(1).integers(0, 256, (30, 20, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    (prediction,) = predict(runner, [path], top=100)
    resized = resize_image(read_image(path), SIZE)
    row = reference_probabilities(resized[None])[0]
    assert dict(prediction.classes) == pytest.approx(dict(zip(LABELS, row, strict=True)), abs=2e-6)


def test_no_images_give_no_predictions(runner: ImageRunner) -> None:
    assert predict(runner, []) == []


def test_bad_requests_are_refused(tmp_path: Path, runner: ImageRunner) -> None:
    with pytest.raises(UsageError, match="at least 1"):
        predict(runner, [], top=0)
    with pytest.raises(InputError, match=r"absent\.png"):
        predict(runner, [tmp_path / "absent.png"])


def test_answers_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    from onnx import numpy_helper

    from tests.support.tiny_artifacts import onnx_model

    model = onnx_model()
    bias = next(tensor for tensor in model.graph.initializer if tensor.name == "bias")
    bias.CopyFrom(numpy_helper.from_array(np.full(CLASSES, np.nan, np.float32), "bias"))
    path = tmp_path / "nan.onnx"
    path.write_bytes(model.SerializeToString())
    Image.fromarray(IMAGES[0]).save(tmp_path / "0.png")
    with (
        open_runner(path) as runner,
        pytest.raises(InputError, match=r"nan\.onnx answers with NaN"),
    ):
        predict(runner, [tmp_path / "0.png"])
