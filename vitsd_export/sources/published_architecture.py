"""Maps the weights of the published TF-Keras 2 model into the Keras 3 model.

The published `keras-io/vit_small_ds_v2` holds its weights in the order of its layers:

    normalisation mean [3], variance [3], count
    tokenizer projection [5·3·patch², dim], [dim]; LayerNorm γ, β [5·3·patch²]
    positions [tokens, dim]
    each block: LayerNorm γ, β; temperature; query, key, value [dim, heads, key_dim], [heads, key_dim];
        output [heads, key_dim, dim], [dim]; LayerNorm γ, β; MLP kernels and biases
    LayerNorm γ, β; head kernels and biases

The hyperparameters follow from the shapes. Every shape is checked and every tensor is used exactly once.
"""

import dataclasses
import math
from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

import keras
import numpy as np

from vitsd_export.errors import UsageError
from vitsd_export.model.classifier import NORMALIZATION, build_classifier, set_normalization
from vitsd_export.model.config import ModelConfig


class NamedTensor(NamedTuple):
    """A weight, named as in its file."""

    name: str
    value: np.ndarray


Tensors: TypeAlias = list[NamedTensor]

PUBLISHED_EPSILON = 1e-6
# An image and its four shifted copies, each of three channels.
_STACKED_CHANNELS = 15
_LAYERS_OF_ATTENTION = ("query", "key", "value", "projection")


class OtherWeights(Exception):
    """The weights are not those of the published architecture; the message says where they differ."""


def map_weights(
    tensors: Tensors, input_size: int, epsilon: float = PUBLISHED_EPSILON
) -> keras.Model:
    """Builds the Keras 3 model with the weights of a TF-Keras 2 model.

    Args:
        tensors: All weights in the order of the layers.
        input_size: Height and width of the images that the model takes, in pixels.
        epsilon: Added to the variance in its LayerNormalizations, which no weight shows.

    Raises:
        OtherWeights: If number, order or shapes are of another architecture.
    """
    config = dataclasses.replace(read_config(tensors, input_size), layer_norm_epsilon=epsilon)
    model = build_classifier(config)
    values = iter(tensors)
    mean, variance, _ = (next(values).value for _ in range(3))
    set_normalization(model, mean, variance)
    assigned = {id(weight) for weight in model.get_layer(NORMALIZATION).weights}
    for weight, tensor in zip(_weights(model, config), values, strict=True):
        if math.prod(weight.shape) != tensor.value.size:
            raise OtherWeights(f"{tensor.name} has shape {tensor.value.shape}, not {weight.shape}")
        # Heads lie side by side: [dim, heads, key_dim] is [dim, heads · key_dim].
        weight.assign(tensor.value.reshape(weight.shape))
        assigned.add(id(weight))
    left = [weight.path for weight in model.weights if id(weight) not in assigned]
    if left:
        raise OtherWeights(f"there are no numbers for {', '.join(left)}")
    return model


def _weights(model: keras.Model, config: ModelConfig) -> Iterator[keras.Variable]:
    """Yields the weights after the normalisation in the order of the published model."""
    tokenizer = model.get_layer("tokenizer")
    yield from (*tokenizer.projection.weights, *tokenizer.norm.weights)
    yield from model.get_layer("positions").weights
    for index in range(config.depth):
        attention = model.get_layer(f"block{index}_attention")
        yield from model.get_layer(f"block{index}_attention_norm").weights
        yield attention.tau
        for part in _LAYERS_OF_ATTENTION:
            yield from getattr(attention, part).weights
        yield from model.get_layer(f"block{index}_mlp_norm").weights
        for layer in range(len(config.mlp_units)):
            yield from model.get_layer(f"block{index}_mlp_dense{layer}").weights
    yield from model.get_layer("norm").weights
    for layer in range(len(config.head_units)):
        yield from model.get_layer(f"head_dense{layer}").weights
    yield from model.get_layer("logits").weights


def read_config(tensors: Tensors, input_size: int) -> ModelConfig:
    """Returns the hyperparameters that the shapes of the weights tell.

    Raises:
        OtherWeights: If they are of another architecture.
    """
    return _Shapes(tensors).config(input_size)


