"""Making the baselines' files, each once for a model and a set of versions."""

import functools
import hashlib
import importlib.util
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.baselines.catalogue import Baseline, find_baseline
from benchmarks.isolated import Made, run_module
from vitsd_export._internal.atomic_write import publish, staging

# tf2onnx takes a minute for the largest preset.
TIMEOUT_SECONDS = 900.0


def make_baselines(
    baselines: Sequence[Baseline],
    source: Path,
    sha256: str,
    folder: Path,
    *,
    progress: Callable[[str], None] = lambda _: None,
) -> dict[str, Made]:
    """Makes files, each in a process of its own, or takes those that are there.

    Args:
        baselines: Which.
        source: The model.
        sha256: Its digest.
        folder: Where they are kept, by the model's digest and the versions of what makes them.
        progress: Called with what is going on.

    Returns:
        What became of each, by its name.

    Raises:
        EnvironmentProblem: If the folder cannot be written.
    """

    @functools.cache
    def make(baseline: Baseline) -> Made:
        if baseline.module is not None and importlib.util.find_spec(baseline.module) is None:
            why = f"{baseline.module} is not installed: pip install '.[torch]'"
            return Made(None, skipped=why)
        start = source
        if baseline.made_from is not None:
            first = make(find_baseline(baseline.made_from))
            if first.path is None:
                return Made(None, f"{baseline.made_from}: {first.failure}", first.skipped)
            start = first.path
        target = folder / sha256[:16] / _versions_key(baseline) / baseline.file_name
        return Made(target) if target.exists() else _make(baseline, start, target, progress)

    return {baseline.name: make(baseline) for baseline in baselines}


def _make(baseline: Baseline, start: Path, target: Path, progress: Callable[[str], None]) -> Made:
    began = time.monotonic()
    progress(f"making {baseline.name}")
    target.parent.mkdir(parents=True, exist_ok=True)
    with staging(target) as staged:
        arguments = [baseline.maker, str(start), str(staged), *baseline.arguments]
        failure = run_module("benchmarks.baselines", arguments, timeout=TIMEOUT_SECONDS)
        if failure is None and not staged.exists():
            failure = f"{baseline.made_by} wrote no file"
        if failure is not None:
            return Made(None, f"could not be made: {failure}")
        publish(staged, target)
    progress(f"made {baseline.name} in {time.monotonic() - began:.0f} s")
    return Made(target)


def _versions_key(baseline: Baseline) -> str:
    versions = baseline.versions()
    if baseline.made_from is not None:
        versions |= find_baseline(baseline.made_from).versions()
    digest = hashlib.sha256(json.dumps([versions, baseline.maker, baseline.arguments]).encode())
    # What is written here decides as well.
    for file in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]
