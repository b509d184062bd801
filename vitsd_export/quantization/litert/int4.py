"""The LiteRT scheme `int4`: int4 weights with a scale a block of inputs, in the layers where that pays.

All other weighted layers are as in `dynamic-int8`. Within all of them the activations are int8, their
ranges taken at run time.
"""

import dataclasses
import os
from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np

from vitsd_export.errors import InputError
from vitsd_export.lowering.graph import Array
from vitsd_export.quantization.calibration.ranges import (
    WEIGHTED_OPERATORS,
    Calibration,
    is_geometry,
)
from vitsd_export.quantization.int4 import quantize_blocks
from vitsd_export.quantization.int4_layers import (
    IMAGES,
    LARGE,
    as_probabilities,
    harmless_layers,
    large_layers,
)
from vitsd_export.quantization.litert.layers import outputs_named, run_batches, tensor_names
from vitsd_export.quantization.litert.quantizer import (
    TRAINED,
    exactly,
    leave_float,
    new_quantizer,
    quantized,
)

# A block's float16 scale takes half a bit a weight in blocks of 32, an eighth in blocks of 128. XNNPACK
# takes multiples of 32.
_BLOCK, _LARGE_BLOCK = 32, 128


@dataclasses.dataclass(frozen=True, eq=False)
class DenseLayer:
    """A dense layer with constant weights that may be int4.

    Attributes:
        input: Name of what enters it.
        output: Name of what it answers; unique in the model.
        weights: Name of its weights.
        kernel: [inputs, outputs] float32.
        block: Inputs that are to share a scale.
    """

    input: str
    output: str
    weights: str
    kernel: Array
    block: int


def int4_candidates(content: bytes) -> tuple[DenseLayer, ...]:
    """Returns the layers of a float32 .tflite file that may be int4: the large ones, if there are any."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content)
    names = tensor_names(interpreter)
    layers = {}
    for operator in interpreter._get_ops_details():
        output = names[int(operator["outputs"][0])]
        if operator["op_name"] != "FULLY_CONNECTED" or is_geometry(output):
            continue
        x, weights = (int(index) for index in operator["inputs"][:2])
        kernel = interpreter.get_tensor(weights).T.copy()
        block = _LARGE_BLOCK if kernel.size >= LARGE else _BLOCK
        if len(kernel) % block == 0:
            layers[output] = DenseLayer(names[x], output, names[weights], kernel, block)
    large = large_layers({name: layer.kernel.size for name, layer in layers.items()})
    return tuple(layers[name] for name in large or layers)


def quantize_int4(
    content: bytes,
    candidates: tuple[DenseLayer, ...],
    calibration: Calibration,
    images: Array,
    *,
    keep_float: Collection[str] = (),
) -> tuple[bytes, tuple[str, ...]]:
    """Quantizes a float32 .tflite file to int4 and int8 weights.

    Args:
        content: The file.
        candidates: The layers that may be int4, see `int4_candidates`.
        calibration: With the moments of what enters them, which tell which errors matter.
        images: [N, size, size, 3] training images, by which harmless layers are found.
        keep_float: Names of layers to leave as they are, see `layers.outputs_named`.

    Returns:
        The quantized file, and the names of what the layers in int4 answer.

    Raises:
        InputError: If the file has no layer that can be quantized, or none that can be int4.
        UsageError: If there is no layer of a name.
    """
    work = new_quantizer(content)
    from ai_edge_quantizer.qtyping import QuantGranularity, TFLOperationName

    for operator in WEIGHTED_OPERATORS:
        work.add_dynamic_config(TRAINED, TFLOperationName[operator], 8)
    kept = outputs_named(content, keep_float)
    layers = {layer.output: layer for layer in candidates if layer.output not in kept}
    if not layers:
        raise InputError(
            "No layer of the model can be stored in int4: none is a dense layer with a multiple of "
            f"{_BLOCK} inputs. Use the scheme int8."
        )
    rounded = {
        name: quantize_blocks(
            layer.kernel, layer.block, calibration.moments[layer.input], half_scales=True
        )
        for name, layer in layers.items()
    }
    sizes = {name: layer.kernel.size for name, layer in layers.items()}
    chosen = large_layers(sizes)
    if not chosen:
        chosen = harmless_layers(sizes, _answers(content, images[:IMAGES], layers, rounded))
    for name in chosen:
        work.add_dynamic_config(
            exactly([name]),
            TFLOperationName.FULLY_CONNECTED,
            4,
            granularity=QuantGranularity[f"BLOCKWISE_{layers[name].block}"],
        )
    leave_float(work, content, keep_float)
    replaced = {layers[name].weights: rounded[name] for name in chosen}
    return _replace_weights(quantized(work), replaced), chosen


def _answers(
    content: bytes,
    images: Array,
    layers: Mapping[str, DenseLayer],
    rounded: Mapping[str, tuple[Array, Array]],
) -> Callable[[str | None], Array]:
    """Returns what tells a file's probabilities with the weights of one layer rounded, or of none."""
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.interpreter import Interpreter

    def changed(name: str) -> bytes:
        layer, (integers, scales) = layers[name], rounded[name]
        copy = bytearray(content)
        model = schema.Model.GetRootAsModel(copy, 0)
        graph = model.Subgraphs(0)
        tensors = [graph.Tensors(index) for index in range(graph.TensorsLength())]
        (weights,) = (each for each in tensors if each.Name().decode() == layer.weights)
        wide = integers * np.repeat(scales, layer.block, axis=0)
        _write(copy, model.Buffers(weights.Buffer()), wide.T)
        return bytes(copy)

    def probabilities(name: str | None) -> Array:
        interpreter = Interpreter(
            model_content=content if name is None else changed(name), num_threads=os.cpu_count()
        )
        answer = interpreter.get_output_details()[0]["index"]
        rows = [interpreter.get_tensor(answer) for _ in run_batches(interpreter, images)]
        (signature,) = interpreter.get_signature_list().values()
        return as_probabilities(np.concatenate(rows)[: len(images)], signature["outputs"][0])

    return probabilities


