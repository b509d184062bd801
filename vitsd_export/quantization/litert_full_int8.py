"""The LiteRT scheme `full-int8`: no operator of floats, uint8 in, int8 out."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from vitsd_export.errors import InputError, UsageError
from vitsd_export.lowering.graph import Graph, PatchTokenizer
from vitsd_export.lowering.inference_graph import InferenceGraph
from vitsd_export.lowering.program import compute
from vitsd_export.lowering.rewrites import patch_windows
from vitsd_export.quantization.integer_arithmetic import Quantized
from vitsd_export.quantization.integer_only import float_tensors
from vitsd_export.quantization.integer_operators import IntegerOperators
from vitsd_export.quantization.litert_converter_int8 import convert_to_int8
from vitsd_export.quantization.litert_writer import LiteRTWriter
from vitsd_export.quantization.recording_operators import RecordingOperators
from vitsd_export.quantization.records import Records

_RECORDING_BATCH = 32


def write_full_int8(
    graph: InferenceGraph,
    images: np.ndarray,
    *,
    batch: int = 1,
    progress: Callable[[int], None] | None = None,
) -> bytes:
    """Writes a model in integer operators alone.

    A lowered model gets the operators of `integer_operators`, models of other architectures those of
    LiteRT's converter.

    Args:
        graph: The model.
        images: Calibration images [N, size, size, 3] uint8.
        batch: Images in a call.
        progress: Called with the number of images done; for lowered models only.

    Returns:
        The .tflite file. Its signature `serving_default` takes `image`, uint8 [batch, size, size, 3], the
        pixels as they are, and answers int8 [batch, classes] with the scale and zero point of the tensor.

    Raises:
        UsageError: If the image is asked for in float32, or a rewrite that it needs was left out.
        InputError: If an activation is not finite, or the model cannot be written without floats.
    """
    if graph.input_type != "uint8":
        raise UsageError(
            "A full-int8 file takes uint8 pixels: leave out --input float32, or use another scheme."
        )
    # The patches themselves, not the windows that are fewer products in float: their mean and variance
    # are a LayerNorm as all the others.
    lowered = graph.lowered_without(patch_windows.NAME)
    if lowered is None:
        content = convert_to_int8(graph, images, batch=batch)
    else:
        records = record(lowered, images, graph.output, progress=progress)
        content = write_integer_file(lowered, records, graph.output, batch=batch)
    rest = float_tensors(content)
    if rest:
        raise InputError(
            f"The model cannot be written in integer operators alone (scheme full-int8): {len(rest)} "
            f"still compute with floats, the first one {rest[0]}. Use the scheme int8, dynamic-int8 or "
            "weight-only-int8."
        )
    return content


def record(
    graph: Graph, images: np.ndarray, answer: str, *, progress: Callable[[int], None] | None = None
) -> Records:
    """Runs a graph in float32 on images and records what passes through it.

    Args:
        graph: The graph.
        images: [N, size, size, 3] uint8.
        answer: Name of its result.
        progress: Called with the number of images done.

    Raises:
        InputError: If an activation is not finite.
    """
    records = Records()
    for start in range(0, len(images), _RECORDING_BATCH):
        batch = images[start : start + _RECORDING_BATCH]
        compute(graph, RecordingOperators(records), tf.constant(batch), answer)
        if progress is not None:
            progress(start + len(batch))
    for name, tensor in records.tensors.items():
        if not tensor.finite:
            raise InputError(
                f"The activation {name} is not finite on the calibration images: {tensor.low} to "
                f"{tensor.high}. The model has NaN or infinite weights; train or save it again."
            )
    return records


def write_integer_file(graph: Graph, records: Records, answer: str, *, batch: int = 1) -> bytes:
    """Writes a lowered graph in integer operators.

    Args:
        graph: The graph, with the tokenizer as trained (without the rewrite `patch-windows`).
        records: What passed through it.
        answer: Name of its result.
        batch: Images in a call.

    Returns:
        The .tflite file. Its signature `serving_default` takes `image`, uint8 [batch, size, size, 3], and
        answers int8 [batch, classes] with the scale and zero point of the tensor.

    Raises:
        UsageError: If a rewrite that it needs was left out.
    """
    if not isinstance(graph.tokenizer, PatchTokenizer):
        raise TypeError("the tokenizer must be the one of patches")
    writer = LiteRTWriter()
    shape = (batch, graph.input_size, graph.input_size, 3)
    image = Quantized(writer.tensor("image", shape, "uint8", scale=1.0), shape, 1.0)
    patch_length = len(graph.tokenizer.projection.kernel)
    operators = IntegerOperators(writer, records, patch_length, answer)
    result = compute(graph, operators, image, answer)
    return writer.content({"image": image.index}, {answer: result.index})
