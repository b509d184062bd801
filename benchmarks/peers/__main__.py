"""Makes one peer's file, as a process of its own: `python -m benchmarks.peers NAME SOURCE TARGET`."""

import importlib
import sys
from pathlib import Path

from benchmarks.peers.catalogue import find_peer
from vitsd_export.errors import VitsdExportError


def make(name: str, source: str, target: Path) -> None:
    """Makes a peer's file.

    Args:
        name: The peer's.
        source: What it starts from: a model, or another peer's file.
        target: Where it goes.

    Raises:
        KeyError: If there is no such peer.
    """
    peer = find_peer(name)
    module, function = peer.maker.split(":")
    getattr(importlib.import_module(module), function)(source, target, *peer.arguments)


if __name__ == "__main__":
    try:
        make(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
    except VitsdExportError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
