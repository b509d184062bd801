"""Takes the weights of a trained vision transformer into one of another grid or other classes."""

import math

import keras
import numpy as np

from vitsd_export.errors import InputError
from vitsd_export.model.classifier import NORMALIZATION, set_normalization
from vitsd_export.model.config import ModelConfig

# What no weight can be carried across. Dropout rates hold no weights; sizes and classes may change.
_REQUIRED_FIELDS = (
    "patch_size",
    "dim",
    "depth",
    "num_heads",
    "key_dim",
    "mlp_units",
    "head",
    "head_units",
    "layer_norm_epsilon",
)
# Names that `build_classifier` gives its layers.
_POSITIONS, _LAST_NORM, _LOGITS = "positions", "norm", "logits"

# The kernel's free parameter: the value with which the error falls with the third power of the spacing.
_KEYS_A = -0.5


def transfer_weights(
    source: keras.Model,
    source_config: ModelConfig,
    target: keras.Model,
    target_config: ModelConfig,
    *,
    same_classes: bool,
) -> str:
    """Sets a model's weights from those of a trained one; the source stays as it is.

    The normalisation statistics are the source's too: its weights were trained on pixels normalised by
    them, so with those of other data the transferred network would compute another function. With equal
    grids and classes the target answers exactly as the source does.

    Args:
        source: Trained model made by `build_classifier(source_config)`.
        source_config: Its architecture.
        target: Model made by `build_classifier(target_config)`; its attention layers may be of another
            class that holds the same weights in the same order.
        target_config: Its architecture.
        same_classes: Whether both tell the same classes apart, in the same order. Otherwise the last
            layer stays new even where the number of classes is equal.

    Returns:
        What was taken over and what is new, in words.

    Raises:
        InputError: If another field than `input_size`, `image_size`, `num_classes` or a dropout rate
            differs; nothing is changed then.
    """
    _check_alike(source_config, target_config)
    old, new = _grid(source_config), _grid(target_config)
    flatten = target_config.head == "flatten"
    fresh_logits = not same_classes or source_config.num_classes != target_config.num_classes
    first_head = "head_dense0" if target_config.head_units else _LOGITS
    for layer in target.layers:
        if not layer.weights or (layer.name == _LOGITS and fresh_logits):
            continue
        values = source.get_layer(layer.name).get_weights()
        if old != new and layer.name == _POSITIONS:
            values = [interpolate_positions(values[0], new)]
        elif old != new and flatten and layer.name == first_head:
            values[0] = spread_kernel(values[0], old, new)
        if layer.name == NORMALIZATION:
            set_normalization(target, *values[:2])
        else:
            layer.set_weights([np.asarray(value, np.float32) for value in values])
    return _describe(source_config, target_config, fresh_logits=fresh_logits)


def _describe(source: ModelConfig, target: ModelConfig, *, fresh_logits: bool) -> str:
    old, new = _grid(source), _grid(target)
    blocks = "1 block" if target.depth == 1 else f"{target.depth} blocks"
    taken = ["normalisation statistics", "tokenizer", f"encoder ({blocks})"]
    interpolated, spread, initialised = "", "", ""
    hidden = [f"head layer {index + 1}" for index in range(len(target.head_units))]
    head = hidden if fresh_logits else [*hidden, "logits"]
    if old == new:
        taken.append("position embeddings")
    else:
        interpolated = f"position embeddings ({old}×{old} → {new}×{new})"
        # Only the first layer of the head sees the tokens one by one.
        if target.head == "flatten" and head:
            spread = f"{head.pop(0)} ({old**2} → {new**2} tokens)"
    taken += head
    if fresh_logits:
        counts = source.num_classes, target.num_classes
        changed = f"{counts[1]} other" if counts[0] == counts[1] else f"{counts[0]} → {counts[1]}"
        initialised = f"logits ({changed} classes)"
    parts = {
        "Taken over": ", ".join(taken),
        "Interpolated": interpolated,
        "Spread": spread,
        "New": initialised,
    }
    return " ".join(f"{what}: {names}." for what, names in parts.items() if names)


