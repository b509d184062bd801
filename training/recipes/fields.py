"""Checking and reading of a recipe's values."""

import math
from typing import Any

from vitsd_export.errors import UsageError


def check_range(
    name: str,
    value: float,
    *,
    at_least: float = -math.inf,
    above: float = -math.inf,
    at_most: float = math.inf,
    below: float = math.inf,
) -> None:
    """Checks that a field's value is finite and in its range.

    Raises:
        UsageError: If it is not.
    """
    # Written so that NaN fails too, and for integers of any length.
    if at_least <= value <= at_most and above < value < below and abs(value) != math.inf:
        return
    limits = [
        f"{words} {limit:g}"
        for words, limit in (
            ("at least", at_least),
            ("greater than", above),
            ("at most", at_most),
            ("less than", below),
        )
        if math.isfinite(limit)
    ]
    raise UsageError(f"{name} must be finite and {' and '.join(limits)}, not {value}.")


def parse_value(name: str, value: Any, kind: type) -> Any:
    """Reads the value of a field, from TOML or as it is typed on the command line.

    Args:
        name: Dotted name of the field, for the message.
        value: A text, or a value that TOML has read.
        kind: `int`, `float`, `bool` or `str`.

    Raises:
        UsageError: If the value is not of that kind.
    """
    if kind is bool:
        words = {"true": True, "false": False}
        if isinstance(value, str) and value.lower() in words:
            return words[value.lower()]
        if isinstance(value, bool):
            return value
    elif kind is str:
        if isinstance(value, str):
            return value
    elif isinstance(value, (str, int, float)) and not isinstance(value, bool):
        try:
            # An integer field does not cut 0.5 down to 0.
            if kind is float or not isinstance(value, float):
                return kind(value)
        except (ValueError, OverflowError):
            # Not a number, or an integer beyond float's range.
            pass
    wanted = {int: "an integer", float: "a number", bool: "true or false", str: "text"}[kind]
    raise UsageError(f"{name} must be {wanted}, not {value!r}.")
