"""Which layers are stored in int4.

A layer of a million weights, such as the head behind a flattened image, is the file, and reading it is the
time: there int4 pays. Where a model has such layers, they alone are int4, and the others stay in int8, in
which products of many rows are faster. Where it has none, int4 gains little and must cost little: layers are
int4 as long as the answers hardly change.

What a layer costs is the Kullback-Leibler divergence of the answers with its weights alone rounded from
those in float32,

    D = mean over images of Σ p · log(p / q),

in nats. Small errors of many layers hardly interact, so that divergences add up. The layers that cost least a
weight come first, until the sum reaches a budget. It is a share of what the answers tell at all: of the
mean divergence of an image's probabilities from the mean of all images', which is the mutual information
of image and class. The signal-to-noise ratio of a layer's own answers would not do: in `vit-tiny-cifar10`
the queries of the first block have a lower one than the tokenizer and cost a thirtieth a weight.
"""

import math
from collections.abc import Callable, Mapping

import numpy as np

from vitsd_export.lowering.graph import Array

# Weights of a layer for which int4 pays.
LARGE = 2**20

# Images that divergences are measured on. They are within a fifth of those on eight times as many images.
IMAGES = 64

# Share of the information in the answers. On 5,000 training images vit-tiny-cifar10 names another class than
# in float32 on 0.28 % of them with int8 alone, be it in ONNX or in LiteRT; with this budget on 0.42 % and
# 0.30 %, with eight times as much on 0.84 % and 0.86 %.
BUDGET = 5e-5


def large_layers(sizes: Mapping[str, int]) -> tuple[str, ...]:
    """Returns the names of the layers, given by their numbers of weights, for which int4 pays."""
    return tuple(name for name, size in sizes.items() if size >= LARGE)


def harmless_layers(
    sizes: Mapping[str, int], probabilities: Callable[[str | None], Array]
) -> tuple[str, ...]:
    """Returns the names of the layers that the answers hardly change by: at least one.

    `sizes` are numbers of weights by name. `probabilities` returns the model's answers [images, classes] with
    the weights of the named layer rounded, or of none.
    """
    exact = probabilities(None)
    costs = {name: divergence(exact, probabilities(name)) for name in sizes}
    left = BUDGET * divergence(exact, np.broadcast_to(exact.mean(axis=0), exact.shape))
    first, *others = sorted(sizes, key=lambda name: (costs[name] / sizes[name], name))
    chosen = [first]
    left -= costs[first]
    for name in others:
        if costs[name] <= left:
            chosen.append(name)
            left -= costs[name]
    return tuple(chosen)


def divergence(exact: Array, other: Array) -> float:
    """Returns the mean Kullback-Leibler divergence of probabilities from exact ones, in nats.

    Both are [images, classes]. It is infinite if `other` is not finite.
    """
    if not np.isfinite(other).all():
        return math.inf
    p, q = (
        np.maximum(values.astype(np.float64), np.finfo(np.float32).tiny)
        for values in (exact, other)
    )
    return float(np.mean(np.sum(p * np.log(p / q) - p + q, axis=1)))


def as_probabilities(answers: Array, name: str) -> Array:
    """Returns the probabilities in answers [images, classes]: logits unless named `probabilities`."""
    if name == "probabilities":
        return answers
    exponentials = np.exp(answers.astype(np.float64) - answers.max(axis=1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True))