def _check_alike(source: ModelConfig, target: ModelConfig) -> None:
    pairs = {name: (getattr(source, name), getattr(target, name)) for name in _REQUIRED_FIELDS}
    differences = [
        f"{name} is {theirs}, not {own}" for name, (theirs, own) in pairs.items() if theirs != own
    ]
    if differences:
        raise InputError(
            "The model to start from has another architecture than the one to be trained: "
            f"{'; '.join(differences)}. Train the preset that it was made with, or start from another model."
        )


def _grid(config: ModelConfig) -> int:
    return config.image_size // config.patch_size


def interpolate_positions(positions: np.ndarray, grid: int) -> np.ndarray:
    """Resamples position embeddings to another grid by cubic convolution.

    Both grids cover the same image with half-pixel centres: token i of n lies at (i + ½) / n. Rows and
    columns are weighted by one matrix each; to a coarser grid the kernel is widened, so that no token
    goes unseen.

    Args:
        positions: [old², dim], row by row.
        grid: Tokens along an edge of the new grid.

    Returns:
        [grid², dim] float64; the very input where the grid is the old one.

    Source:
        Keys (1981), *Cubic convolution interpolation for digital image processing*, IEEE TASSP 29(6).
    """
    old = math.isqrt(len(positions))
    matrix = _cubic_matrix(old, grid)
    tokens = np.asarray(positions, np.float64).reshape(old, old, -1)
    resampled = np.einsum("Yy,Xx,yxd->YXd", matrix, matrix, tokens, optimize=True)
    return np.asarray(resampled.reshape(grid**2, -1))


def spread_kernel(kernel: np.ndarray, old: int, new: int) -> np.ndarray:
    """Shares out the weights of a layer that sees all tokens among the tokens of another grid.

    W_new[f] = Σ_c overlap(f, c) / area(c) · W_old[c]: old token c's weights are divided among the new
    tokens f that cover it, by area. The layer answers as the old one does on the mean of the new tokens
    over each old token's area; so tokens that are constant over it give the same answer. To a coarser
    grid, as the old one does on tokens repeated over their area.

    Args:
        kernel: [old² · dim, units], tokens row by row.
        old: Tokens along an edge of the grid it was trained on.
        new: Tokens along an edge of the new grid.

    Returns:
        [new² · dim, units] float64.
    """
    units = kernel.shape[1]
    matrix = _overlap_matrix(old, new)
    weights = np.asarray(kernel, np.float64).reshape(old, old, -1, units)
    shared = np.einsum("Yy,Xx,yxdu->YXdu", matrix, matrix, weights, optimize=True)
    return np.asarray(shared.reshape(-1, units))


def _cubic_matrix(old: int, new: int) -> np.ndarray:
    """Returns [new, old] weights of cubic convolution along an edge; each row sums to 1."""
    scale = old / new
    centres = (np.arange(new) + 0.5) * scale - 0.5
    distance = np.abs(centres[:, None] - np.arange(old)) / max(scale, 1)
    near = ((_KEYS_A + 2) * distance - (_KEYS_A + 3)) * distance**2 + 1
    far = _KEYS_A * (((distance - 5) * distance + 8) * distance - 4)
    weights = np.where(distance <= 1, near, np.where(distance < 2, far, 0))
    # Beyond the border there are no tokens: those inside share the weight.
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def _overlap_matrix(old: int, new: int) -> np.ndarray:
    """Returns [new, old]: the share of each old interval of an edge that each new one covers."""
    # In units of 1 / (old · new) all borders are whole numbers.
    starts, others = np.arange(new)[:, None] * old, np.arange(old) * new
    overlap = np.minimum(starts + old, others + new) - np.maximum(starts, others)
    return np.asarray(np.maximum(overlap, 0) / new)


def freeze_encoder(model: keras.Model) -> None:
    """Leaves only the head trainable: its hidden layers and the logits.

    Frozen are tokenizer, position embeddings, all blocks and the norm after them of a model made by
    `build_classifier`. Call it before the optimizer is built, which gets `model.trainable_variables`.
    Weights can still be set and are saved in full; dropout and drop path inside the encoder stay active
    while training.
    """
    for layer in model.layers:
        layer.trainable = False
        if layer.name == _LAST_NORM:
            return
