"""What an ONNX model's activations look like over calibration images."""

from collections.abc import Callable

import numpy as np
import onnx
from onnx import TensorProto, helper

from vitsd_export.quantization.calibration import Calibration, Spread, WeightedLayer
from vitsd_export.quantization.onnx_layers import find_layers
from vitsd_export.quantization.rounding import GROUP

_BATCH = 32


def calibrate_onnx(
    model: onnx.ModelProto,
    images: np.ndarray,
    *,
    histograms: bool = False,
    moments_up_to: int = 0,
    progress: Callable[[int], None] | None = None,
) -> Calibration:
    """Runs a float ONNX model on images and records the spread of what will be rounded.

    Args:
        model: One input of shape [batch, size, size, 3], of open or fixed batch.
        images: [N, size, size, 3], cast to the input's type.
        histograms: Whether to count how often each value occurs, which all methods but `minmax` need.
        moments_up_to: Second moments are summed up for dense layers of at most so many inputs.
        progress: Called with the number of images done.

    Returns:
        The weighted layers, and the statistics of what enters them; what leaves convolutions, too.

    Raises:
        InputError: If there is nothing to quantize.
    """
    import onnxruntime

    layers = find_layers(model)
    watched = layers.rounded
    wider = onnx.ModelProto()
    wider.CopyFrom(model)
    wider.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
        for name in watched
        if name not in {output.name for output in model.graph.output}
    )
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(
        wider.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    image = session.get_inputs()[0]
    dtype = np.float32 if image.type == "tensor(float)" else np.uint8
    fixed = image.shape[0] if isinstance(image.shape[0], int) else None
    batch = fixed or _BATCH
    spreads = {name: Spread(histograms) for name in watched}
    dense = {node.input[0] for node in layers.weighted.values() if node.op_type != "Conv"}
    sums: dict[str, list[np.ndarray]] = {}
    for start in range(0, len(images), batch):
        pixels = images[start : start + batch]
        if fixed:
            # A short last batch is filled up with its own images over again: they add no new extremes.
            pixels = np.resize(pixels, (fixed, *images.shape[1:]))
        answers = session.run(list(watched), {image.name: pixels.astype(dtype)})
        for name, values in zip(watched, answers, strict=True):
            spreads[name].add(values)
            if name in dense and values.shape[-1] <= moments_up_to:
                _add_moments(sums, name, values)
        if progress is not None:
            progress(min(start + batch, len(images)))
    return Calibration(
        layers=tuple(
            WeightedLayer(node.input[0], node.output[0]) for node in layers.weighted.values()
        ),
        activations={name: spread.activation() for name, spread in spreads.items()},
        images=len(images),
        moments=sums,
    )


def _add_moments(sums: dict[str, list[np.ndarray]], name: str, values: np.ndarray) -> None:
    rows = values.reshape(-1, values.shape[-1]).astype(np.float64)
    groups = [rows[:, start : start + GROUP] for start in range(0, rows.shape[1], GROUP)]
    new = [group.T @ group for group in groups]
    old = sums.get(name)
    sums[name] = new if old is None else [a + b for a, b in zip(old, new, strict=True)]
