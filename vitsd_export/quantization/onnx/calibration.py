"""What an ONNX model's activations look like over calibration images."""

from collections.abc import Callable

import numpy as np
import onnx

from vitsd_export.quantization.calibration.ranges import Calibration, Spread, WeightedLayer
from vitsd_export.quantization.calibration.second_moments import SecondMoments
from vitsd_export.quantization.onnx.layers import find_layers
from vitsd_export.quantization.onnx.tensors import tensor_reader

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
    layers = find_layers(model)
    watched = layers.rounded
    spreads = {name: Spread(histograms) for name in watched}
    dense = {node.input[0] for node in layers.weighted.values() if node.op_type != "Conv"}
    moments: dict[str, SecondMoments] = {}
    done = 0
    for count, tensors in tensor_reader(model, watched)(images, _BATCH):
        for name, values in tensors.items():
            # Images that fill up a batch add no new extremes.
            spreads[name].add(values)
            if name in dense and values.shape[-1] <= moments_up_to:
                moments.setdefault(name, SecondMoments(np.float64)).add(values)
        done += count
        if progress is not None:
            progress(done)
    return Calibration(
        layers=tuple(
            WeightedLayer(node.input[0], node.output[0]) for node in layers.weighted.values()
        ),
        activations={name: spread.activation() for name, spread in spreads.items()},
        images=len(images),
        moments={name: moment.sums() for name, moment in moments.items()},
    )
