"""Making the peers' files, each once for a model and a set of versions."""

import hashlib
import importlib.util
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.isolated import run_module
from benchmarks.made import Made
from benchmarks.peers.catalogue import Peer, find_peer
from vitsd_export._internal.atomic_write import publish, staging

# tf2onnx takes a minute for the largest preset.
TIMEOUT_SECONDS = 900.0


def make_peers(
    peers: Sequence[Peer],
    source: Path,
    sha256: str,
    folder: Path,
    *,
    report: Callable[[str], None] = lambda _: None,
) -> dict[str, Made]:
    """Makes files, each in a process of its own, or takes those that are there.

    Args:
        peers: Which.
        source: The model.
        sha256: Its digest.
        folder: Where they are kept, by the model's digest and the versions of what makes them.
        report: Called with what is going on.

    Returns:
        What became of each, by its name.

    Raises:
        EnvironmentProblem: If the folder cannot be written.
    """
    made: dict[str, Made] = {}
    for peer in peers:
        _make(peer, source, sha256, folder, made, report)
    return {peer.name: made[peer.name] for peer in peers}


def _make(
    peer: Peer,
    source: Path,
    sha256: str,
    folder: Path,
    made: dict[str, Made],
    report: Callable[[str], None],
) -> Made:
    if peer.name not in made:
        made[peer.name] = _make_new(peer, source, sha256, folder, made, report)
    return made[peer.name]


def _make_new(
    peer: Peer,
    source: Path,
    sha256: str,
    folder: Path,
    made: dict[str, Made],
    report: Callable[[str], None],
) -> Made:
    if peer.module is not None and importlib.util.find_spec(peer.module) is None:
        return Made(None, skipped=f"{peer.module} is not installed: pip install '.[torch]'")
    start = source
    if peer.made_from is not None:
        first = _make(find_peer(peer.made_from), source, sha256, folder, made, report)
        if first.path is None:
            return Made(None, f"{peer.made_from}: {first.failure}", first.skipped)
        start = first.path
    target = folder / sha256[:16] / _versions_key(peer) / peer.file_name
    if target.exists():
        return Made(target)
    began = time.monotonic()
    report(f"making {peer.name}")
    target.parent.mkdir(parents=True, exist_ok=True)
    with staging(target) as staged:
        arguments = [peer.maker, str(start), str(staged), *peer.arguments]
        failure = run_module("benchmarks.peers", arguments, timeout=TIMEOUT_SECONDS)
        if failure is None and not staged.exists():
            failure = f"{peer.made_by} wrote no file"
        if failure is not None:
            return Made(None, f"could not be made: {failure}")
        publish(staged, target)
    report(f"made {peer.name} in {time.monotonic() - began:.0f} s")
    return Made(target)


def _versions_key(peer: Peer) -> str:
    versions = peer.versions()
    if peer.made_from is not None:
        versions |= find_peer(peer.made_from).versions()
    digest = hashlib.sha256(json.dumps([versions, peer.maker, peer.arguments]).encode())
    # What is written here decides as well.
    for file in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]
