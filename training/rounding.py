"""Weights that compress well."""

import keras
import numpy as np

from vitsd_export.errors import InputError


def round_to_float16(model: keras.Model) -> None:
    """Rounds a model's trainable weights to values that float16 has; they stay float32.

    The last 13 of 23 mantissa bits are then zero, which deflate takes away: the file is half as large. Meant
    to be done before the final evaluation.

    Raises:
        InputError: If a weight is too large for float16.
    """
    largest = float(np.finfo(np.float16).max)
    for variable in model.trainable_variables:
        values = keras.ops.convert_to_numpy(variable)
        if np.abs(values).max() > largest:
            raise InputError(
                f"A weight of {variable.path} exceeds {largest:g}, the largest float16. Train with a lower "
                "learning rate or more weight decay."
            )
        variable.assign(values.astype(np.float16).astype(np.float32))
