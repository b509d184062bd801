"""Making the baselines' files, each once for a model and a set of versions."""

import hashlib
import importlib.util
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.baselines.catalogue import Baseline, find_baseline
from benchmarks.isolated import run_module
from benchmarks.made import Made
from vitsd_export._internal.atomic_write import publish, staging

# tf2onnx takes a minute for the largest preset.
TIMEOUT_SECONDS = 900.0


def make_baselines(
    baselines: Sequence[Baseline],
    source: Path,
    sha256: str,
    folder: Path,
    *,
    report: Callable[[str], None] = lambda _: None,
) -> dict[str, Made]:
    """Makes files, each in a process of its own, or takes those that are there.

    Args:
        baselines: Which.
        source: The model.
        sha256: Its digest.
        folder: Where they are kept, by the model's digest and the versions of what makes them.
        report: Called with what is going on.

    Returns:
        What became of each, by its name.

    Raises:
        EnvironmentProblem: If the folder cannot be written.
    """
    made: dict[str, Made] = {}
    for baseline in baselines:
        _make(baseline, source, sha256, folder, made, report)
    return {baseline.name: made[baseline.name] for baseline in baselines}


def _make(
    baseline: Baseline,
    source: Path,
    sha256: str,
    folder: Path,
    made: dict[str, Made],
    report: Callable[[str], None],
) -> Made:
    if baseline.name not in made:
        made[baseline.name] = _make_new(baseline, source, sha256, folder, made, report)
    return made[baseline.name]


def _make_new(
    baseline: Baseline,
    source: Path,
    sha256: str,
    folder: Path,
    made: dict[str, Made],
    report: Callable[[str], None],
) -> Made:
    if baseline.module is not None and importlib.util.find_spec(baseline.module) is None:
        return Made(None, skipped=f"{baseline.module} is not installed: pip install '.[torch]'")
    start = source
    if baseline.made_from is not None:
        first = _make(find_baseline(baseline.made_from), source, sha256, folder, made, report)
        if first.path is None:
            return Made(None, f"{baseline.made_from}: {first.failure}", first.skipped)
        start = first.path
    target = folder / sha256[:16] / _versions_key(baseline) / baseline.file_name
    if target.exists():
        return Made(target)
    began = time.monotonic()
    report(f"making {baseline.name}")
    target.parent.mkdir(parents=True, exist_ok=True)
    with staging(target) as staged:
        arguments = [baseline.maker, str(start), str(staged), *baseline.arguments]
        failure = run_module("benchmarks.baselines", arguments, timeout=TIMEOUT_SECONDS)
        if failure is None and not staged.exists():
            failure = f"{baseline.made_by} wrote no file"
        if failure is not None:
            return Made(None, f"could not be made: {failure}")
        publish(staged, target)
    report(f"made {baseline.name} in {time.monotonic() - began:.0f} s")
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
