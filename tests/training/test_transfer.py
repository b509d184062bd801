"""Weights of one vision transformer in another of another grid or other classes."""

import re
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image

from tests.support.keras_models import convolutional_network, write_small_model
from tests.support.processes import run_python
from tests.support.small_models import random_pixels, set_random_weights, small_config
from training.precision import policy
from training.start_from import load_start
from training.transfer import (
    freeze_encoder,
    interpolate_positions,
    spread_kernel,
    transfer_weights,
)
from vitsd_export.data.labels import CIFAR10_CLASSES
from vitsd_export.errors import InputError, UsageError
from vitsd_export.model.classifier import build_classifier, set_normalization
from vitsd_export.model.config import ModelConfig
from vitsd_export.sources.checkpoint import load_model, write_model

BUNDLED = "vit-tiny-cifar10"
FLATTEN: dict[str, Any] = {"head": "flatten", "head_units": (10, 6), "depth": 2}


def source_and_target(
    source: ModelConfig, target: ModelConfig, *, drop_path: float = 0.0
) -> tuple[keras.Model, keras.Model]:
    """A model whose every weight has a value of its own, and one as it is initialised."""
    trained = build_classifier(source)
    set_random_weights(trained)
    return trained, build_classifier(target, drop_path=drop_path)


def logits(model: keras.Model, pixels: np.ndarray) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(model(pixels, training=False)))


def rng() -> np.random.Generator:
    return np.random.default_rng(7)


# Equal architectures.


@pytest.mark.parametrize("changes", [{}, {**FLATTEN, "head_dropout": 0.5, "image_size": 16}])
def test_with_equal_configurations_the_answers_are_equal_to_the_bit(
    changes: dict[str, Any],
) -> None:
    config = small_config(**changes)
    source, target = source_and_target(config, config, drop_path=0.2)
    before = source.get_weights()
    transfer = transfer_weights(source, config, target, config, same_classes=True)
    pixels = random_pixels(5, 8)
    np.testing.assert_array_equal(logits(target, pixels), logits(source, pixels))
    for one, other in zip(source.get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, other)
    assert not {"Interpolated", "Spread", "New"} & set(re.findall(r"(\w+): ", transfer))


def test_a_frozen_target_and_one_with_other_attention_layers_take_the_weights_too() -> None:
    config = small_config(depth=2)
    source, target = source_and_target(config, config)

    class OtherAttention(type(target.get_layer("block0_attention"))):  # type: ignore[misc]
        """The same weights under another class."""

    def replaced(layer: Any) -> Any:
        if layer.name.endswith("_attention"):
            return OtherAttention.from_config(layer.get_config())
        return layer.__class__.from_config(layer.get_config())

    target = keras.models.clone_model(target, clone_function=replaced)
    freeze_encoder(target)
    transfer_weights(source, config, target, config, same_classes=True)
    pixels = random_pixels(2, 8)
    np.testing.assert_array_equal(logits(target, pixels), logits(source, pixels))


def test_after_predicting_the_new_statistics_are_in_use() -> None:
    config = small_config()
    source, target = source_and_target(config, config)
    pixels = random_pixels(4, 8)
    set_normalization(target, np.zeros(3), np.ones(3))
    target.predict_on_batch(pixels)
    transfer_weights(source, config, target, config, same_classes=True)
    np.testing.assert_allclose(
        target.predict_on_batch(pixels), source.predict_on_batch(pixels), atol=1e-6
    )


# Position embeddings.


@pytest.mark.parametrize(("old", "new"), [(6, 12), (8, 12), (12, 6), (5, 7), (9, 4), (1, 3)])
def test_positions_are_resampled_as_pillow_does(old: int, new: int) -> None:
    positions = rng().normal(size=(old**2, 5)).astype(np.float32)
    resampled = interpolate_positions(positions, new)
    for channel in range(5):
        plane = Image.fromarray(positions[:, channel].reshape(old, old))
        expected = np.asarray(plane.resize((new, new), Image.Resampling.BICUBIC))
        np.testing.assert_allclose(resampled[:, channel].reshape(new, new), expected, atol=2e-6)


def test_positions_of_an_equal_grid_stay_as_they_are() -> None:
    positions = rng().normal(size=(36, 5))
    np.testing.assert_array_equal(interpolate_positions(positions, 6), positions)


# The head.


