"""Named weights in the order of a model's layers."""

from typing import NamedTuple, TypeAlias

import numpy as np


class NamedTensor(NamedTuple):
    """A weight.

    Attributes:
        name: As in the file.
        value: Its numbers.
    """

    name: str
    value: np.ndarray


Tensors: TypeAlias = list[NamedTensor]
