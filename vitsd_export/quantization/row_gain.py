"""The factor on each row of attention weights in int8, and which scores count as masked."""

import numpy as np

# What is below this stands for a masked score.
MASKED_BELOW = -1e8


def row_gain(row_sums: np.ndarray) -> np.ndarray:
    """What a row of powers is multiplied by before its product with the values, given its sum.

    The powers are at most 1, and the sum over a row lies between 1 and the number of tokens. Divided by
    their sum, rows of many like weights would keep few steps of int8; as they are, rows of one large weight
    would keep few in the product, where all rows share a scale. The root of the sum shares the loss.
    """
    return np.asarray(1 / np.sqrt(row_sums))
