"""Makes one file in its own process: `python -m benchmarks.baselines MODULE:FUNCTION SOURCE TARGET …`."""

import importlib
import sys
from pathlib import Path

from vitsd_export.errors import VitsdExportError


def make(maker: str, source: str, target: Path, *arguments: str) -> None:
    """Makes a file.

    Args:
        maker: `module:function`, called with the other arguments.
        source: What it starts from: a model, or another baseline's file.
        target: Where it goes.
    """
    module, function = maker.split(":")
    getattr(importlib.import_module(module), function)(source, target, *arguments)


if __name__ == "__main__":
    try:
        make(sys.argv[1], sys.argv[2], Path(sys.argv[3]), *sys.argv[4:])
    except VitsdExportError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
