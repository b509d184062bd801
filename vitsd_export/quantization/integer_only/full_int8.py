"""The LiteRT scheme `full-int8`: no operator of floats, uint8 in and out."""

import dataclasses
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from vitsd_export.artifact.integer_only import float_tensors
from vitsd_export.errors import InputError, UsageError
from vitsd_export.lowering.graph import Graph, PatchTokenizer
from vitsd_export.lowering.inference_graph import InferenceGraph
from vitsd_export.lowering.program import compute
from vitsd_export.lowering.rewrites import (
    head_norm_affine,
    layer_norm_affine,
    patch_windows,
    temperature,
)
from vitsd_export.quantization.calibration.histogram import Method
from vitsd_export.quantization.calibration.ranges import Calibration, Spread
from vitsd_export.quantization.calibration.recording_operators import RecordingOperators
from vitsd_export.quantization.calibration.second_moments import SecondMoments
from vitsd_export.quantization.integer_only.arithmetic import INT8_MIN, Quantized
from vitsd_export.quantization.integer_only.operators import IntegerOperators
from vitsd_export.quantization.litert.converter_int8 import convert_to_int8
from vitsd_export.quantization.litert.writer import LiteRTWriter

_CALIBRATION_BATCH = 32


def calibrate_graph(
    graph: Graph,
    images: np.ndarray,
    answer: str,
    *,
    histograms: bool = True,
    progress: Callable[[int], None] | None = None,
) -> Calibration:
    """Runs a lowered graph in float32 on uint8 images and records the spread of what passes through it.

    `answer` names the result. Histograms are needed by all methods but `minmax`. The activations and moments
    have the names of `RecordingOperators`.
    """
    spreads: dict[str, Spread] = {}
    moments: dict[str, SecondMoments] = {}
    for start in range(0, len(images), _CALIBRATION_BATCH):
        batch = images[start : start + _CALIBRATION_BATCH]
        operators = RecordingOperators(spreads, moments, histograms=histograms)
        compute(graph, operators, tf.constant(batch), answer)
        if progress is not None:
            progress(start + len(batch))
    activations = {name: spread.activation() for name, spread in spreads.items()}
    sums = {name: moment.sums() for name, moment in moments.items()}
    return Calibration((), activations, len(images), sums)


def write_full_int8(
    graph: InferenceGraph,
    images: np.ndarray,
    *,
    batch: int = 1,
    method: Method = "mse",
    progress: Callable[[int], None] | None = None,
) -> bytes:
    """Writes a model in integer operators alone.

    A lowered model gets the operators of `integer_only.operators`, models of other architectures those of
    LiteRT's converter.

    Args:
        graph: The model.
        images: Calibration images [N, size, size, 3] uint8.
        batch: Images in a call.
        method: How ranges follow from the activations; for lowered models only.
        progress: Called with the number of images done; for lowered models only.

    Returns:
        The .tflite file. Its signature `serving_default` takes `image`, uint8 [batch, size, size, 3], the
        pixels as they are, and answers uint8 [batch, classes] with the scale and zero point of the tensor;
        probabilities have 1/256 and 0.

    Raises:
        UsageError: If the image is asked for in float32, or a rewrite that it needs was left out.
        InputError: If an activation is not finite, or the model cannot be written without floats.
    """
    if graph.input_type != "uint8":
        raise UsageError(
            "A full-int8 file takes uint8 pixels: leave out --input float32, or use another scheme."
        )
    lowered = integer_graph(graph)
    if lowered is None:
        content = convert_to_int8(graph, images, batch=batch)
    else:
        histograms = method != "minmax"
        calibration = calibrate_graph(
            lowered, images, graph.output, histograms=histograms, progress=progress
        )
        content = write_integer_graph(lowered, calibration, graph.output, batch, method)
    rest = float_tensors(content)
    if rest:
        raise InputError(
            f"The model cannot be written in integer operators alone (scheme full-int8): {len(rest)} "
            f"still compute with floats, the first one {rest[0]}. Use the scheme int8, dynamic-int8 or "
            "weight-only-int8."
        )
    return content


def integer_graph(graph: InferenceGraph) -> Graph | None:
    """Returns the lowered graph as it is written in integers; None for models of other architectures.

    Its tokenizer takes the patches themselves and not windows, which are fewer products in float: their
    mean and variance are a LayerNorm as all the others.

    Raises:
        UsageError: If a rewrite that it needs was left out.
    """
    lowered = graph.tokenizer_without(patch_windows.NAME)
    if lowered is None:
        return None
    norms = [norm for block in lowered.blocks for norm in (block.attention_norm, block.mlp_norm)]
    missing = {
        layer_norm_affine.NAME: any(norm.affine for norm in norms)
        or (isinstance(lowered.tokenizer, PatchTokenizer) and lowered.tokenizer.norm.affine),
        head_norm_affine.NAME: lowered.norm.affine,
        temperature.NAME: any(block.attention.temperature != 1 for block in lowered.blocks),
    }
    if any(missing.values()):
        names = ", ".join(name for name, needed in missing.items() if needed)
        raise UsageError(
            f"The scheme full-int8 needs these rewrites of the model, too: {names}. Do not leave them out, "
            "or use another scheme."
        )
    return lowered


def write_integer_graph(
    graph: Graph, calibration: Calibration, answer: str, batch: int, method: Method
) -> bytes:
    """Writes an `integer_graph` as a .tflite file, with the ranges that `method` gives its calibration.

    Raises:
        InputError: If an activation is not finite.
    """
    ranged = calibration.ranged(method).activations
    # Variances are not rounded: the largest counts.
    exact = {
        name: activation
        for name, activation in calibration.activations.items()
        if name.endswith("/variance")
    }
    writer = LiteRTWriter()
    shape = (batch, graph.input_size, graph.input_size, 3)
    image = Quantized(writer.tensor("image", shape, "uint8", scale=1.0), shape, 1.0)
    patch_length = len(graph.tokenizer.projection.kernel)
    found = dataclasses.replace(calibration, activations={**ranged, **exact})
    operators = IntegerOperators(writer, found, patch_length, answer)
    result = compute(graph, operators, image, answer)
    # MediaPipe and LiteRT.js take uint8 and float32 alone. The same steps, counted from 0.
    unsigned = writer.tensor(
        f"{answer}/uint8",
        result.shape,
        "uint8",
        scale=result.scale,
        zero_point=result.zero_point - INT8_MIN,
    )
    writer.operator("QUANTIZE", [result.index], unsigned, options="QuantizeOptions")
    return writer.content({"image": image.index}, {answer: unsigned})
