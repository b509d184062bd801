"""`full-int8`: a .tflite file of integer operators alone, for a lowered vision transformer."""

from collections.abc import Callable

import numpy as np

from vitsd_export.lowering.graph import Graph, PatchTokenizer
from vitsd_export.lowering.program import compute
from vitsd_export.quantization.integer_operators import IntegerOperators
from vitsd_export.quantization.litert_writer import LiteRTWriter
from vitsd_export.quantization.recording_operators import RecordingOperators, Records

_BATCH = 32


def record(
    graph: Graph, images: np.ndarray, *, progress: Callable[[int], None] | None = None
) -> Records:
    """Runs a graph on images and records what passes through it."""
    import tensorflow as tf

    records = Records()
    for start in range(0, len(images), _BATCH):
        batch = images[start : start + _BATCH]
        compute(graph, RecordingOperators(records), tf.constant(batch), "answer")
        if progress is not None:
            progress(start + len(batch))
    return records


def write_integer_file(graph: Graph, records: Records, *, batch: int = 1, output: str) -> bytes:
    """Writes a graph in integer operators."""
    assert isinstance(graph.tokenizer, PatchTokenizer)
    writer = LiteRTWriter()
    size = graph.input_size
    shape = (batch, size, size, 3)
    image = writer.tensor("image", shape, "uint8", scale=1.0)
    patch = graph.tokenizer.patch_size**2 * 15
    operators = IntegerOperators(writer, records, batch, patch, "answer")
    answer = compute(graph, operators, (image, shape), "answer")
    return writer.content({"image": image}, {output: answer.index})
