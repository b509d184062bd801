"""Pareto fronts."""

from collections.abc import Collection


def pareto_front(points: Collection[tuple[float, ...]]) -> list[tuple[float, ...]]:
    """Returns the points that no other point equals or undercuts in every coordinate, sorted."""
    return [
        point
        for point in sorted(set(points))
        if not any(
            other != point and all(a <= b for a, b in zip(other, point, strict=True))
            for other in points
        )
    ]
