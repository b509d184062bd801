"""Weights that float16 has."""

from pathlib import Path

import numpy as np
import pytest

from tests.support.training_parts import small_config
from training.rounding import round_to_float16
from vitsd_export.errors import InputError
from vitsd_export.model.classifier import build_classifier, set_normalization
from vitsd_export.sources.checkpoint import load_model, write_model


def test_weights_become_the_nearest_that_float16_has_and_stay_float32() -> None:
    model = build_classifier(small_config())
    # Neither of them float16 has.
    statistics = np.array([123.456, 1 / 3, 1e-9])
    set_normalization(model, statistics, statistics)
    before = [np.array(variable) for variable in model.trainable_variables]
    others = [np.array(variable) for variable in model.non_trainable_variables]
    round_to_float16(model)
    changed = 0
    for variable, old in zip(model.trainable_variables, before, strict=True):
        new = np.array(variable)
        assert new.dtype == np.float32
        np.testing.assert_array_equal(new.astype(np.float16).astype(np.float32), new)
        # Ten bits after the first, or half a step of the smallest numbers.
        np.testing.assert_array_less(
            np.abs(new - old), np.abs(old) * 2**-11 * 1.001 + 2**-25 * 1.001
        )
        changed += (new != old).sum()
    assert changed > 500
    assert any((other == np.float32(1 / 3)).any() for other in others)
    for variable, old in zip(model.non_trainable_variables, others, strict=True):
        np.testing.assert_array_equal(np.array(variable), old)


def test_the_file_is_about_half_as_large_and_holds_the_very_weights(tmp_path: Path) -> None:
    config = small_config(dim=64, mlp_units=(256, 64), num_heads=4, key_dim=32, depth=2)
    model = build_classifier(config)
    card = {"labels": ["a", "b", "c"]}
    write_model(model, config, tmp_path / "before.keras", card)
    round_to_float16(model)
    write_model(model, config, tmp_path / "after.keras", card)
    before, after = ((tmp_path / f"{n}.keras").stat().st_size for n in ("before", "after"))
    assert 0.4 < after / before < 0.65
    loaded = load_model(tmp_path / "after.keras").model
    for one, other in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("weight", [65505.0, -1e6])
def test_a_weight_too_large_for_float16_fails_by_name(weight: float) -> None:
    model = build_classifier(small_config())
    bias = model.get_layer("logits").bias
    bias.assign([0.0, weight, 0.0])
    with pytest.raises(InputError, match=r"logits/bias exceeds 65504, .*weight decay"):
        round_to_float16(model)


def test_the_largest_float16_passes() -> None:
    model = build_classifier(small_config())
    model.get_layer("logits").bias.assign([65504.0, -65504.0, 0.0])
    round_to_float16(model)
    np.testing.assert_array_equal(np.array(model.get_layer("logits").bias), [65504, -65504, 0])
