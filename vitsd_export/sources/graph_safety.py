"""What a SavedModel may do: compute with tensors and its own variables, and nothing else.

A SavedModel is a program: its operators can read and write any file of the user, call Python functions and
talk to other machines, and some functions of it run while it is loaded (initialisers). Operators are
allowed by name here; those that are not registered in TensorFlow are refused with the rest.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from vitsd_export._internal.tensorflow import import_tensorflow
from vitsd_export.errors import InputError
from vitsd_export.sources.folders import SAVED_MODEL_FILE

# TensorFlow marks operators with effects beyond their outputs as stateful. These have none outside the
# model: they read and write its variables, draw random numbers, or call functions of the graph.
_STATEFUL_BUT_CONTAINED = re.compile(
    r"""
    Assert | Assign(Add|Sub)?VariableOp | Case | CheckNumerics(V2)? | DestroyResourceOp
    | DisableCopyOnRead | DeviceIndex | Empty | GuaranteeConst | If | IteratorGetNext | Multinomial
    | ParameterizedTruncatedNormal | Random(Gamma|Poisson(V2)?|Shuffle|StandardNormal|Uniform(Int)?)
    | ReadVariableOp | Resource(Sparse)?Apply\w+ | Resource(Gather|Scatter)\w* | ResourceCountUpTo
    | ResourceStridedSliceAssign | Rng(ReadAnd)?Skip | Stateful(PartitionedCall|RandomBinomial)
    | Stateful(StandardNormal(V2)?|TruncatedNormal|Uniform(FullInt|Int)?) | StatelessRandomGetAlg
    | TruncatedNormal | TensorArray\w* | VarHandleOp | VarIsInitializedOp | VariableShape | While
    """,
    re.VERBOSE,
)
# Not marked as stateful, and yet they reach outside.
_STATELESS_BUT_REACHING = re.compile(
    r"ReadFile|MatchingFiles|PyFuncStateless|InitializeTableFromTextFile|\w*(Dataset|Snapshot|Dump)\w*"
    r"|Debug\w+|\w*(Send|Recv)|XlaHostCompute|\w*CallbackOp"
)
# By these a SavedModel saves and restores itself. They are never run here: TensorFlow restores the variables
# itself, and exporters do not save.
_OF_THE_SAVER = {
    "MergeV2Checkpoints",
    "RestoreV2",
    "SaveV2",
    "ShardedFilename",
}


def read_safe_graph(folder: Path) -> Any:
    """Parses a SavedModel and checks each operator in it.

    Returns:
        Its MetaGraphDef for serving.

    Raises:
        InputError: If it is damaged, or an operator may touch files, other processes or Python.
    """
    import_tensorflow()
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import saved_model_pb2

    file = folder / SAVED_MODEL_FILE
    saved_model = saved_model_pb2.SavedModel()
    try:
        saved_model.ParseFromString(file.read_bytes())
    except (OSError, DecodeError) as error:
        raise InputError(
            f"The SavedModel {folder} cannot be read: {SAVED_MODEL_FILE} is damaged or something else "
            f"({' '.join(str(error).split())[:200]}). Save or copy it again."
        ) from error
    graphs = [graph for graph in saved_model.meta_graphs if "serve" in graph.meta_info_def.tags]
    if len(graphs) != 1 or len(saved_model.meta_graphs) != 1:
        raise InputError(
            f"The SavedModel {folder} holds {len(saved_model.meta_graphs)} graphs, {len(graphs)} of them "
            "for serving; one is expected. The file may be damaged; save or copy it again."
        )
    refused = sorted(_refused_operators(graphs[0]))
    if refused:
        raise InputError(
            f"The SavedModel {folder} is refused: its graph holds {', '.join(refused[:8])}, which may touch "
            "files, run Python or reach other machines, or which TensorFlow does not know. A classifier "
            "needs none of these: save the model again without them. Nothing of it was run."
        )
    return graphs[0]


def _refused_operators(meta_graph: Any) -> Iterator[str]:
    functions = {item.signature.name: item for item in meta_graph.graph_def.library.function}
    runnable = _reachable(functions, meta_graph.object_graph_def.concrete_functions)
    for name, function in functions.items():
        for operator in {node.op for node in function.node_def} - functions.keys():
            if operator in _OF_THE_SAVER and name not in runnable:
                continue
            if not _is_contained(operator):
                yield operator
    # The graph around the functions is not loaded either.
    for operator in {node.op for node in meta_graph.graph_def.node} - functions.keys():
        if operator not in _OF_THE_SAVER and not _is_contained(operator):
            yield operator


def _is_contained(operator: str) -> bool:
    from tensorflow.python.framework import op_def_registry

    definition = op_def_registry.get(operator)
    if definition is None:
        return False
    if definition.is_stateful:
        return _STATEFUL_BUT_CONTAINED.fullmatch(operator) is not None
    return _STATELESS_BUT_REACHING.fullmatch(operator) is None


def _reachable(functions: dict[str, Any], roots: Iterable[str]) -> set[str]:
    """Names of the functions that objects of the model refer to, and of those that these call."""
    reached: set[str] = set()
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        if name in reached or name not in functions:
            continue
        reached.add(name)
        for node in functions[name].node_def:
            waiting.append(node.op)
            for value in node.attr.values():
                if value.HasField("func"):
                    waiting.append(value.func.name)
                elif value.HasField("list"):
                    waiting.extend(function.name for function in value.list.func)
    return reached
