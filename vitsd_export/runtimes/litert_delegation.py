"""Which operators of a .tflite file a delegate took, read from the interpreter's plan."""

import collections
import re
from typing import Any

from vitsd_export.artifact.graph_summary import by_falling_number
from vitsd_export.runtimes.delegation import Delegation, list_counts

_DELEGATE = "DELEGATE"
# What a delegate says of itself when it is made: there is no other way to learn its name.
_GREETING = re.compile(r"Created TensorFlow Lite (\w+) delegate")


def read_delegation(interpreter: Any, messages: str) -> Delegation:
    """Returns what the delegates of an interpreter took.

    A delegate's node stands beside the nodes it replaces and names the tensors at its borders; the nodes
    between these are its own.

    Args:
        interpreter: With its tensors allocated, which is when delegates are applied.
        messages: What LiteRT wrote to standard error while it started. Only the first interpreter of a
            process names its delegate there.
    """
    nodes = interpreter._get_ops_details()
    plain = [node for node in nodes if node["op_name"] != _DELEGATE]
    parts = [node for node in nodes if node["op_name"] == _DELEGATE]
    if not parts:
        return Delegation("LiteRT kernels", 1, len(plain), len(plain))
    makers = {int(tensor): node for node in plain for tensor in node["outputs"]}
    taken: set[int] = set()
    for part in parts:
        taken |= _between(part, makers)
    left = by_falling_number(node["op_name"] for node in plain if node["index"] not in taken)
    names = collections.Counter(_GREETING.findall(messages))
    provider = ", ".join(f"{name} delegate" for name in names) or "a delegate without a name"
    note = f"on LiteRT's own kernels: {list_counts(left)}" if left else ""
    return Delegation(provider, len(parts), len(taken), len(plain), note)


def _between(part: dict[str, Any], makers: dict[int, dict[str, Any]]) -> set[int]:
    """Returns the indices of the nodes between a delegate's inputs and outputs."""
    inputs = {int(tensor) for tensor in part["inputs"]}
    waiting = [int(tensor) for tensor in part["outputs"]]
    inside: set[int] = set()
    while waiting:
        maker = makers.get(waiting.pop())
        if maker is None or maker["index"] in inside:
            continue
        inside.add(maker["index"])
        waiting += [int(tensor) for tensor in maker["inputs"] if int(tensor) not in inputs]
    return inside
