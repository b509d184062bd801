"""Which provider ran which node of an ONNX file, read from onnxruntime's profile of a run."""

import itertools
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from vitsd_export.artifact.graph_summary import by_falling_number
from vitsd_export.runtimes.delegation import Delegation, list_counts


def profile_delegation(path: Path, feed: dict[str, np.ndarray]) -> Delegation:
    """Runs an ONNX file once with onnxruntime's profiler, on inputs by name."""
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "profile")
        options.log_severity_level = 4
        session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"], enable_fallback=0
        )
        session.run(None, feed)
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    return summarize_profile(events)


def summarize_profile(events: list[dict[str, Any]]) -> Delegation:
    """Returns what the events of a profile of one run, in their order, say of providers."""
    nodes = [
        event["args"]
        for event in events
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time")
    ]
    runs = [node.get("provider", "") for node in nodes]
    counts = by_falling_number(runs)
    provider = next(iter(counts), "")
    kinds = by_falling_number(node["op_name"] for node in nodes)
    note = f"as it runs: {list_counts(kinds)}"
    others = {name: count for name, count in counts.items() if name != provider}
    if others:
        note = f"on other providers: {list_counts(others)}; {note}"
    return Delegation(
        provider,
        sum(1 for name, _ in itertools.groupby(runs) if name == provider),
        counts.get(provider, 0),
        len(nodes),
        note,
    )
