"""Reads the graph and the weights of a SavedModel without running it."""

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from vitsd_export._internal.messages import first_line
from vitsd_export._internal.native_stderr import quiet_native_stderr
from vitsd_export._internal.tensorflow import import_tensorflow
from vitsd_export.artifact.damage import unusable
from vitsd_export.artifact.graph_summary import (
    Constant,
    GraphSummary,
    by_falling_number,
    count_parameters,
    group_weights,
)
from vitsd_export.artifact.saved_model_file import LOADER_ERRORS, SAVED_MODEL_FILE, SIGNATURE
from vitsd_export.artifact.tensor_info import TensorInfo

# Entries of a checkpoint that are no weights.
_BOOKKEEPING = ("_CHECKPOINTABLE_OBJECT_GRAPH", "save_counter/")


def read_saved_model_graph(path: Path) -> GraphSummary:
    """Returns what the signature `serving_default` of a SavedModel is made of.

    Every weight is read, so that a checkpoint that is cut off is found out.

    Raises:
        InputError: If the folder is incomplete or damaged, or has no such signature.
    """
    tf = import_tensorflow()
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import saved_model_pb2

    try:
        saved_model = saved_model_pb2.SavedModel()
        saved_model.ParseFromString((path / SAVED_MODEL_FILE).read_bytes())
        meta_graph = _serving_graph(saved_model)
        signatures = dict(meta_graph.signature_def)
        if SIGNATURE not in signatures:
            names = ", ".join(map(repr, sorted(signatures))) or "none"
            raise ValueError(f"it has no signature {SIGNATURE!r}; it has {names}")
        signature = signatures[SIGNATURE]
        nodes = list(_reachable(meta_graph.graph_def, signature.outputs.values()))
        with quiet_native_stderr():
            constants = [*_variables(path, tf), *_constants(nodes, tf)]
        return GraphSummary(
            inputs=_infos(signature.inputs, tf),
            outputs=_infos(signature.outputs, tf),
            ops=by_falling_number(node.op for node in nodes),
            custom_ops=(),
            versions={
                "producer": f"tensorflow {meta_graph.meta_info_def.tensorflow_version}".strip()
            },
            weights=group_weights(constants),
            parameters=count_parameters(constants),
        )
    except (DecodeError, tf.errors.OpError, *LOADER_ERRORS) as error:
        reason = first_line(error).rstrip(".")
        raise unusable(
            path, f"it is incomplete, damaged or not a SavedModel for serving ({reason})"
        ) from error


def _serving_graph(saved_model: Any) -> Any:
    graphs = list(saved_model.meta_graphs)
    graphs.sort(key=lambda graph: "serve" not in graph.meta_info_def.tags)
    if not graphs:
        raise ValueError("it holds no graph")
    return graphs[0]


def _infos(tensors: Any, tf: Any) -> tuple[TensorInfo, ...]:
    return tuple(
        TensorInfo(
            name,
            tf.dtypes.as_dtype(tensors[name].dtype).name,
            tuple(
                None if size.size < 0 else int(size.size) for size in tensors[name].tensor_shape.dim
            ),
        )
        for name in sorted(tensors)
    )


def _reachable(graph: Any, outputs: Iterable[Any]) -> Iterator[Any]:
    """Yields the nodes the outputs depend on, and those of each called function, once."""
    nodes = {node.name: node for node in graph.node}
    functions = {function.signature.name: function for function in graph.library.function}
    waiting = [tensor.name for tensor in outputs]
    visited: set[str] = set()
    called: list[str] = []
    while waiting:
        name = waiting.pop().lstrip("^").split(":")[0]
        if name not in visited:
            visited.add(name)
            yield nodes[name]
            waiting += nodes[name].input
            called += _called_functions(nodes[name])
    entered: set[str] = set()
    while called:
        name = called.pop()
        if name in functions and name not in entered:
            entered.add(name)
            for node in functions[name].node_def:
                yield node
                called += _called_functions(node)


def _called_functions(node: Any) -> Iterator[str]:
    for value in node.attr.values():
        if value.HasField("func"):
            yield value.func.name
        elif value.HasField("list"):
            yield from (function.name for function in value.list.func)


def _variables(path: Path, tf: Any) -> Iterator[Constant]:
    if not (path / "variables" / "variables.index").is_file():
        # A frozen graph keeps all weights as constants; tf.saved_model.save writes the index even
        # so.
        return
    reader = tf.train.load_checkpoint(str(path / "variables" / "variables"))
    for key in sorted(reader.get_variable_to_shape_map()):
        if not key.startswith(_BOOKKEEPING):
            value = reader.get_tensor(key)
            yield Constant(value.dtype.name, value.shape, value.nbytes, is_weight=True)


def _constants(nodes: Iterable[Any], tf: Any) -> Iterator[Constant]:
    for node in nodes:
        if node.op == "Const":
            tensor = node.attr["value"].tensor
            dtype = tf.dtypes.as_dtype(tensor.dtype)
            shape = tuple(int(size.size) for size in tensor.tensor_shape.dim)
            text = dtype == tf.string
            size = tensor.ByteSize() if text else math.prod(shape) * dtype.size
            # Shapes, axes and indices are int32 or int64; quantized weights have 8 bits.
            is_weight = dtype.is_floating or dtype in (tf.int8, tf.uint8)
            yield Constant(dtype.name, shape, int(size), is_weight)
