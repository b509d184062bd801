"""How much a training step computes, and how fast the device could."""

import math
import time
from typing import Any
from unittest import mock

import keras
import numpy as np
import pytest

from tests.support.training_parts import small_config
from training import speed
from training.precision import Precision
from training.speed import device_share, matmul_rate, training_multiply_adds
from vitsd_export.model.classifier import build_classifier
from vitsd_export.model.config import PRESETS, ModelConfig


def counted_multiply_adds(config: ModelConfig) -> int:
    """Counts those of the products that the model in fact computes for one image."""
    total = 0
    dense, matmul = keras.layers.Dense.call, keras.ops.matmul

    def counting_dense(layer: keras.layers.Dense, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal total
        total += math.prod(inputs.shape) * layer.units
        return dense(layer, inputs, *args, **kwargs)

    def counting_matmul(a: Any, b: Any) -> Any:
        nonlocal total
        total += math.prod(a.shape) * b.shape[-1]
        return matmul(a, b)

    model = build_classifier(config)
    image = np.zeros((1, config.input_size, config.input_size, 3), np.float32)
    # Of the attention; a Dense layer calls what lies beneath.
    with (
        mock.patch.object(keras.layers.Dense, "call", counting_dense),
        mock.patch.object(keras.ops, "matmul", counting_matmul),
    ):
        model(image)
    return total


@pytest.mark.parametrize(
    "config",
    [
        *PRESETS.values(),
        small_config(),
        small_config(head="flatten", head_units=(10, 5), depth=3, mlp_units=(20, 12, 8)),
    ],
    ids=[*PRESETS, "small", "small with a deep head"],
)
def test_multiply_adds_are_three_times_those_of_the_model(config: ModelConfig) -> None:
    assert training_multiply_adds(config) == 3 * counted_multiply_adds(config)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_rate_is_that_of_a_matrix_product(precision: Precision) -> None:
    """Of the same order as NumPy's; a CPU without units for bfloat16 may emulate it slowly."""
    factor = np.ones((1024, 1024), np.float32)
    best = math.inf
    for _ in range(5):
        started = time.perf_counter()
        factor @ factor
        best = min(best, time.perf_counter() - started)
    by_numpy = 1024**3 / best
    rate = matmul_rate(precision)
    assert by_numpy / (20 if precision == "float32" else 1000) < rate < 50 * by_numpy


def test_the_share_is_what_is_computed_of_what_could_be() -> None:
    config = PRESETS["vit-tiny"]
    half = 500e9 / training_multiply_adds(config)
    with mock.patch.object(speed, "matmul_rate", return_value=1e12):
        assert device_share(config, "float32", half) == pytest.approx(0.5)
        assert device_share(config, "float32", 2 * half) == pytest.approx(1.0)
    assert 0 < device_share(config, "float32", 50.0) < 1
