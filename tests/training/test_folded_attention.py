"""Attention in the order of products that trains fastest is the same function as the plain one."""

import dataclasses
from pathlib import Path

import keras
import numpy as np
import pytest

from tests.support.folded_attention import (
    ANSWERS,
    CONFIG,
    PIXELS,
    check_equal,
    plain_and_folded,
    relative_difference,
)
from tests.support.gradients import logits_and_gradients
from tests.support.numpy_reference import classify
from tests.support.processes import run_python
from tests.support.small_models import set_random_weights, small_config
from training.checkpoint import save_weights
from training.folded_attention import FoldedSelfAttention, attention_layer
from training.networks import build_for_training
from training.precision import policy
from training.recipes.schema import RegularizationRecipe
from vitsd_export.errors import InputError
from vitsd_export.model.classifier import build_classifier
from vitsd_export.model.config import PRESETS, ModelConfig, preset_config
from vitsd_export.model.layers import LocalitySelfAttention
from vitsd_export.sources.checkpoint import load_model


def test_logits_and_gradients_are_equal_on_tensorflow() -> None:
    check_equal(1e-5)


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_logits_and_gradients_are_equal_on_other_backends(backend: str) -> None:
    pytest.importorskip(backend)
    told = run_python(
        "import keras\n"
        "from tests.support.folded_attention import check_equal\n"
        "check_equal(1e-5)\n"
        "print(keras.backend.backend())",
        KERAS_BACKEND=backend,
        JAX_PLATFORMS="cpu",
    )
    assert told.split() == [backend]


def test_in_double_precision_it_is_the_network_of_the_paper() -> None:
    before = keras.config.dtype_policy(), keras.config.floatx()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    try:
        plain, folded = plain_and_folded()
        answers = [logits_and_gradients(m, PIXELS, ANSWERS)[0] for m in (plain, folded)]
        weights = {
            variable.path: keras.ops.convert_to_numpy(variable) for variable in folded.weights
        }
    finally:
        keras.config.set_floatx(before[1])
        keras.config.set_dtype_policy(before[0])
    expected = classify(PIXELS, weights, CONFIG)
    for logits in answers:
        np.testing.assert_allclose(logits, expected, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(answers[1], answers[0], rtol=1e-9, atol=1e-9)


def test_in_mixed_precision_weights_and_gradients_are_float32_and_answers_close() -> None:
    plain, _ = plain_and_folded()
    with policy("bfloat16"):
        folded = build_classifier(CONFIG, attention=FoldedSelfAttention)
    set_random_weights(folded)
    logits, gradients = logits_and_gradients(folded, PIXELS, ANSWERS)
    assert folded.get_layer("block0_attention").compute_dtype == "bfloat16"
    assert {str(v.dtype) for v in folded.trainable_variables} == {"float32"}
    assert {gradient.dtype for gradient in gradients} == {np.dtype(np.float32)}
    expected, _ = logits_and_gradients(plain, PIXELS, ANSWERS)
    assert 0 < relative_difference(expected, np.asarray(logits, np.float32)) < 0.05


def test_dropout_of_the_attention_acts_in_training_alone() -> None:
    _, folded = plain_and_folded(dataclasses.replace(CONFIG, attention_dropout=0.5))
    inference = np.asarray(folded(PIXELS, training=False))
    np.testing.assert_array_equal(folded(PIXELS, training=False), inference)
    assert np.abs(np.asarray(folded(PIXELS, training=True)) - inference).max() > 1e-3


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (preset_config("vit-tiny"), LocalitySelfAttention),
        (preset_config("vit-small-ds"), FoldedSelfAttention),
        (small_config(dim=8, key_dim=4), FoldedSelfAttention),
        (small_config(dim=8, key_dim=3), LocalitySelfAttention),
    ],
    ids=["vit-tiny", "vit-small-ds", "half as wide", "narrower"],
)
def test_the_layer_with_fewer_products_trains(
    config: ModelConfig, expected: type[LocalitySelfAttention]
) -> None:
    assert attention_layer(config) is expected
    small = dataclasses.replace(config, depth=1)
    model = build_for_training(small, RegularizationRecipe())
    assert type(model.get_layer("block0_attention")) is expected


def test_both_networks_have_the_same_weights_in_the_same_order() -> None:
    plain, folded = plain_and_folded()
    for one, other in zip(plain.weights, folded.weights, strict=True):
        assert (one.path, one.shape, one.trainable) == (other.path, other.shape, other.trainable)


def test_a_checkpoint_of_training_is_read_by_the_preset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keras names what it saves after the layers' classes, and the optimizer lies in the file, too."""
    config = dataclasses.replace(CONFIG, attention_dropout=0.1, head_dropout=0.1)
    monkeypatch.setitem(PRESETS, "small", config)
    trained = build_for_training(config, RegularizationRecipe(drop_path=0.1))
    assert type(trained.get_layer("block0_attention")) is FoldedSelfAttention
    set_random_weights(trained)
    trained.compile(keras.optimizers.AdamW())
    trained.optimizer.build(trained.trainable_variables)
    path = tmp_path / "epoch0001.weights.h5"
    save_weights(trained, path)
    before = path.read_bytes()
    loaded = load_model(path, preset="small")
    assert type(loaded.model.get_layer("block0_attention")) is LocalitySelfAttention
    expected = trained(PIXELS, training=False)
    np.testing.assert_allclose(loaded.model(PIXELS, training=False), expected, rtol=1e-5, atol=1e-5)
    assert path.read_bytes() == before
    with pytest.raises(InputError, match="do not fit the preset vit-tiny"):
        load_model(path, preset="vit-tiny")
