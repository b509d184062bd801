"""The command line. A command parses, calls one function of the package, and prints."""

from vitsd_export.cli import (
    convert,
    explain,
    export,
    inspect,
    predict,
    quantize,
    schemes,
    sensitivity,
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
    web,
):
    _module.register(app)
