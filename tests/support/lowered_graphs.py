"""Inference graphs with random weights, and small Keras models to read them from."""

from collections.abc import Collection
from typing import Any

import numpy as np

from tests.support.small_models import build_small, random_pixels
from vitsd_export.lowering.graph import Graph
from vitsd_export.lowering.reading import read_graph
from vitsd_export.lowering.rewrites import REWRITES, rewrite

# Heads as wide as tokens, where folding pays, tokens flattened, images enlarged inside by no whole factor.
WIDE_HEADS: dict[str, Any] = {
    "input_size": 10,
    "image_size": 16,
    "dim": 8,
    "key_dim": 8,
    "depth": 2,
    "head": "flatten",
    "head_units": (7, 6),
}
# Narrow heads, where folding would cost more, tokens averaged, images taken as they are.
NARROW_HEADS: dict[str, Any] = {"num_heads": 4, "key_dim": 2, "depth": 2}
KINDS = {"wide heads": WIDE_HEADS, "narrow heads": NARROW_HEADS}


def trained(kind: str) -> Graph:
    """The graph of a small model as it would be trained, in float64."""
    return read_graph(build_small(**KINDS[kind]), all_float64=True)


def before(name: str, graph: Graph) -> Graph:
    """A graph after all rewrites that come before one."""
    names = [entry.name for entry in REWRITES]
    outcomes = rewrite(graph, without=names[names.index(name) :])
    return outcomes[-1].graph


def apply(name: str, graph: Graph) -> Graph:
    """A graph after one rewrite."""
    (entry,) = (entry for entry in REWRITES if entry.name == name)
    return entry.apply(graph)


def pixels(graph: Graph, count: int = 3) -> np.ndarray:
    """Images for a graph: noise, one of a single colour, and one that is nearly so."""
    images = random_pixels(count, graph.input_size, seed=3)
    images[1] = (255, 254, 250)
    images[2] = 128
    images[2, 0, 0] = 129
    return images


def relative_error(values: np.ndarray, wanted: np.ndarray) -> float:
    """Largest difference, by the largest number."""
    return float(np.abs(values - wanted).max() / np.abs(wanted).max())


def all_names(but: Collection[str] = ()) -> list[str]:
    """Names of the rewrites."""
    return [entry.name for entry in REWRITES if entry.name not in but]
