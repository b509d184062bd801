"""The command line. A command parses, calls one function of the package, and prints."""

from collections.abc import Callable

from vitsd_export.cli.app import app, main
from vitsd_export.cli.benchmark import benchmark
from vitsd_export.cli.convert import convert
from vitsd_export.cli.copy_app import copy_app
from vitsd_export.cli.explain import explain
from vitsd_export.cli.export import export_all, onnx, saved_model, tflite
from vitsd_export.cli.inspect import inspect
from vitsd_export.cli.options import with_options
from vitsd_export.cli.predict import predict
from vitsd_export.cli.quantize import quantize
from vitsd_export.cli.schemes import schemes
from vitsd_export.cli.sensitivity import sensitivity
from vitsd_export.cli.serving_config import serving_config
from vitsd_export.cli.snippet import snippet
from vitsd_export.cli.state import State
from vitsd_export.cli.verify import verify
from vitsd_export.cli.web import web

__all__ = ["State", "app", "main"]

# In the order in which --help lists them.
_COMMANDS: dict[str, Callable[..., None]] = {
    "onnx": onnx,
    "tflite": tflite,
    "saved-model": saved_model,
    "all": export_all,
    "verify": verify,
    "predict": predict,
    "inspect": inspect,
    "convert": convert,
    "schemes": schemes,
    "quantize": quantize,
    "sensitivity": sensitivity,
    "explain": explain,
    "benchmark": benchmark,
    "app": copy_app,
    "web": web,
    "snippet": snippet,
    "serving-config": serving_config,
}
for _name, _command in _COMMANDS.items():
    app.command(_name)(with_options(_command))
