"""Runs .tflite files of any number of inputs."""

from collections.abc import Mapping
from typing import Any

import numpy as np


def interpreter(content: bytes, *, delegate: bool = False) -> Any:
    """A file in LiteRT, by default without XNNPACK, so that all tensors and operators can be seen."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    kind = OpResolverType.AUTO if delegate else OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    runtime = Interpreter(model_content=content, experimental_op_resolver_type=kind)
    runtime.allocate_tensors()
    return runtime


def run(content: bytes, inputs: Mapping[str, np.ndarray], *, delegate: bool = False) -> np.ndarray:
    """The raw answer of a file with one output to inputs by their names in the signature."""
    runtime = interpreter(content, delegate=delegate)
    (answer,) = runtime.get_signature_runner("serving_default")(**inputs).values()
    return np.asarray(answer)


def run_images(content: bytes, images: np.ndarray, *, delegate: bool = True) -> np.ndarray:
    """What a file says of images, as floats, [N, classes]."""
    runtime = interpreter(content, delegate=delegate)
    image, answer = runtime.get_input_details()[0], runtime.get_output_details()[0]
    batch = int(image["shape"][0])
    rows = []
    for start in range(0, len(images), batch):
        runtime.set_tensor(image["index"], images[start : start + batch].astype(image["dtype"]))
        runtime.invoke()
        rows.append(runtime.get_tensor(answer["index"]).copy())
    scale, zero_point = answer["quantization"]
    values = np.concatenate(rows).astype(np.float64)
    return (values - zero_point) * scale if scale else values
