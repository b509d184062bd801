"""Keras's weights in the PyTorch network."""

from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from vitsd_export.errors import InputError

if TYPE_CHECKING:
    import torch

    from benchmarks.baselines.torch_network import Classifier, Shape

_COPIES = 5


def copy_to_torch(model: keras.Model) -> "Classifier":
    """Returns the PyTorch network of a model made by `build_classifier`, in inference mode.

    Raises:
        InputError: If it is of another architecture.
    """
    from benchmarks.baselines.torch_network import Classifier

    network = Classifier(read_shape(model))
    normalization, tokenizer = model.get_layer("normalization"), model.get_layer("tokenizer")
    network.mean.copy_(_tensor(normalization.mean).reshape(3, 1, 1))
    deviation = np.sqrt(np.asarray(normalization.variance))
    # Keras keeps the divisor away from zero.
    deviation = np.maximum(deviation, keras.backend.epsilon())
    network.deviation.copy_(_tensor(deviation).reshape(3, 1, 1))
    patch = tokenizer.patch_size
    _copy_norm(tokenizer.norm, network.tokenizer.norm, order=patch_order(patch))
    _copy_dense(tokenizer.projection, network.tokenizer.projection, order=patch_order(patch))
    network.positions.data = _tensor(model.get_layer("positions").embedding)
    for index, block in enumerate(network.blocks):
        name = f"block{index}"
        attention = model.get_layer(f"{name}_attention")
        _copy_norm(model.get_layer(f"{name}_attention_norm"), block.attention_norm)
        for part in ("query", "key", "value", "projection"):
            _copy_dense(getattr(attention, part), getattr(block.attention, part))
        block.attention.temperature.data = _tensor(attention.tau)
        _copy_norm(model.get_layer(f"{name}_mlp_norm"), block.mlp_norm)
        _copy_mlp(model, f"{name}_mlp", block.mlp)
    _copy_norm(model.get_layer("norm"), network.norm)
    _copy_mlp(model, "head", network.head)
    _copy_dense(model.get_layer("logits"), network.logits)
    return network.eval().requires_grad_(False)


def read_shape(model: keras.Model) -> "Shape":
    """Returns the hyperparameters of a model made by `build_classifier`.

    Raises:
        InputError: If it is of another architecture.
    """
    from benchmarks.baselines.torch_network import Shape

    names = {layer.name for layer in model.layers}
    needed = {"normalization", "tokenizer", "positions", "block0_attention", "norm", "logits"}
    if missing := needed - names:
        raise InputError(
            "The PyTorch baseline is written for the architecture of this package alone; this model has "
            f"no layer {', '.join(sorted(missing))}."
        )
    tokenizer, attention = model.get_layer("tokenizer"), model.get_layer("block0_attention")
    input_size = int(model.inputs[0].shape[1])
    head = _units(model, "head")
    return Shape(
        input_size=input_size,
        image_size=model.get_layer("resizing").size if "resizing" in names else input_size,
        patch_size=tokenizer.patch_size,
        dim=tokenizer.dim,
        num_heads=attention.num_heads,
        key_dim=attention.key_dim,
        depth=sum(name.endswith("_attention") for name in names),
        mlp_units=_units(model, "block0_mlp"),
        head="flatten" if "flatten" in names else "mean",
        head_units=head,
        num_classes=int(model.outputs[0].shape[-1]),
        epsilon=float(model.get_layer("norm").epsilon),
    )


def patch_order(patch: int) -> np.ndarray:
    """Returns where each number of PyTorch's patch stands in Keras's.

    Keras flattens a patch by row, column, copy and channel; `unfold` by copy, channel, row and column.
    """
    numbers = np.arange(patch * patch * _COPIES * 3).reshape(patch, patch, _COPIES * 3)
    return numbers.transpose(2, 0, 1).ravel()


def _units(model: keras.Model, prefix: str) -> tuple[int, ...]:
    return tuple(layer.units for layer in model.layers if layer.name.startswith(f"{prefix}_dense"))


def _tensor(values: Any) -> "torch.Tensor":
    import torch

    return torch.tensor(np.asarray(values, np.float32))


def _copy_dense(source: Any, target: Any, order: np.ndarray | slice = slice(None)) -> None:
    target.weight.data = _tensor(np.asarray(source.kernel)[order].T.copy())
    target.bias.data = _tensor(source.bias)


def _copy_norm(source: Any, target: Any, order: np.ndarray | slice = slice(None)) -> None:
    target.weight.data = _tensor(np.asarray(source.gamma)[order])
    target.bias.data = _tensor(np.asarray(source.beta)[order])


def _copy_mlp(model: keras.Model, prefix: str, target: Any) -> None:
    # Every other layer is a GELU.
    for index, layer in enumerate(target[::2]):
        _copy_dense(model.get_layer(f"{prefix}_dense{index}"), layer)