def _replace_weights(content: bytes, rounded: dict[str, tuple[Array, Array]]) -> bytes:
    """Writes weights over those that the quantizer rounded to the nearest."""
    from ai_edge_litert import schema_py_generated as schema

    changed = bytearray(content)
    model = schema.Model.GetRootAsModel(changed, 0)
    graph = model.Subgraphs(0)
    tensors = [graph.Tensors(index) for index in range(graph.TensorsLength())]
    for tensor in tensors:
        name = tensor.Name().decode()
        if name not in rounded:
            continue
        integers, scales = rounded[name]
        details = schema.BlockwiseQuantization()
        table = tensor.Quantization().Details()
        details.Init(table.Bytes, table.Pos)
        place = model.Buffers(tensors[details.Scales()].Buffer())
        _write(changed, place, scales.T.astype(np.float16))
        # Two weights a byte, the first one in the lower half.
        pairs = integers.T.reshape(-1, 2).astype(np.uint8) & 0xF
        _write(changed, model.Buffers(tensor.Buffer()), pairs[:, 0] | pairs[:, 1] << 4)
    return bytes(changed)


def _write(content: bytearray, buffer: Any, values: Array) -> None:
    written = np.frombuffer(values.tobytes(), np.uint8)
    # A buffer lies within the FlatBuffer, or behind it at an offset.
    place = (
        np.frombuffer(content, np.uint8, buffer.Size(), buffer.Offset())
        if buffer.DataIsNone()
        else buffer.DataAsNumpy()
    )
    if len(place) != len(written):
        raise ValueError(f"a buffer of {len(place)} bytes was to hold {len(written)}")
    place[:] = written
