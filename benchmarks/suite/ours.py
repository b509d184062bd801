"""Making our own artifacts of a model, in a process of its own: `python -m benchmarks.suite.ours`.

They are not verified, since all that verification looks at is measured, and one that would fail is to be
measured as well.
"""

import dataclasses
import hashlib
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import vitsd_export
from benchmarks.baselines.catalogue import installed_version
from benchmarks.isolated import Made, run_module
from benchmarks.suite.variants import Variant

_TIMEOUT_SECONDS = 1800.0
# What writes artifacts beside this package.
_CONVERTERS = ("tensorflow", "keras", "onnx", "onnxruntime", "ai-edge-quantizer", "tf2onnx")


def make_ours(
    variants: Sequence[Variant],
    source: Path,
    sha256: str,
    folder: Path,
    *,
    progress: Callable[[str], None] = lambda _: None,
) -> dict[str, Made]:
    """Makes artifacts, all in one process, or takes those that are there; as `make_baselines` does.

    They are kept in `folder` by the model's digest and that of this package's code.
    """
    place = folder / sha256[:16] / _code_key()
    place.mkdir(parents=True, exist_ok=True)
    missing = [each for each in variants if not (place / each.file_name).exists()]
    reason = None
    failures: dict[str, str] = {}
    if missing:
        progress(f"exporting {', '.join(each.name for each in missing)}")
        with tempfile.TemporaryDirectory() as temporary:
            answer = Path(temporary) / "failures.json"
            plan = json.dumps([dataclasses.asdict(each) for each in missing])
            arguments = [str(source), plan, str(place), str(answer)]
            reason = run_module("benchmarks.suite.ours", arguments, timeout=_TIMEOUT_SECONDS)
            if answer.exists():
                failures = json.loads(answer.read_text(encoding="utf-8"))
    made = {}
    for each in variants:
        path = place / each.file_name
        if path.exists():
            made[each.name] = Made(path)
        else:
            why = failures.get(each.name) or reason or "no file was written"
            made[each.name] = Made(None, f"could not be made: {why}")
    return made


def _code_key() -> str:
    """Returns a digest of what this package exports by: its code, and the versions of the converters."""
    versions = [installed_version(name) for name in _CONVERTERS]
    digest = hashlib.sha256(json.dumps(versions).encode())
    root = Path(vitsd_export.__file__).parent
    for file in sorted(root.rglob("*.py")):
        digest.update(str(file.relative_to(root)).encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def _export(source: str, plan: str, folder: str, answer: str) -> None:
    """Exports variants; writes why some could not be, by name."""
    from vitsd_export.errors import VitsdExportError
    from vitsd_export.workflows.export import Export, Target

    export = Export(source, verify=False)
    failures = {}
    for entry in json.loads(plan):
        each = Variant(**entry)
        path = Path(folder) / each.file_name
        try:
            export.run(Target(each.format, path, each.scheme, head_rank=each.head_rank))
        except VitsdExportError as error:
            failures[each.name] = str(error)
        Path(answer).write_text(json.dumps(failures), encoding="utf-8")


if __name__ == "__main__":
    _export(*sys.argv[1:])
