"""Loss and accuracy."""

import dataclasses
import importlib.util
import json
import math
from unittest import mock

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.processes import run_python
from tests.support.training_parts import small_config, small_data
from training.evaluation import evaluate, predict_logits, score_logits
from vitsd_export.errors import InputError
from vitsd_export.model.classifier import build_classifier


@settings(max_examples=30, deadline=None, derandomize=True)
@given(count=st.integers(1, 12), classes=st.integers(1, 12), seed=st.integers(0, 999))
def test_scores_equal_a_loop(count: int, classes: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    # Rounded, so that equal logits occur.
    logits = rng.normal(0, 3, (count, classes)).round()
    labels = rng.integers(0, classes, count)
    loss, hits, hits_of_five = 0.0, 0, 0
    for row, label in zip(logits, labels, strict=True):
        loss -= row[label] - math.log(sum(math.exp(value) for value in row))
        ranking = sorted(range(classes), key=lambda index, row=row: (-row[index], index))
        hits += ranking[0] == label
        hits_of_five += label in ranking[:5]
    score = score_logits(logits, labels)
    assert score.images == count
    assert score.loss == pytest.approx(loss / count)
    assert score.top1 == pytest.approx(hits / count)
    assert score.top5 == pytest.approx(hits_of_five / count)


def test_a_model_that_tells_nothing_scores_as_a_guess() -> None:
    score = score_logits(np.zeros((100, 10)), np.arange(100) % 10)
    assert (score.top1, score.top5) == (0.1, 0.5)
    assert score.loss == pytest.approx(math.log(10))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_answers_that_are_no_numbers_are_wrong(value: float) -> None:
    logits = np.tile([3.0, 1.0, 2.0], (4, 1))
    logits[1:3, 0] = value
    score = score_logits(logits, np.zeros(4, np.int64))
    assert (score.top1, score.top5) == (0.5, 0.5)


def test_large_logits_do_not_overflow() -> None:
    score = score_logits(np.array([[1e5, 0.0], [0.0, 1e5]]), np.array([0, 0]))
    assert score.loss == pytest.approx(5e4)


def test_every_image_is_scored_by_the_model() -> None:
    model = build_classifier(small_config())
    data = small_data(count=11)
    logits = keras.ops.convert_to_numpy(model(data.images.astype(np.float32)))
    assert data.labels is not None
    expected = score_logits(logits.astype(np.float64), data.labels)
    score = evaluate(model, data)
    assert score.images == 11
    assert dataclasses.astuple(score) == pytest.approx(dataclasses.astuple(expected), abs=1e-5)


def test_images_without_labels_fail() -> None:
    data = dataclasses.replace(small_data(), labels=None)
    with pytest.raises(InputError, match="no labelled images"):
        evaluate(build_classifier(small_config()), data)
    with pytest.raises(InputError, match="no labelled images"):
        evaluate(build_classifier(small_config()), small_data(count=0))


@pytest.mark.parametrize(
    ("batch_size", "shapes"),
    [
        (4, [4, 4, 4]),
        (5, [5, 5, 5]),
        (1, [1] * 11),
        # Fewer images than a batch: no more are computed than needed.
        (250, [11]),
    ],
)
def test_all_batches_have_one_shape(batch_size: int, shapes: list[int]) -> None:
    model = build_classifier(small_config())
    images = small_data(count=11).images
    expected = keras.ops.convert_to_numpy(model(images.astype(np.float32)))
    with mock.patch.object(model, "predict_on_batch", wraps=model.predict_on_batch) as predict:
        logits = predict_logits(model, images, batch_size)
    batches = [call.args[0] for call in predict.call_args_list]
    assert [len(batch) for batch in batches] == shapes
    assert all(batch.dtype == np.float32 for batch in batches)
    # Filled up with images of the set: those of zeros might be slow, or NaN.
    padding = batches[-1][11 - sum(shapes[:-1]) :]
    assert all((image == images).all((1, 2, 3)).any() for image in padding)
    assert (logits.dtype, logits.shape) == (np.float64, (11, 3))
    np.testing.assert_allclose(logits, expected, atol=1e-5)


def test_no_images_have_no_answers() -> None:
    model = build_classifier(small_config())
    assert predict_logits(model, small_data(count=0).images).shape == (0, 3)


def test_pixels_may_be_floats() -> None:
    model = build_classifier(small_config())
    images = small_data(count=3).images
    np.testing.assert_array_equal(
        predict_logits(model, images.astype(np.float64)), predict_logits(model, images)
    )


# Two devices have to be asked for before the backend starts.
_ON_DEVICES = """
import contextlib, json, sys
import keras
import numpy as np
from training.evaluation import predict_logits

scope = contextlib.nullcontext()
if keras.backend.backend() == "tensorflow" and int(sys.argv[1]) == 2:
    import tensorflow as tf
    two = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], two)
    scope = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope()
if keras.backend.backend() == "jax" and int(sys.argv[1]) == 2:
    both = keras.distribution.DataParallel(devices=["cpu:0", "cpu:1"])
    keras.distribution.set_distribution(both)
with scope:
    rows = keras.layers.Flatten()
    model = keras.Sequential([keras.Input((4, 4, 3)), rows, keras.layers.Dense(5)])
rng = np.random.default_rng(0)
images = rng.integers(0, 256, (11, 4, 4, 3)).astype(np.uint8)
kernel, bias = rng.normal(size=(48, 5)), rng.normal(size=5)
model.set_weights([kernel, bias])
expected = images.reshape(11, 48) @ kernel + bias
sizes = []
plain = model.predict_on_batch
model.predict_on_batch = lambda batch: sizes.append(getattr(batch, "shape", ())) or plain(batch)
errors = [np.abs(predict_logits(model, images, size) - expected).max() for size in (3, 4, 50)]
sizes = [list(size) for size in sizes]
tf_is_there = "tensorflow" in sys.modules
print(json.dumps({"error": max(errors), "sizes": sizes, "tf": tf_is_there}))
"""


@pytest.mark.parametrize(
    ("backend", "devices"), [("tensorflow", 2), ("jax", 1), ("jax", 2), ("torch", 1)]
)
def test_backends_and_devices_answer_alike(backend: str, devices: int) -> None:
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    shown = run_python(
        _ON_DEVICES,
        devices,
        KERAS_BACKEND=backend,
        XLA_FLAGS=f"--xla_force_host_platform_device_count={devices}",
    )
    outcome = json.loads(shown.splitlines()[-1])
    assert outcome["error"] < 1e-2
    assert outcome["tf"] == (backend == "tensorflow")
    if backend != "tensorflow":
        # Batches of 3 do not divide by two devices.
        first = outcome["sizes"][0][0]
        assert first == (4 if devices == 2 else 3)