class _Shapes:
    """A walk along the tensors."""

    def __init__(self, tensors: Tensors) -> None:
        self._tensors = tensors
        self._next = 0

    def config(self, input_size: int) -> ModelConfig:
        for shape in ((3,), (3,), ()):
            self._expect(shape)
        patch_values, dim = self._kernel()
        self._expect((patch_values,))
        self._expect((patch_values,))
        patch_size = math.isqrt(patch_values // _STACKED_CHANNELS)
        tokens, width = self._take(2).value.shape
        grid = math.isqrt(tokens)
        if width != dim or grid**2 != tokens or _STACKED_CHANNELS * patch_size**2 != patch_values:
            raise self._error(f"{tokens} tokens of width {width} from {patch_values} values each")
        heads, key_dim, depth = 0, 0, 0
        mlp_units: tuple[int, ...] = ()
        while self._is_block():
            block = self._block(dim)
            if depth and block != (heads, key_dim, mlp_units):
                raise self._error("its blocks are not alike")
            heads, key_dim, mlp_units = block
            depth += 1
        self._layer_norm(dim)
        flat, *units = self._dense_chain()
        if flat not in (dim, tokens * dim) or len(units) < 1:
            raise self._error(f"the head takes {flat} values")
        if self._next != len(self._tensors):
            raise self._error("weights are left over")
        try:
            return ModelConfig(
                input_size=input_size,
                image_size=grid * patch_size,
                patch_size=patch_size,
                dim=dim,
                num_heads=heads,
                key_dim=key_dim,
                depth=depth,
                mlp_units=mlp_units,
                head="flatten" if flat == tokens * dim else "mean",
                head_units=tuple(units[:-1]),
                num_classes=units[-1],
            )
        except UsageError as error:
            raise OtherWeights(str(error)) from error

    def _error(self, reason: str) -> OtherWeights:
        at = self._tensors[min(self._next, len(self._tensors)) - 1].name if self._tensors else "-"
        return OtherWeights(f"at weight {self._next} of {len(self._tensors)} ({at}): {reason}")

    def _take(self, rank: int) -> NamedTensor:
        if self._next == len(self._tensors):
            raise self._error("no weight follows")
        tensor = self._tensors[self._next]
        self._next += 1
        value = tensor.value
        if value.ndim != rank or not value.size or value.dtype.kind not in "fiu":
            raise self._error(f"shape {value.shape} of {value.dtype} is not expected here")
        return tensor

    def _expect(self, shape: tuple[int, ...]) -> None:
        found = self._take(len(shape)).value.shape
        if found != shape:
            raise self._error(f"shape {found}, not {shape}")

    def _kernel(self) -> tuple[int, int]:
        rows, columns = self._take(2).value.shape
        self._expect((columns,))
        return rows, columns

    def _layer_norm(self, dim: int) -> None:
        self._expect((dim,))
        self._expect((dim,))

    def _is_block(self) -> bool:
        """Whether a temperature follows the next LayerNorm."""
        after = self._next + 2
        return after < len(self._tensors) and self._tensors[after].value.ndim == 0

    def _block(self, dim: int) -> tuple[int, int, tuple[int, ...]]:
        self._layer_norm(dim)
        self._expect(())
        _, heads, key_dim = self._take(3).value.shape
        self._next -= 1
        for _ in ("query", "key", "value"):
            self._expect((dim, heads, key_dim))
            self._expect((heads, key_dim))
        self._expect((heads, key_dim, dim))
        self._expect((dim,))
        self._layer_norm(dim)
        first, *units = self._dense_chain()
        if first != dim:
            raise self._error(f"an MLP takes {first} values, not {dim}")
        return heads, key_dim, tuple(units)

    def _dense_chain(self) -> list[int]:
        """Reads dense layers of which each takes what the one before gives; returns the widths."""
        widths: list[int] = []
        while self._next < len(self._tensors) and self._tensors[self._next].value.ndim == 2:
            rows, columns = self._kernel()
            if widths and rows != widths[-1]:
                raise self._error(f"a layer takes {rows} values, not {widths[-1]}")
            widths += [columns] if widths else [rows, columns]
        if not widths:
            raise self._error("no dense layer follows")
        return widths
