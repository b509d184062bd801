"""How the inputs of a dense layer go together over calibration images."""

from typing import Any

import numpy as np

from vitsd_export.quantization.rounding import GROUP

# Numbers that wait for one product of many rows: products of few rows take longer than running the model.
_WAITING = 2**22


class SecondMoments:
    """Sums x xᵀ over rows x, in groups of `rounding.GROUP` inputs.

    Args:
        dtype: What the products are computed in.
    """

    def __init__(self, dtype: type[np.floating[Any]] = np.float32) -> None:
        self._dtype = dtype
        self._sums: list[np.ndarray] = []
        self._waiting: list[np.ndarray] = []

    def add(self, values: np.ndarray) -> None:
        """Adds rows [..., inputs]."""
        self._waiting.append(values.reshape(-1, values.shape[-1]).astype(self._dtype))
        if sum(rows.size for rows in self._waiting) >= _WAITING:
            self._sum_up()

    def _sum_up(self) -> None:
        rows = np.concatenate(self._waiting)
        self._waiting = []
        groups = [rows[:, start : start + GROUP] for start in range(0, rows.shape[1], GROUP)]
        new = [(group.T @ group).astype(np.float64) for group in groups]
        old = self._sums or [np.zeros_like(moment) for moment in new]
        self._sums = [a + b for a, b in zip(old, new, strict=True)]

    def sums(self) -> list[np.ndarray]:
        """Returns Σ x xᵀ, [group, group] float64 for each group."""
        if self._waiting:
            self._sum_up()
        return self._sums
