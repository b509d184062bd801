"""Layers and functions of the user's own: `--custom-objects module:file`."""

import importlib.util
import inspect
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import keras

from vitsd_export._internal.damaged_files import UNREADABLE_ERRORS, reason
from vitsd_export.errors import InputError, UsageError

# What a file that does not run raises, unless it exits.
_FAILURES: tuple[type[Exception], ...] = (*UNREADABLE_ERRORS, NameError)


def load_custom_objects(text: str) -> dict[str, Any]:
    """Runs a Python file and returns the Keras classes and the functions that it defines, by name.

    Args:
        text: `module:file`, the name under which the file is imported and its path; or the path alone, whose
            stem is the name.

    Raises:
        UsageError: If it is neither, or the name is that of a module that is in use.
        InputError: If the file is missing or fails.
    """
    name, separator, rest = text.partition(":")
    path = Path(rest) if separator else Path(text)
    name = name if separator else path.stem
    if not name.isidentifier() or path.suffix != ".py":
        raise UsageError(
            f"--custom-objects {text!r} is not understood. Write module:file, such as "
            "my_layers:src/my_layers.py, or the path of a Python file alone."
        )
    module = _import(name, path)
    return {
        key: value
        for key, value in vars(module).items()
        if getattr(value, "__module__", None) == name
        and (_is_keras_class(value) or inspect.isfunction(value))
    }


def _is_keras_class(value: Any) -> bool:
    kinds = (
        keras.layers.Layer,
        keras.initializers.Initializer,
        keras.regularizers.Regularizer,
        keras.constraints.Constraint,
    )
    return inspect.isclass(value) and issubclass(value, kinds)


def _import(name: str, path: Path) -> ModuleType:
    if not path.is_file():
        raise InputError(f"The file {path} of --custom-objects does not exist.")
    known = sys.modules.get(name)
    if known is not None:
        if getattr(known, "__file__", None) == str(path.resolve()):
            return known
        raise UsageError(
            f"--custom-objects cannot import {path} as {name!r}: a module of that name is in use. Choose "
            f"another name: NAME:{path}."
        )
    spec = importlib.util.spec_from_file_location(name, path.resolve())
    if spec is None or spec.loader is None:
        raise UsageError(f"--custom-objects {path} is not a Python file.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except _FAILURES as error:
        del sys.modules[name]
        raise InputError(
            f"The file {path} of --custom-objects fails: {type(error).__name__}: {reason(error)}"
        ) from error
    return module
