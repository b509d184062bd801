"""Hyperparameters from the shapes of weights, and every tensor used exactly once."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.legacy_models import NARROW, PUBLISHED
from tests.support.source_tensors import hyperparameters, random_tensors, shapes
from vitsd_export.model.config import preset_config
from vitsd_export.sources.published_architecture import (
    NamedTensor,
    OtherWeights,
    Tensors,
    map_weights,
    read_config,
)


def test_the_published_shapes_are_those_of_the_preset() -> None:
    tensors = random_tensors(PUBLISHED)
    assert len(tensors) == 152
    assert read_config(tensors, 32) == preset_config("vit-small-ds")


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    grid=st.integers(1, 4),
    patch_size=st.sampled_from([2, 4, 6]),
    dim=st.integers(1, 9),
    heads=st.integers(1, 4),
    key_dim=st.integers(1, 9),
    depth=st.integers(1, 4),
    hidden=st.lists(st.integers(1, 9), max_size=2),
    head=st.lists(st.integers(1, 9), max_size=3),
    classes=st.integers(1, 9),
    pooling=st.sampled_from(["flatten", "mean"]),
)
def test_any_size_of_it_is_read_back(
    grid: int,
    patch_size: int,
    dim: int,
    heads: int,
    key_dim: int,
    depth: int,
    hidden: list[int],
    head: list[int],
    classes: int,
    pooling: str,
) -> None:
    config: dict[str, Any] = {
        "input_size": 32,
        "image_size": grid * patch_size,
        "patch_size": patch_size,
        "dim": dim,
        "num_heads": heads,
        "key_dim": key_dim,
        "depth": depth,
        "mlp_units": [*hidden, dim],
        "head_units": head,
        "num_classes": classes,
        # With one token there is no difference.
        "head": "flatten" if grid == 1 else pooling,
        "epsilon": 1e-6,
    }
    assert read_config(random_tensors(config), 32) == hyperparameters(config)


def test_each_number_gets_into_the_model_once() -> None:
    tensors = random_tensors(NARROW)
    model = map_weights(tensors, 32)
    sizes = [tensor.value.size for tensor in tensors]
    assert sum(sizes) == model.count_params()
    # The count of the normalisation, the third tensor, is the only one whose value does not matter.
    wanted = np.sort(np.concatenate([t.value.ravel() for t in (*tensors[:2], *tensors[3:])]))
    normalization = model.get_layer("normalization")
    held = [normalization.mean, normalization.variance, *model.trainable_weights]
    found = np.sort(np.concatenate([np.asarray(weight).ravel() for weight in held]))
    np.testing.assert_array_equal(found, wanted)


def test_tensors_go_where_they_belong() -> None:
    tensors = random_tensors(NARROW)
    model = map_weights(tensors, 32, 1e-3)
    attention = model.get_layer("block1_attention")
    # 8 tensors before the blocks, 17 in each; LayerNorm first, then the temperature.
    start = 8 + 17
    assert attention.tau.numpy() == tensors[start + 2].value
    heads = NARROW["num_heads"] * NARROW["key_dim"]
    np.testing.assert_array_equal(
        attention.key.kernel, tensors[start + 5].value.reshape(NARROW["dim"], heads)
    )
    np.testing.assert_array_equal(
        attention.projection.kernel, tensors[start + 9].value.reshape(heads, NARROW["dim"])
    )
    np.testing.assert_array_equal(model.get_layer("logits").bias, tensors[-1].value)
    assert model.get_layer("norm").epsilon == 1e-3


def without(tensors: Tensors, index: int) -> Tensors:
    return [*tensors[:index], *tensors[index + 1 :]]


@pytest.mark.parametrize("index", range(len(list(shapes({**NARROW, "depth": 1})))))
def test_a_missing_tensor_is_found_out(index: int) -> None:
    with pytest.raises(OtherWeights, match="at weight"):
        read_config(without(random_tensors({**NARROW, "depth": 1}), index), 32)


@pytest.mark.parametrize("index", range(0, len(list(shapes(NARROW))), 3))
def test_a_tensor_too_many_is_found_out(index: int) -> None:
    tensors = random_tensors(NARROW)
    extra = NamedTensor("extra", np.ones((7, 7, 7), np.float32))
    with pytest.raises(OtherWeights, match="at weight"):
        read_config([*tensors[:index], extra, *tensors[index:]], 32)


@pytest.mark.parametrize("index", range(len(list(shapes({**NARROW, "depth": 1})))))
def test_a_tensor_of_another_shape_is_found_out(index: int) -> None:
    tensors = random_tensors({**NARROW, "depth": 1})
    wrong = np.ones((*tensors[index].value.shape, 1), np.float32)
    tensors[index] = NamedTensor("wrong", wrong)
    with pytest.raises(OtherWeights, match="at weight"):
        read_config(tensors, 32)


@pytest.mark.parametrize(
    "value", [np.array([b"a", b"b", b"c"]), np.zeros(3, complex), np.zeros(3, bool)]
)
def test_what_is_no_number_is_found_out(value: np.ndarray) -> None:
    tensors = random_tensors(NARROW)
    tensors[0] = NamedTensor("mean", value)
    with pytest.raises(OtherWeights, match="is not expected here"):
        read_config(tensors, 32)


def test_blocks_that_differ_are_found_out() -> None:
    one, other = (random_tensors({**NARROW, "key_dim": width}) for width in (24, 12))
    with pytest.raises(OtherWeights, match="not alike"):
        read_config([*one[:25], *other[25:]], 32)


def test_no_tensors_are_found_out() -> None:
    with pytest.raises(OtherWeights, match="no weight follows"):
        read_config([], 32)
