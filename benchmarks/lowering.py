"""What each rewrite of lowering gains: artifacts without it, with those that have all as their baseline."""

import functools
from pathlib import Path

from vitsd_export._internal.progress import Progress
from vitsd_export.artifact.formats import LITERT, ONNX
from vitsd_export.exporters.exporter import WriteOptions
from vitsd_export.exporters.registry import EXPORTERS
from vitsd_export.measure.benchmark.results import Candidate, Results
from vitsd_export.measure.benchmark.settings import Settings


def measure_lowering(
    model: str | Path, folder: Path, settings: Settings, command: str, progress: Progress
) -> Results:
    """Measures a model's artifacts without each rewrite that applies to it, and without any.

    A rewrite that needs another is left out with it. A ratio above 1 is what the rewrite gains. The files of
    the stock converters are candidates of the suite. Artifacts that are in the folder already are used again.
    """
    from vitsd_export._internal.tensorflow import quiet_converters
    from vitsd_export.workflows.benchmark import measure, prepare
    from vitsd_export.workflows.verify import Reference

    reference = Reference.load(str(model))
    from vitsd_export.lowering.inference_graph import InferenceGraph
    from vitsd_export.lowering.rewrites import REWRITES

    lower = functools.partial(InferenceGraph, reference.loaded, answers_probabilities=True)
    left_out = {
        "with all": [],
        **{f"without {name}": [name] for name in lower().rewrites},
        "without any": [rewrite.name for rewrite in REWRITES],
    }
    candidates = []
    for form in (ONNX, LITERT):
        for name, names in left_out.items():
            path = folder / f"{name.replace(' ', '-')}{form.suffix}"
            if not path.exists():
                progress(f"writing {path.name}")
                with quiet_converters():
                    EXPORTERS[form.name].write(lower(without=names), path, WriteOptions())
            candidates.append(
                Candidate(
                    f"{form.name} {name}",
                    form.runtime,
                    form.name,
                    "float32",
                    path=str(path),
                    baseline=f"{form.name} with all" if names else None,
                )
            )
    bench = prepare(reference, "sample", None, settings, command)
    return measure(candidates, bench, progress=progress)
