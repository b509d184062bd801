"""What a LiteRT model's activations look like over calibration images."""

from collections.abc import Callable, Collection

import numpy as np

from vitsd_export.quantization.calibration.ranges import Calibration, Spread, WeightedLayer
from vitsd_export.quantization.calibration.second_moments import SecondMoments
from vitsd_export.quantization.litert.layers import run_batches, tensor_names, weighted_tensors


def calibrate(
    content: bytes,
    images: np.ndarray,
    *,
    histograms: bool = False,
    moments_of: Collection[str] = (),
    progress: Callable[[int], None] = lambda _: None,
) -> Calibration:
    """Runs a float LiteRT model on images and records the spread of its activations.

    The extremes of all images are taken, not a moving average over them: tensors of a single row, such as
    the logits, differ so much from image to image that an average would clip most of them.

    Args:
        content: A .tflite file with one input of shape [batch, size, size, 3], of fixed batch.
        images: [N, size, size, 3], cast to the input's type.
        histograms: Whether to count how often each value occurs, which all methods but `minmax` need.
        moments_of: Names of what dense layers answer, whose inputs' second moments are summed up.
        progress: Called with the number of images done.

    Returns:
        The weighted operators, and the statistics of what enters and leaves them.
    """
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    # Without XNNPACK every intermediate tensor can be read.
    interpreter = Interpreter(
        model_content=content,
        experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    names = tensor_names(interpreter)
    weighted = weighted_tensors(interpreter)
    spreads = {tensor: Spread(histograms) for pair in weighted for tensor in pair}
    moments = {input: SecondMoments() for input, output in weighted if names[output] in moments_of}
    for done in run_batches(interpreter, images):
        # Images that fill up the last batch add no new extremes.
        for tensor, spread in spreads.items():
            spread.add(interpreter.get_tensor(tensor))
        for tensor, moment in moments.items():
            moment.add(interpreter.get_tensor(tensor))
        progress(done)
    return Calibration(
        layers=tuple(WeightedLayer(names[input], names[output]) for input, output in weighted),
        activations={names[tensor]: spread.activation() for tensor, spread in spreads.items()},
        images=len(images),
        moments={names[tensor]: moment.sums() for tensor, moment in moments.items()},
    )
