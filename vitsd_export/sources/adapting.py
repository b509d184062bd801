"""Makes any Keras model that classifies images a function from raw pixels to one score a class."""

import math
from pathlib import Path
from typing import Any

import keras

from vitsd_export._internal.damaged_files import UNREADABLE_ERRORS, reason
from vitsd_export.errors import InputError
from vitsd_export.sources.options import InputRange

# scale, offset of pixels 0–255.
_RESCALING: dict[InputRange, tuple[float, float]] = {
    "0-1": (1 / 255, 0.0),
    "-1-1": (1 / 127.5, -1.0),
}
# A gigabyte of float32 for one image.
_LARGEST_TENSOR = 1 << 28
_SCALING_LAYERS = (keras.layers.Rescaling, keras.layers.Normalization)


def as_classifier(model: Any, path: Path) -> keras.Model:
    """Returns a functional model of one image input and one output of scores.

    Args:
        model: What Keras made of a file: functional, Sequential, or subclassed.
        path: The file, for messages.

    Raises:
        InputError: If it does not map images to scores.
    """
    if not isinstance(model, keras.Model):
        raise _no_input(path)
    if not getattr(model, "inputs", None):
        model = _traced(model, path)
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise InputError(
            f"{path} has {len(model.inputs)} inputs and {len(model.outputs)} outputs; an image "
            "classifier has one of each."
        )
    require_image_size(tuple(model.inputs[0].shape), str(path))
    classes = tuple(model.outputs[0].shape)
    if len(classes) != 2 or classes[1] is None:
        raise InputError(
            f"{path} has an output of shape {classes}; expected one score per class, (None, classes)."
        )
    _check_sizes(model, path)
    # A Sequential model that was read from a file has no `input`.
    if not isinstance(model, keras.Sequential) and all(
        isinstance(tensor, keras.KerasTensor) for tensor in (model.input, model.output)
    ):
        return model
    return keras.Model(model.inputs[0], model.outputs[0], name=model.name)


def require_image_size(shape: tuple[int | None, ...], where: str) -> int:
    """Returns the height and width of the images that an input takes, in pixels; messages call it `where`.

    Raises:
        InputError: If it does not take any number of square RGB images of fixed size.
    """
    if len(shape) != 4 or shape[3] != 3 or shape[1] is None or shape[1] != shape[2]:
        raise InputError(
            f"{where} takes an input of shape {shape}; expected square RGB images of fixed size, "
            "(None, size, size, 3)."
        )
    if shape[0] is not None:
        raise InputError(
            f"{where} takes batches of exactly {shape[0]} images; expected any number, "
            f"(None, {shape[1]}, {shape[2]}, 3). Save the model without a fixed batch size."
        )
    return shape[1]


def _check_sizes(model: keras.Model, path: Path) -> None:
    """Raises InputError if a layer would fill the memory with what it makes of one image."""
    layers = model.layers if isinstance(model, keras.Sequential) else model.operations
    for layer in [model.inputs[0], *layers]:
        tensors = [layer] if isinstance(layer, keras.KerasTensor) else _outputs(layer)
        for tensor in tensors:
            if math.prod(size or 1 for size in tensor.shape[1:]) > _LARGEST_TENSOR:
                raise InputError(
                    f"{path} holds a layer, {layer.name}, that makes a tensor of shape "
                    f"{tuple(tensor.shape)} of one image. The file may be damaged; save it again."
                )


def _outputs(layer: Any) -> list[Any]:
    return [tensor for node in layer._inbound_nodes for tensor in node.output_tensors]


def _traced(model: keras.Model, path: Path) -> keras.Model:
    """Wraps a subclassed model, whose input shape Keras keeps with its weights."""
    shape = (model.get_build_config() or {}).get("input_shape")
    if not model.built or not isinstance(shape, list | tuple):
        raise _no_input(path)
    try:
        image = keras.Input(batch_shape=(None, *shape[1:]), name="image")
        return keras.Model(image, model(image, training=False), name=model.name)
    except UNREADABLE_ERRORS as error:
        raise InputError(
            f"{path} holds a subclassed model that cannot be run on an input of shape {tuple(shape)}: "
            f"{reason(error)}"
        ) from error


def _no_input(path: Path) -> InputError:
    return InputError(
        f"{path} is not a Keras model with a known input; nothing can be exported. Call the model on an "
        "image before it is saved."
    )


def scales_pixels(model: keras.Model) -> bool:
    """Whether a model has a layer that scales its input; layers of unknown make count as such."""
    first = [layer for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)][:4]
    for layer in first:
        if isinstance(layer, keras.Model):
            if scales_pixels(layer):
                return True
        elif isinstance(layer, _SCALING_LAYERS) or not type(layer).__module__.startswith("keras."):
            return True
    return False


def with_input_range(model: keras.Model, input_range: InputRange | None) -> keras.Model:
    """Puts in front of a model what makes of pixels 0–255 the values that it was trained on."""
    if input_range not in _RESCALING:
        return model
    scale, offset = _RESCALING[input_range]
    image = keras.Input(model.inputs[0].shape[1:], name="image")
    scaled = keras.layers.Rescaling(scale, offset, name="input_range")(image)
    return keras.Model(image, model(scaled), name=model.name)


def with_two_classes(model: keras.Model, *, answers_probability: bool) -> keras.Model:
    """Gives a binary classifier, [N, size, size, 3] → [N, 1], an output for each of its two classes.

    The score z of one output stands for the probability σ(z) of the second class, and that is the
    softmax of (0, z). With `answers_probability` the output is σ(z) itself; the result answers (1 − σ, σ).
    """
    kernel, bias = (
        ([[-1.0, 1.0]], [1.0, 0.0]) if answers_probability else ([[0.0, 1.0]], [0.0, 0.0])
    )
    both = keras.layers.Dense(2, name="both_classes", dtype="float32")
    image = keras.Input(model.inputs[0].shape[1:], name="image")
    adapted = keras.Model(image, both(model(image)), name=model.name)
    both.set_weights([keras.ops.array(kernel), keras.ops.array(bias)])
    return adapted