def area_means(tokens: np.ndarray, old: int, new: int) -> np.ndarray:
    """Means of new tokens over the areas of the old ones, by repeating them on a common grid.

    Args:
        tokens: [new, new, dim].

    Returns:
        [old, old, dim].
    """
    common = np.lcm(old, new)
    fine = tokens.repeat(common // new, axis=0).repeat(common // new, axis=1)
    return np.asarray(
        fine.reshape(old, common // old, old, common // old, -1).mean(axis=(1, 3), dtype=np.float64)
    )


@pytest.mark.parametrize(("old", "new"), [(6, 12), (8, 12), (12, 6), (12, 8), (5, 7), (1, 3)])
def test_a_spread_head_sees_the_mean_over_each_old_token(old: int, new: int) -> None:
    generator = rng()
    kernel = generator.normal(size=(old * old * 3, 4))
    spread = spread_kernel(kernel, old, new)
    assert spread.shape == (new * new * 3, 4)
    tokens = generator.normal(size=(new, new, 3))
    expected = area_means(tokens, old, new).ravel() @ kernel
    np.testing.assert_allclose(tokens.ravel() @ spread, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("old", "new"), [(6, 12), (4, 12), (1, 3)])
def test_tokens_constant_over_each_old_one_give_the_same_answer(old: int, new: int) -> None:
    generator = rng()
    kernel = generator.normal(size=(old * old * 3, 4))
    tokens = generator.normal(size=(old, old, 3))
    fine = tokens.repeat(new // old, axis=0).repeat(new // old, axis=1)
    np.testing.assert_allclose(
        fine.ravel() @ spread_kernel(kernel, old, new), tokens.ravel() @ kernel, atol=1e-12
    )


def test_a_head_of_an_equal_grid_stays_as_it_is() -> None:
    kernel = rng().normal(size=(6 * 6 * 3, 4))
    np.testing.assert_array_equal(spread_kernel(kernel, 6, 6), kernel)


# Whole models of another size.


def test_a_finer_grid_gets_interpolated_positions_and_a_spread_head() -> None:
    small = small_config(**FLATTEN)
    large = small_config(**FLATTEN, input_size=10, image_size=16, num_classes=5)
    source, target = source_and_target(small, large)
    initial = target.get_layer("logits").get_weights()
    transfer = transfer_weights(source, small, target, large, same_classes=False)

    (positions,) = source.get_layer("positions").get_weights()
    kernel, bias = source.get_layer("head_dense0").get_weights()
    np.testing.assert_allclose(
        target.get_layer("positions").get_weights()[0], interpolate_positions(positions, 4)
    )
    spread, same_bias = target.get_layer("head_dense0").get_weights()
    np.testing.assert_allclose(spread, spread_kernel(kernel, 2, 4), rtol=1e-6)
    np.testing.assert_array_equal(same_bias, bias)
    changed = {"positions", "head_dense0", "logits"}
    for layer in source.layers:
        if layer.name not in changed:
            for one, other in zip(
                layer.get_weights(), target.get_layer(layer.name).get_weights(), strict=True
            ):
                np.testing.assert_array_equal(one, other)
    for one, other in zip(target.get_layer("logits").get_weights(), initial, strict=True):
        np.testing.assert_array_equal(one, other)
    assert np.isfinite(logits(target, random_pixels(2, 10))).all()
    assert transfer == (
        "Taken over: normalisation statistics, tokenizer, encoder (2 blocks), head layer 2. "
        "Interpolated: position embeddings (2×2 → 4×4). Spread: head layer 1 (4 → 16 tokens). "
        "New: logits (3 → 5 classes)."
    )


def test_logits_that_see_the_tokens_are_spread() -> None:
    small = small_config(head="flatten")
    large = small_config(head="flatten", image_size=16)
    source, target = source_and_target(small, large)
    transfer = transfer_weights(source, small, target, large, same_classes=True)
    kernel, _ = source.get_layer("logits").get_weights()
    np.testing.assert_allclose(
        target.get_layer("logits").get_weights()[0], spread_kernel(kernel, 2, 4), rtol=1e-6
    )
    assert "Spread: logits (4 → 16 tokens)." in transfer
    assert "New" not in transfer


def test_a_head_that_averages_the_tokens_is_taken_over_whole() -> None:
    small = small_config(head_units=(6,))
    large = small_config(head_units=(6,), image_size=16)
    source, target = source_and_target(small, large)
    transfer = transfer_weights(source, small, target, large, same_classes=True)
    assert transfer == (
        "Taken over: normalisation statistics, tokenizer, encoder (1 block), head layer 1, logits. "
        "Interpolated: position embeddings (2×2 → 4×4)."
    )
    for name in ("head_dense0", "logits"):
        for one, other in zip(
            source.get_layer(name).get_weights(), target.get_layer(name).get_weights(), strict=True
        ):
            np.testing.assert_array_equal(one, other)


def test_as_many_but_other_classes_get_new_logits() -> None:
    config = small_config()
    source, target = source_and_target(config, config)
    initial = target.get_layer("logits").get_weights()
    transfer = transfer_weights(source, config, target, config, same_classes=False)
    for one, other in zip(target.get_layer("logits").get_weights(), initial, strict=True):
        np.testing.assert_array_equal(one, other)
    assert transfer.endswith("New: logits (3 other classes).")


def test_every_difference_is_named_and_nothing_is_changed() -> None:
    theirs = small_config(**FLATTEN)
    own = small_config(
        patch_size=2, dim=12, key_dim=4, num_heads=3, mlp_units=(12, 12), layer_norm_epsilon=1e-3
    )
    source, target = source_and_target(theirs, own)
    before = target.get_weights()
    with pytest.raises(InputError) as caught:
        transfer_weights(source, theirs, target, own, same_classes=True)
    for difference in (
        "patch_size is 4, not 2",
        "dim is 8, not 12",
        "depth is 2, not 1",
        "num_heads is 2, not 3",
        "key_dim is 6, not 4",
        "mlp_units is (12, 8), not (12, 12)",
        "head is flatten, not mean",
        "head_units is (10, 6), not ()",
        "layer_norm_epsilon is 1e-06, not 0.001",
    ):
        assert difference in str(caught.value)
    assert caught.value.exit_code == 3
    for one, other in zip(target.get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, other)


# Freezing.


def test_only_the_head_of_a_frozen_model_is_trained() -> None:
    model = build_classifier(small_config(**FLATTEN, head_dropout=0.1), drop_path=0.1)
    freeze_encoder(model)
    trainable = {variable.path for variable in model.trainable_variables}
    layers = ("head_dense0", "head_dense1", "logits")
    assert trainable == {f"{layer}/{name}" for layer in layers for name in ("kernel", "bias")}
    before = {variable.path: np.array(variable) for variable in model.weights}
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.train_on_batch(random_pixels(4, 8), np.array([0, 1, 2, 0]))
    changed = {v.path for v in model.weights if (np.array(v) != before[v.path]).any()}
    assert changed == trainable


# Reading the model to start from.


def test_the_bundled_model_is_read_with_its_classes() -> None:
    # The preset is for files of weights.
    start = load_start(BUNDLED, preset="vit-small-ds")
    assert start.class_names == CIFAR10_CLASSES
    assert start.has_classes(list(CIFAR10_CLASSES))
    assert not start.has_classes(CIFAR10_CLASSES[::-1])
    assert (start.config.dim, start.config.depth, start.config.num_classes) == (96, 6, 10)
    loaded = load_model(BUNDLED)
    assert start.sha256 == loaded.sha256
    pixels = random_pixels(2, 32)
    np.testing.assert_allclose(
        logits(start.model, pixels), logits(loaded.model, pixels), rtol=0, atol=1e-5
    )


@pytest.mark.parametrize(
    "changes",
    [
        {
            **FLATTEN,
            "image_size": 16,
            "head_dropout": 0.5,
            "mlp_dropout": 0.2,
            "attention_dropout": 0.1,
        },
        {"layer_norm_epsilon": 1e-3, "head_units": (5,), "mlp_units": (9, 7, 8)},
    ],
)
def test_the_architecture_is_that_which_the_file_was_made_with(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    config = small_config(**changes)
    model = build_classifier(config)
    set_random_weights(model)
    write_model(model, config, tmp_path / "model.keras", {})
    start = load_start(tmp_path / "model.keras")
    assert start.config == config
    assert start.class_names is None
    assert not start.has_classes("abc")
    for one, other in zip(start.model.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_training_model_with_drop_path_is_read_from_hdf5(tmp_path: Path) -> None:
    config = small_config(depth=2)
    model = build_classifier(config, drop_path=0.5)
    set_random_weights(model)
    model.save(tmp_path / "model.h5")
    start = load_start(tmp_path / "model.h5")
    assert start.config == config
    pixels = random_pixels(2, 8)
    np.testing.assert_allclose(logits(start.model, pixels), logits(model, pixels), atol=1e-6)


def test_a_model_that_computes_in_bfloat16_keeps_its_float32_weights(tmp_path: Path) -> None:
    config = small_config()
    with policy("bfloat16"):
        model = build_classifier(config)
    set_random_weights(model)
    model.save(tmp_path / "model.keras")
    start = load_start(tmp_path / "model.keras")
    for one, other in zip(start.model.get_weights(), model.get_weights(), strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


def test_a_softmax_at_the_end_is_left_out(tmp_path: Path) -> None:
    model = build_classifier(small_config())
    set_random_weights(model)
    answer = keras.layers.Softmax()(model.output)
    keras.Model(model.input, answer).save(tmp_path / "model.keras")
    start = load_start(tmp_path / "model.keras")
    pixels = random_pixels(2, 8)
    np.testing.assert_allclose(logits(start.model, pixels), logits(model, pixels), atol=1e-6)


def test_a_file_of_weights_needs_the_preset(tmp_path: Path) -> None:
    model = load_model(BUNDLED).model
    path = tmp_path / "model.weights.h5"
    model.save_weights(path)
    with pytest.raises(UsageError, match="--preset"):
        load_start(path)
    start = load_start(path, preset="vit-tiny")
    for one, other in zip(start.model.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_convolutional_network_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "convolutional.keras"
    convolutional_network().save(path)
    with pytest.raises(InputError, match=f"{re.escape(str(path))}.* no layers ShiftedPatchToken"):
        load_start(path)


@pytest.mark.parametrize("fault", ["activation", "bias", "wiring"])
def test_layers_that_are_wired_otherwise_are_refused(tmp_path: Path, fault: str) -> None:
    model = build_classifier(small_config(depth=2))
    set_random_weights(model)

    def changed(layer: Any) -> Any:
        config = layer.get_config()
        if layer.name == "block1_mlp_dense0" and fault == "activation":
            config["activation"] = "relu"
        if layer.name == "block1_mlp_dense0" and fault == "bias":
            config["use_bias"] = False
        return layer.__class__.from_config(config)

    other = keras.models.clone_model(model, clone_function=changed)
    if fault != "bias":
        other.set_weights(model.get_weights())
        set_normalization(other, np.full(3, 120.0), np.full(3, 4000.0))
    if fault == "wiring":
        other = keras.Model(other.input, keras.layers.Add()([other.output, 2 * other.output]))
    other.save(tmp_path / "other.keras")
    message = "weights of shapes" if fault == "bias" else "answers otherwise"
    with pytest.raises(InputError, match=message) as caught:
        load_start(tmp_path / "other.keras")
    assert caught.value.exit_code == 3


def test_a_damaged_file_and_a_missing_one_are_refused(tmp_path: Path) -> None:
    path = write_small_model(tmp_path / "model.keras")
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(InputError):
        load_start(path)
    with pytest.raises(InputError, match="does not exist"):
        load_start(tmp_path / "none.keras")


def test_a_saved_model_whose_graph_cannot_be_mapped_is_refused(tmp_path: Path) -> None:
    build_classifier(small_config()).export(tmp_path / "saved", verbose=False)
    with pytest.raises(InputError, match=r"cannot start from .*graph that cannot be taken apart"):
        load_start(tmp_path / "saved")


# Other backends.

_START = """
import sys
import keras
import numpy as np
from training.start_from import load_start
from training.transfer import freeze_encoder, transfer_weights
from vitsd_export.errors import EnvironmentProblem
from vitsd_export.model.classifier import build_classifier

pixels, path, saved = sys.argv[1:]
start = load_start(path)
target = build_classifier(start.config)
transfer_weights(start.model, start.config, target, start.config, same_classes=True)
freeze_encoder(target)
np.save(pixels, target.predict_on_batch(np.load(pixels)))
try:
    load_start(saved)
except EnvironmentProblem as error:
    print(error)
print(keras.backend.backend(), "tensorflow" in sys.modules, len(target.trainable_variables))
"""


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_a_keras_file_is_read_without_tensorflow_but_no_saved_model(
    tmp_path: Path, backend: str
) -> None:
    pytest.importorskip(backend)
    config = small_config(head="flatten")
    model = build_classifier(config)
    set_random_weights(model)
    path = tmp_path / "model.keras"
    write_model(model, config, path, {})
    pixels = random_pixels(3, 8)
    np.save(tmp_path / "pixels.npy", pixels)
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "saved_model.pb").touch()
    arguments = [tmp_path / "pixels.npy", path, tmp_path / "saved"]
    printed = run_python(_START, *arguments, KERAS_BACKEND=backend, JAX_PLATFORMS="cpu")
    refusal, figures = printed.splitlines()
    assert "vitsd-export convert" in refusal
    assert figures.split() == [backend, "False", "2"]
    np.testing.assert_allclose(np.load(tmp_path / "pixels.npy"), logits(model, pixels), atol=1e-5)
