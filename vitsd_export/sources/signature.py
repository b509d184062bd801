"""The signature by which a SavedModel is used."""

import dataclasses
from pathlib import Path
from typing import Any

from vitsd_export._internal.tensorflow import import_tensorflow
from vitsd_export.errors import InputError

_USUAL = ("serving_default", "serve")
# TensorFlow's own, of no interest to users.
_INTERNAL = "__saved_model"


@dataclasses.dataclass(frozen=True)
class ImageSignature:
    """A signature that maps images to scores.

    Attributes:
        name: Its name.
        input: Name of its input.
        dtype: NumPy name of the input's type.
        shape: Shape of the input; None where it is open.
        output: Name of its output.
    """

    name: str
    input: str
    dtype: str
    shape: tuple[int | None, ...]
    output: str


def find_signature(meta_graph: Any, folder: Path) -> ImageSignature:
    """Returns the signature for serving.

    Raises:
        InputError: If there is none, or it has not one input and one output.
    """
    tf = import_tensorflow()
    signatures = {
        name: signature
        for name, signature in meta_graph.signature_def.items()
        if not name.startswith(_INTERNAL)
    }
    names = [name for name in _USUAL if name in signatures] or sorted(signatures)
    if not names or (names[0] not in _USUAL and len(names) > 1):
        listed = ", ".join(names) or "none"
        raise InputError(
            f"The SavedModel {folder} has no signature serving_default (it has {listed}). Save it with "
            "Keras's model.export, or with a signature of that name."
        )
    signature = signatures[names[0]]
    if len(signature.inputs) != 1 or len(signature.outputs) != 1:
        raise InputError(
            f"The SavedModel {folder} has {len(signature.inputs)} inputs and {len(signature.outputs)} "
            f"outputs in its signature {names[0]}; an image classifier has one of each."
        )
    ((input_name, given),) = signature.inputs.items()
    (output_name,) = signature.outputs
    try:
        dtype = tf.dtypes.as_dtype(given.dtype).name
    except TypeError as error:
        raise InputError(f"The SavedModel {folder} is damaged: {error}.") from error
    if dtype not in ("float32", "float16", "bfloat16", "uint8"):
        raise InputError(
            f"The SavedModel {folder} takes {dtype}; expected pixels as float32 or uint8. Save it with a "
            "signature that takes images, not encoded files."
        )
    shape = tuple(None if size.size < 0 else int(size.size) for size in given.tensor_shape.dim)
    return ImageSignature(names[0], input_name, dtype, shape, output_name)
