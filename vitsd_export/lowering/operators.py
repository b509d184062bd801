"""The few operators that a lowered model is made of."""

import abc
import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from vitsd_export.lowering.graph import Array, Dense, LayerNorm

# Whatever stands for a tensor: a TensorFlow tensor, the name of an ONNX value, a shape.
Tensor = Any


class Scoped:
    """Names tensors by their place."""

    _scope = ""

    @contextlib.contextmanager
    def scope(self, name: str) -> Iterator[None]:
        """Puts `name/` before the names given inside."""
        outer, self._scope = self._scope, f"{self._scope}{name}/"
        yield
        self._scope = outer


class Operators(Scoped, abc.ABC):
    """Operators of one runtime.

    Shapes hold the batch first; -1 stands for it, or for a multiple of it, in `reshape`. An operator's
    name is unique within its scope and names the tensor that comes of it.
    """

    @abc.abstractmethod
    def pixels(self, image: Tensor, name: str) -> Tensor:
        """Casts the image to float32."""

    @abc.abstractmethod
    def dense(self, x: Tensor, layer: Dense, name: str) -> Tensor:
        """x · kernel + bias of x [rows, inputs]."""

    @abc.abstractmethod
    def apply_left(self, matrix: Array, x: Tensor, name: str) -> Tensor:
        """Constant matrix [a, b] · x [batch, b, c]."""

    @abc.abstractmethod
    def product(self, x: Tensor, y: Tensor, name: str, *, transpose_y: bool = False) -> Tensor:
        """x · y or x · yᵀ of x [batch, a, b] and y [batch, b, c] or [batch, c, b]."""

    @abc.abstractmethod
    def add(self, x: Tensor, y: Tensor | Array, name: str) -> Tensor:
        """x + y, broadcast to x."""

    @abc.abstractmethod
    def subtract(self, x: Tensor, y: Tensor | Array, name: str) -> Tensor:
        """x - y, broadcast to x."""

    @abc.abstractmethod
    def multiply(self, x: Tensor, y: Tensor | Array, name: str) -> Tensor:
        """x · y element by element, broadcast to x."""

    @abc.abstractmethod
    def divide_by_root(self, x: Tensor, square: Tensor, name: str) -> Tensor:
        """x / √square; square is broadcast to x."""

    @abc.abstractmethod
    def layer_norm(self, x: Tensor, layer: LayerNorm, width: int, name: str) -> Tensor:
        """Normalises x [rows, width]."""

    @abc.abstractmethod
    def gelu(self, x: Tensor, name: str) -> Tensor:
        """x · Φ(x), exact."""

    @abc.abstractmethod
    def softmax(self, x: Tensor, name: str) -> Tensor:
        """Softmax over the last axis."""

    @abc.abstractmethod
    def mean(self, x: Tensor, axis: int, name: str) -> Tensor:
        """Mean over an axis, which goes."""

    @abc.abstractmethod
    def reshape(self, x: Tensor, shape: Sequence[int], name: str) -> Tensor:
        """The same numbers in another shape."""

    @abc.abstractmethod
    def transpose(self, x: Tensor, order: Sequence[int], name: str) -> Tensor:
        """Axes in another order."""

    @abc.abstractmethod
    def shifted_copies(self, x: Tensor, by: int, name: str) -> Tensor:
        """x [batch, size, size, channels] and its four copies moved diagonally, side by side as channels.

        In the order up-left, down-left, up-right, down-right; vacated pixels are zero.
        """

    @abc.abstractmethod
    def resize(self, x: Tensor, old: int, new: int, name: str) -> Tensor:
        """Bilinear resizing of [batch, old, old, channels] with half-pixel centres."""


def column(values: Array, bias: float | None = None) -> Dense:
    """Returns the dense layer that sums its inputs weighted by `values`."""
    return Dense(values[:, None], None if bias is None else np.array([bias]))
