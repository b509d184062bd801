"""Finding the runner of a runtime by its name."""

import importlib
import importlib.metadata

from vitsd_export.errors import UsageError
from vitsd_export.runtimes.base import ImageRunner

ENTRY_POINTS = "vitsd_export.runners"

_BUILT_IN = {
    "onnxruntime": "vitsd_export.runtimes.onnxruntime_runner:OnnxRuntimeRunner",
    "litert": "vitsd_export.runtimes.litert_runner:LiteRTRunner",
    "litert-no-xnnpack": "vitsd_export.runtimes.litert_runner:LiteRTKernelsRunner",
    "saved_model": "vitsd_export.runtimes.saved_model_runner:SavedModelRunner",
    "keras-tensorflow": "vitsd_export.runtimes.compiled_keras_runner:KerasTensorFlowRunner",
    "keras-jax": "vitsd_export.runtimes.compiled_keras_runner:KerasJaxRunner",
}


def runner_names() -> tuple[str, ...]:
    """Returns the names of all runtimes: the built-in ones, and those that packages add."""
    added = (entry.name for entry in importlib.metadata.entry_points(group=ENTRY_POINTS))
    return tuple(dict.fromkeys((*_BUILT_IN, *added)))


def find_runner(name: str) -> type[ImageRunner]:
    """Returns the class of a runtime's runner. The runtime itself is not imported yet.

    Args:
        name: One of `runner_names()`, or `module:Class` of a subclass of `ImageRunner`.

    Raises:
        UsageError: If nothing has this name, or it is no runner.
        ImportError: If its module needs a package that is missing.
    """
    place = _BUILT_IN.get(name)
    if place is None:
        found = [
            entry
            for entry in importlib.metadata.entry_points(group=ENTRY_POINTS)
            if entry.name == name
        ]
        place = found[0].value if found else name
    module, separator, attribute = place.partition(":")
    if not separator:
        raise UsageError(
            f"There is no runtime {name!r}. Runtimes: {', '.join(runner_names())}; a class of your own "
            "as module:Class."
        )
    runner = getattr(importlib.import_module(module), attribute, None)
    if not isinstance(runner, type) or not issubclass(runner, ImageRunner):
        raise UsageError(
            f"{place} is not a runner: it must be a subclass of vitsd_export.runtimes.base.ImageRunner."
        )
    return runner
