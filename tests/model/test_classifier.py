"""The whole network: its size, its numbers, its modes."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.support import numpy_reference
from tests.support.small_models import build_small, random_pixels, small_config
from vitsd_export.model.classifier import NORMALIZATION, set_normalization
from vitsd_export.model.config import preset_config
from vitsd_export.sources.checkpoint import load_model, write_model


def logits(model: keras.Model, pixels: np.ndarray, **options: Any) -> np.ndarray:
    return keras.ops.convert_to_numpy(model(pixels, **options))


def test_vit_small_ds_has_the_published_number_of_weights(vit_small_ds: keras.Model) -> None:
    assert sum(weight.numpy().size for weight in vit_small_ds.trainable_weights) == 21_787_748
    assert len(vit_small_ds.weights) == 152
    assert vit_small_ds.output_shape == (None, 100)


def test_vit_tiny_has_as_many_weights_as_its_parts(vit_tiny: keras.Model) -> None:
    dim, width, hidden, tokens = 96, 3 * 32, 192, 64
    patch = 4 * 4 * 5 * 3
    norm = 2 * dim
    tokenizer = 2 * patch + (patch + 1) * dim
    attention = 3 * (dim + 1) * width + (width + 1) * dim + 1
    mlp = (dim + 1) * hidden + (hidden + 1) * dim
    block = norm + attention + norm + mlp
    expected = tokenizer + tokens * dim + 6 * block + norm + (dim + 1) * 10
    assert expected == 479_632
    assert sum(weight.numpy().size for weight in vit_tiny.trainable_weights) == expected


@pytest.mark.parametrize("preset", ["vit_small_ds", "vit_tiny"])
def test_every_weight_has_a_name_and_a_path_of_its_own(
    preset: str, request: pytest.FixtureRequest
) -> None:
    model = request.getfixturevalue(preset)
    assert all(weight.name for weight in model.weights)
    assert len({weight.path for weight in model.weights}) == len(model.weights)
    names = {"mean", "variance", "count", "gamma", "beta", "kernel", "bias", "embedding", "tau"}
    assert {weight.name for weight in model.weights} == names


def test_every_block_has_a_tau_that_starts_as_the_root_of_key_dim(
    vit_small_ds: keras.Model,
) -> None:
    taus = [weight for weight in vit_small_ds.trainable_weights if weight.name == "tau"]
    assert [tau.path for tau in taus] == [f"block{index}_attention/tau" for index in range(8)]
    assert [float(tau.numpy()) for tau in taus] == [8.0] * 8


def test_every_trainable_weight_receives_a_gradient() -> None:
    model = build_small(depth=2)
    with tf.GradientTape() as tape:
        answers = model(random_pixels(4, 8), training=True)
        loss = tf.reduce_mean(tf.square(answers - 1))
    variables = model.trainable_weights
    gradients = dict(
        zip(
            (variable.path for variable in variables),
            tape.gradient(loss, [variable.value for variable in variables]),
            strict=True,
        )
    )
    without = {
        path
        for path, gradient in gradients.items()
        if gradient is None or not np.abs(gradient.numpy()).max() > 1e-9
    }
    # A key's bias adds the same to all of a query's scores, which the softmax takes away.
    assert without <= {f"block{index}_attention/key/bias" for index in range(2)}
    assert abs(float(gradients["block1_attention/tau"])) > 1e-6


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"head": "flatten", "head_units": (10, 7)},
        {"image_size": 12, "patch_size": 6, "depth": 2},
        {"image_size": 12, "patch_size": 2, "head": "flatten", "mlp_units": (8,)},
    ],
)
def test_the_model_equals_the_paper_in_numpy(changes: dict[str, Any]) -> None:
    model = build_small(**changes)
    weights = {weight.path: weight.numpy() for weight in model.weights}
    pixels = random_pixels(3, 8)
    expected = numpy_reference.classify(pixels, weights, small_config(**changes))
    assert np.abs(expected).max() > 0.05
    np.testing.assert_allclose(logits(model, pixels), expected, atol=1e-4)


def test_vit_tiny_equals_the_paper_in_numpy(vit_tiny: keras.Model) -> None:
    weights = {weight.path: weight.numpy() for weight in vit_tiny.weights}
    # Its normalisation is still the identity.
    pixels = random_pixels(2, 32) / 64 - 2
    expected = numpy_reference.classify(pixels, weights, preset_config("vit-tiny"))
    np.testing.assert_allclose(logits(vit_tiny, pixels), expected, atol=1e-4)


@pytest.mark.parametrize("layer", ["attention", "mlp", "head"])
def test_dropout_is_active_in_training_and_never_in_inference(layer: str) -> None:
    """A layer before them once left `training=True` in the call context of those after it."""
    changes = {"image_size": 12, f"{layer}_dropout": 0.5, "head_units": (10,), "num_classes": 40}
    model = build_small(**changes)
    pixels = random_pixels(3, 8)
    weights = {weight.path: weight.numpy() for weight in model.weights}
    without_dropout = numpy_reference.classify(pixels, weights, small_config(**changes))
    for inference in (
        logits(model, pixels),
        logits(model, pixels, training=False),
        logits(model, pixels, training=None),
        model.predict(pixels, verbose=0),
        model.predict_on_batch(pixels),
    ):
        np.testing.assert_allclose(inference, without_dropout, atol=1e-4)
    first, second = (logits(model, pixels, training=True) for _ in range(2))
    assert np.abs(first - second).max() > 1e-3


def test_a_saved_model_answers_with_the_same_bits(tmp_path: Path) -> None:
    changes = {"image_size": 12, "depth": 2, "attention_dropout": 0.1, "head_units": (10,)}
    model = build_small(**changes)
    path = tmp_path / "model.keras"
    model.save(path)
    plain = load_model(path).model
    write_model(model, small_config(**changes), path, {})
    compressed = load_model(path).model
    pixels = random_pixels(3, 8)
    for loaded in (plain, compressed):
        assert [weight.path for weight in loaded.weights] == [w.path for w in model.weights]
        for weight, original in zip(loaded.weights, model.weights, strict=True):
            np.testing.assert_array_equal(weight.numpy(), original.numpy())
        np.testing.assert_array_equal(logits(loaded, pixels), logits(model, pixels))


def test_normalization_is_effective_at_once_and_after_loading(tmp_path: Path) -> None:
    model = build_small()
    pixels = random_pixels(2, 8)
    # So that there is a compiled function which knows the old statistics.
    before = model.predict(pixels, verbose=0)
    mean, variance = np.array([10.0, 120.0, 250.0]), np.array([100.0, 4000.0, 9000.0])
    set_normalization(model, mean, variance)
    expected = numpy_reference.classify(
        pixels, {weight.path: weight.numpy() for weight in model.weights}, small_config()
    )
    normalized = model.get_layer(NORMALIZATION)(pixels)
    np.testing.assert_allclose(normalized, (pixels - mean) / np.sqrt(variance), atol=1e-4)
    path = tmp_path / "model.keras"
    write_model(model, small_config(), path, {})
    for answers in (
        logits(model, pixels),
        model.predict(pixels, verbose=0),
        logits(load_model(path).model, pixels),
    ):
        np.testing.assert_allclose(answers, expected, atol=1e-4)
    assert np.abs(before - expected).max() > 1e-2
