"""Exports Keras vision transformers for small datasets to files that apps can run, verified.

Names are imported when they are used: `import vitsd_export` does not import TensorFlow, and what
only runs an artifact never does.
"""

import importlib
from typing import Any

__version__ = "0.1.0"

_HOME = {
    "ArtifactInfo": "vitsd_export.artifact.inspection",
    "CalibrationSource": "vitsd_export.quantization.calibration.images",
    "Classification": "vitsd_export.runtimes.classifier",
    "Classifier": "vitsd_export.runtimes.classifier",
    "Converted": "vitsd_export.workflows.convert_to_keras",
    "EnvironmentProblem": "vitsd_export.errors",
    "Export": "vitsd_export.workflows.export",
    "Exported": "vitsd_export.workflows.export",
    "InputError": "vitsd_export.errors",
    "Manifest": "vitsd_export.artifact.manifest",
    "Prediction": "vitsd_export.workflows.predict",
    "Target": "vitsd_export.workflows.targets",
    "UsageError": "vitsd_export.errors",
    "VerificationError": "vitsd_export.errors",
    "Verified": "vitsd_export.workflows.verify",
    "VitsdExportError": "vitsd_export.errors",
    "Explanation": "vitsd_export.workflows.explain_lowering",
    "BenchmarkRequest": "vitsd_export.workflows.benchmark",
    "BenchmarkResults": "vitsd_export.measure.benchmark.results:Results",
    "BenchmarkSettings": "vitsd_export.measure.benchmark.settings:Settings",
    "benchmark_artifacts": "vitsd_export.workflows.benchmark",
    "convert_model": "vitsd_export.workflows.convert_to_keras",
    "explain_lowering": "vitsd_export.workflows.explain_lowering",
    "inspect_artifact": "vitsd_export.artifact.inspection",
    "open_runner": "vitsd_export.runtimes",
    "predict": "vitsd_export.workflows.predict",
    "verify_all": "vitsd_export.workflows.verify",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, own_name = _HOME[name].partition(":")
    return getattr(importlib.import_module(module), own_name or name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
