"""Reads tensors of an ONNX model that it does not declare as outputs."""

from collections.abc import Callable, Collection, Iterator

import numpy as np
import onnx

Tensors = dict[str, np.ndarray]


def tensor_reader(
    model: onnx.ModelProto, names: Collection[str]
) -> Callable[[np.ndarray, int], Iterator[tuple[int, Tensors]]]:
    """Returns what runs a model on images and reads tensors.

    A tensor that is read cannot be fused away, so it is computed step by step as the model says.

    Args:
        model: One input of shape [batch, size, size, 3], of open or fixed batch.
        names: The tensors.

    Returns:
        A function of images [N, size, size, 3], cast to the input's type, and of the images to take at once
        where the batch is open. It yields the number of images and the tensors by name, batch by batch. A
        short last batch of a model of fixed batch is filled up with its own images over again.
    """
    import onnxruntime

    wider = onnx.ModelProto()
    wider.CopyFrom(model)
    declared = {value.name for value in model.graph.output}
    # Without a type, which onnxruntime infers.
    wider.graph.output.extend(
        onnx.ValueInfoProto(name=name) for name in names if name not in declared
    )
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    # Threads that spin between the calls would take the cores from whatever works between them.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(
        wider.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    image = session.get_inputs()[0]
    dtype = np.uint8 if "uint8" in image.type else np.float32
    fixed = image.shape[0] if isinstance(image.shape[0], int) else None

    def read(images: np.ndarray, at_once: int) -> Iterator[tuple[int, Tensors]]:
        step = fixed or at_once
        for start in range(0, len(images), step):
            part = images[start : start + step]
            pixels = np.resize(part, (fixed, *images.shape[1:])) if fixed else part
            answers = session.run(list(names), {image.name: pixels.astype(dtype)})
            yield len(part), dict(zip(names, answers, strict=True))

    return read
