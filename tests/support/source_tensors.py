"""Weights as the published model holds them, drawn at random."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from vitsd_export.model.config import ModelConfig
from vitsd_export.sources.published_architecture import NamedTensor, Tensors


def shapes(config: dict[str, Any]) -> Iterator[tuple[int, ...]]:
    """Shapes in the order of the published model's layers, written down from its code."""
    dim, heads, key_dim = config["dim"], config["num_heads"], config["key_dim"]
    patch = config["patch_size"] ** 2 * 15
    tokens = (config["image_size"] // config["patch_size"]) ** 2
    yield from ((3,), (3,), ())
    yield from ((patch, dim), (dim,), (patch,), (patch,), (tokens, dim))
    for _ in range(config["depth"]):
        yield from ((dim,), (dim,), ())
        for _ in ("query", "key", "value"):
            yield from ((dim, heads, key_dim), (heads, key_dim))
        yield from ((heads, key_dim, dim), (dim,), (dim,), (dim,))
        yield from dense(dim, config["mlp_units"])
    yield from ((dim,), (dim,))
    flat = tokens * dim if config.get("head", "flatten") == "flatten" else dim
    yield from dense(flat, [*config["head_units"], config["num_classes"]])


def dense(width: int, units: list[int]) -> Iterator[tuple[int, ...]]:
    """Shapes of kernels and biases of layers in a chain."""
    for following in units:
        yield from ((width, following), (following,))
        width = following


def random_tensors(config: dict[str, Any]) -> Tensors:
    """Positive numbers, so that variances and temperatures are possible ones."""
    rng = np.random.default_rng(3)
    return [
        NamedTensor(f"w{index}", rng.uniform(0.1, 0.3, shape).astype(np.float32))
        for index, shape in enumerate(shapes(config))
    ]


def hyperparameters(config: dict[str, Any]) -> ModelConfig:
    """The same as a ModelConfig."""
    values = {name: tuple(v) if isinstance(v, list) else v for name, v in config.items()}
    return ModelConfig(layer_norm_epsilon=values.pop("epsilon"), **values)
