"""The command line. A command parses, calls one function of the package, and prints."""

from vitsd_export.cli import (
    benchmark,
    convert,
    copy_app,
    explain,
    export,
    inspect,
    predict,
    quantize,
    schemes,
    sensitivity,
    serving_config,
    snippet,
    verify,
    web,
)
from vitsd_export.cli.app import app, main
from vitsd_export.cli.state import State

__all__ = ["State", "app", "main"]

# In the order in which --help lists them.
for _module in (
    export,
    verify,
    predict,
    inspect,
    convert,
    schemes,
    quantize,
    sensitivity,
    explain,
    benchmark,
    copy_app,
    web,
    snippet,
    serving_config,
):
    _module.register(app)
