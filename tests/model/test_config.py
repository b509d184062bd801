"""Presets and the checks of a configuration."""

import re
from typing import Any

import pytest

from tests.support.small_models import small_config
from vitsd_export.errors import UsageError
from vitsd_export.model.config import PRESETS, ModelConfig, preset_config


def test_vit_small_ds_is_the_published_configuration() -> None:
    assert preset_config("vit-small-ds") == ModelConfig(
        input_size=32,
        image_size=72,
        patch_size=6,
        dim=64,
        num_heads=4,
        key_dim=64,
        depth=8,
        mlp_units=(128, 64),
        attention_dropout=0.1,
        mlp_dropout=0.1,
        head="flatten",
        head_units=(2048, 1024),
        head_dropout=0.5,
        layer_norm_epsilon=1e-6,
        num_classes=100,
    )
    assert preset_config("vit-small-ds").num_tokens == 144


def test_vit_tiny_is_pooled_and_not_upsampled() -> None:
    config = preset_config("vit-tiny")
    assert config.head == "mean"
    assert config.image_size == config.input_size == 32
    assert config.num_tokens == 64


def test_the_number_of_classes_can_be_chosen() -> None:
    assert preset_config("vit-tiny", num_classes=7).num_classes == 7
    assert preset_config("vit-tiny").num_classes == PRESETS["vit-tiny"].num_classes == 10


def test_an_unknown_preset_fails_and_names_those_there_are() -> None:
    with pytest.raises(UsageError, match=r"no preset 'vit-huge'.*vit-small-ds, vit-tiny"):
        preset_config("vit-huge")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"patch_size": 3, "image_size": 9}, "patch_size 3 must be even"),
        ({"patch_size": 6}, "patch_size 6 must be even and divide image_size 8"),
        ({"patch_size": 0}, "patch_size must be at least 1, not 0"),
        ({"depth": 0}, "depth must be at least 1"),
        ({"num_heads": -1}, "num_heads must be at least 1, not -1"),
        ({"num_classes": 0}, "num_classes must be at least 1"),
        ({"mlp_units": (12, 9)}, "must equal dim 8"),
        ({"mlp_units": ()}, "must equal dim 8"),
        ({"head": "token"}, "head must be 'flatten' or 'mean', not 'token'"),
        ({"head_dropout": 1.0}, "head_dropout must be at least 0 and less than 1, not 1.0"),
        ({"mlp_dropout": float("nan")}, "mlp_dropout must be at least 0"),
    ],
)
def test_an_impossible_configuration_fails(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        small_config(**changes)
