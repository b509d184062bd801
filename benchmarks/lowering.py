"""What each rewrite of lowering gains: artifacts without it, with those that have all as their baseline."""

import functools
from collections.abc import Callable
from pathlib import Path

from vitsd_export.measure.benchmark.engine import Progress
from vitsd_export.measure.benchmark.results import Candidate, Results
from vitsd_export.measure.benchmark.settings import Settings

_RUNTIMES = {"onnx": "onnxruntime", "tflite": "litert"}


def measure_lowering(
    model: str | Path,
    folder: Path,
    settings: Settings,
    command: str,
    *,
    report: Callable[[str], None],
    progress: Progress,
) -> Results:
    """Measures a model's artifacts without each rewrite that applies to it, and without any.

    A rewrite that needs another is left out with it. A ratio above 1 is what the rewrite gains. The files of
    the stock converters are candidates of the suite.

    Args:
        model: Bundled name or file.
        folder: Where the artifacts go; those that are there already are used again.
        settings: Options of the run.
        command: The command line, for the record.
        report: Called with what is going on.
        progress: Told how far the measurements are.
    """
    from vitsd_export._internal.tensorflow import quiet_converters
    from vitsd_export.workflows.benchmark import measure, prepare
    from vitsd_export.workflows.verify import Reference

    reference = Reference.load(str(model))
    from vitsd_export.exporters.litert import convert
    from vitsd_export.exporters.onnx import write_onnx
    from vitsd_export.lowering.inference_graph import InferenceGraph
    from vitsd_export.lowering.rewrites import REWRITES

    lower = functools.partial(InferenceGraph, reference.loaded, answers_probabilities=True)
    left_out = {
        "with all": [],
        **{f"without {name}": [name] for name in lower().rewrites},
        "without any": [rewrite.name for rewrite in REWRITES],
    }
    candidates = []
    for format, runtime in _RUNTIMES.items():
        for name, names in left_out.items():
            path = folder / f"{name.replace(' ', '-')}.{format}"
            if not path.exists():
                report(f"writing {path.name}")
                with quiet_converters():
                    if format == "onnx":
                        write_onnx(lower(without=names), path)
                    else:
                        path.write_bytes(convert(lower(without=names)))
            baseline = f"{format} with all" if names else None
            candidates.append(
                Candidate(
                    f"{format} {name}",
                    runtime,
                    format,
                    "float32",
                    path=str(path),
                    baseline=baseline,
                )
            )
    bench = prepare(reference, data="sample", data_dir=None, settings=settings, command=command)
    return measure(candidates, bench, progress=progress)
