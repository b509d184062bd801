"""On which device TensorFlow ran the nodes of a function, and which of them oneDNN's kernels took."""

from collections.abc import Callable, Sequence
from typing import Any

from vitsd_export.artifact.graph_summary import by_falling_number
from vitsd_export.runtimes.delegation import Delegation, list_counts

# TensorFlow renames a node when it gives it to oneDNN, which had another name then.
_ONEDNN = "_Mkl"
# Nodes that compute nothing.
_NO_WORK = ("_Arg", "_Retval", "Const", "ReadVariableOp", "NoOp", "Identity")


def read_delegation(first_call: Callable[[], object]) -> Delegation | None:
    """Returns what TensorFlow made of a function's graph; None if it reports none.

    `first_call` calls the function for the first time, which is when TensorFlow reports its graph.
    """
    # Run metadata is not among the public names for eager execution.
    from tensorflow.python.eager import context

    state = context.context()
    state.enable_run_metadata()
    try:
        first_call()
        metadata = state.export_run_metadata()
    finally:
        state.disable_run_metadata()
    parts = [list(graph.partition_graphs) for graph in metadata.function_graphs]
    if not parts:
        return None
    # Beside the function itself there are those that make constants.
    return summarize_parts(max(parts, key=lambda graphs: sum(len(graph.node) for graph in graphs)))


def summarize_parts(graphs: Sequence[Any]) -> Delegation:
    """Returns what `GraphDef`s from TensorFlow's optimizer say, each of which runs on one device."""
    nodes = [node for graph in graphs for node in graph.node if node.op not in _NO_WORK]
    places = [{_device(node) for node in graph.node} for graph in graphs]
    devices = by_falling_number(_device(node) for node in nodes)
    device = next(iter(devices), "")
    taken = sum(1 for node in nodes if node.op.startswith(_ONEDNN))
    kinds = by_falling_number(node.op for node in nodes)
    note = f"oneDNN's kernels: {taken}; as it runs: {list_counts(kinds)}"
    parts = sum(device in place for place in places)
    return Delegation(f"TensorFlow {device}", parts, devices.get(device, 0), len(nodes), note)


def _device(node: Any) -> str:
    return str(node.device.rpartition("device:")[2])
