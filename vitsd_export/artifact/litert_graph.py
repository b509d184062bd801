"""Reads the graph of a .tflite file without an interpreter and without TensorFlow."""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vitsd_export.artifact.damage import unusable
from vitsd_export.artifact.graph_summary import (
    Constant,
    GraphSummary,
    Node,
    by_falling_number,
    count_parameters,
    group_weights,
)
from vitsd_export.artifact.litert_macs import find_products
from vitsd_export.artifact.tensor_info import TensorInfo

_SIGNATURE = b"serving_default"
_MINIMUM_RUNTIME = b"min_runtime_version"


def read_litert_graph(path: Path) -> GraphSummary:
    """Returns what a .tflite file is made of.

    Args:
        path: A file that `check_litert_file` let pass.

    Raises:
        InputError: If the file's layout is damaged.
    """
    from ai_edge_litert import schema_py_generated as schema

    try:
        return _summarize(schema.Model.GetRootAsModel(path.read_bytes(), 0), schema)
    except OSError as error:
        raise unusable(path, f"it cannot be read ({error.strerror or error})") from error
    except (struct.error, ValueError, TypeError, LookupError, AttributeError) as error:
        raise unusable(path, f"its layout is damaged ({error})") from error


def _summarize(model: Any, schema: Any) -> GraphSummary:
    names = {code: name for name, code in vars(schema.BuiltinOperator).items() if _public(name)}
    types = {code: name for name, code in vars(schema.TensorType).items() if _public(name)}
    dtypes = {code: name.lower() for code, name in types.items()}
    ops, custom = [], []
    for index in range(model.OperatorCodesLength()):
        code = model.OperatorCodes(index)
        # Old files keep the number in a byte of its own, which new ones fill with a place-holder.
        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        if number == schema.BuiltinOperator.CUSTOM:
            ops.append((code.CustomCode() or b"CUSTOM").decode(errors="replace"))
            custom.append(ops[-1])
        else:
            ops.append(names.get(number, f"BUILTIN_{number}"))
    subgraphs = [model.Subgraphs(index) for index in range(model.SubgraphsLength())]
    if not subgraphs:
        raise ValueError("there is no graph")
    used = [
        ops[graph.Operators(index).OpcodeIndex()]
        for graph in subgraphs
        for index in range(graph.OperatorsLength())
    ]
    inputs, outputs = _ports(model, subgraphs, dtypes)
    constants = list(_constants(model, subgraphs, dtypes))
    return GraphSummary(
        inputs=inputs,
        outputs=outputs,
        ops=by_falling_number(used),
        custom_ops=tuple(sorted(set(custom) & set(used))),
        versions={"schema": int(model.Version()), **_minimum_runtime(model)},
        weights=group_weights(constants),
        parameters=count_parameters(constants),
        nodes=tuple(_nodes(subgraphs[0], ops)),
        products=tuple(find_products(model, subgraphs[0], ops, dtypes)),
    )


def _nodes(graph: Any, ops: list[str]) -> Iterator[Node]:
    def tensor(index: int) -> str:
        # -1 stands for an input that is left out.
        return graph.Tensors(index).Name().decode(errors="replace") if index >= 0 else ""

    for index in range(graph.OperatorsLength()):
        operator = graph.Operators(index)
        inputs = tuple(tensor(operator.Inputs(at)) for at in range(operator.InputsLength()))
        outputs = tuple(tensor(operator.Outputs(at)) for at in range(operator.OutputsLength()))
        yield Node(outputs[0] if outputs else "", ops[operator.OpcodeIndex()], inputs, outputs)


def _public(name: str) -> bool:
    return not name.startswith("_")


def _shape(tensor: Any) -> tuple[int, ...]:
    return tuple(int(tensor.Shape(axis)) for axis in range(tensor.ShapeLength()))


def _info(tensor: Any, name: bytes, dtypes: dict[int, str]) -> TensorInfo:
    sizes: tuple[int | None, ...] = _shape(tensor)
    if tensor.ShapeSignatureLength():
        signature = [int(tensor.ShapeSignature(axis)) for axis in range(len(sizes))]
        sizes = tuple(None if size < 0 else size for size in signature)
    return TensorInfo(name.decode(errors="replace"), dtypes[tensor.Type()], sizes)


def _ports(
    model: Any, subgraphs: list[Any], dtypes: dict[int, str]
) -> tuple[tuple[TensorInfo, ...], tuple[TensorInfo, ...]]:
    """Returns inputs and outputs, under the signature's names, which apps use, if there is one."""
    signatures = [model.SignatureDefs(index) for index in range(model.SignatureDefsLength())]
    signatures.sort(key=lambda signature: signature.SignatureKey() != _SIGNATURE)
    if signatures:
        first = signatures[0]
        tensors = subgraphs[first.SubgraphIndex()].Tensors
        entries = (
            [first.Inputs(index) for index in range(first.InputsLength())],
            [first.Outputs(index) for index in range(first.OutputsLength())],
        )
        inputs, outputs = (
            tuple(_info(tensors(entry.TensorIndex()), entry.Name(), dtypes) for entry in side)
            for side in entries
        )
        return inputs, outputs
    graph = subgraphs[0]
    sides = (
        [graph.Tensors(graph.Inputs(index)) for index in range(graph.InputsLength())],
        [graph.Tensors(graph.Outputs(index)) for index in range(graph.OutputsLength())],
    )
    inputs, outputs = (
        tuple(_info(tensor, tensor.Name() or b"", dtypes) for tensor in side) for side in sides
    )
    return inputs, outputs


def _constants(model: Any, subgraphs: list[Any], dtypes: dict[int, str]) -> Iterator[Constant]:
    # Tensors may share a buffer, which is in the file once.
    seen = set()
    for graph in subgraphs:
        for index in range(graph.TensorsLength()):
            tensor = graph.Tensors(index)
            number = tensor.Buffer()
            buffer = model.Buffers(number)
            # Files over 2 GB keep the data behind the graph, at an offset; 1 stands for "not
            # there".
            size = buffer.Size() if buffer.Size() > 1 else buffer.DataLength()
            if size and number not in seen:
                seen.add(number)
                dtype = dtypes[tensor.Type()]
                scales = tensor.Quantization()
                quantized = scales is not None and scales.ScaleLength() > 0
                yield Constant(dtype, _shape(tensor), int(size), "float" in dtype or quantized)


def _minimum_runtime(model: Any) -> dict[str, str]:
    for index in range(model.MetadataLength()):
        entry = model.Metadata(index)
        if entry.Name() == _MINIMUM_RUNTIME:
            data = model.Buffers(entry.Buffer())
            text = bytes(data.Data(byte) for byte in range(data.DataLength()))
            version = text.rstrip(b"\0").decode(errors="replace")
            return {"min_runtime_version": version} if version else {}
    return {}
