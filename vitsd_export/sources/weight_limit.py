"""Keeps a damaged or hostile architecture from filling the memory with weights."""

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import keras

# What layers may hold beside what is stored of them.
_SLACK = 1 << 20


class TooManyWeights(ValueError):
    """An architecture wants more weights than its file holds."""


@contextlib.contextmanager
def limited_weights(stored: int) -> Iterator[None]:
    """Lets layers make as many weights, while the block runs, as a file holds.

    Keras allocates the weights of an architecture before it looks whether the file has numbers for them.

    Args:
        stored: Numbers in the file.

    Raises:
        TooManyWeights: In the block, by the layer that goes too far.
    """
    add_weight = keras.layers.Layer.add_weight
    left = stored + _SLACK

    def add_counted(self: Any, shape: Any = None, *arguments: Any, **options: Any) -> Any:
        nonlocal left
        left -= math.prod(shape) if isinstance(shape, list | tuple) else shape or 1
        if left < 0:
            raise TooManyWeights(
                f"the layer {self.name} wants a weight of shape {shape}; the file holds {stored} numbers"
            )
        return add_weight(self, shape, *arguments, **options)

    keras.layers.Layer.add_weight = add_counted
    try:
        yield
    finally:
        keras.layers.Layer.add_weight = add_weight
