"""Which candidates a run measures, and beside which peer."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from benchmarks.made import Made
from benchmarks.peers.catalogue import PEERS, TORCH_RUNTIME, Peer
from benchmarks.suite.variants import QUICK, Variant, all_variants
from vitsd_export.measure.results import Candidate, Row

# The stock file of each runtime that times are divided by.
BASELINES = {
    "onnxruntime": "tf2onnx float32",
    "litert": "tf.lite float32",
    "saved_model": "keras export saved-model",
}
_QUICK_PEERS = ("tf2onnx float32", "tf.lite float32", "keras export saved-model")
_NO_XNNPACK = " without XNNPACK"
_OPENVINO = " in OpenVINO"


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a run measures.

    Attributes:
        peers: Files of other tools.
        variants: Artifacts of ours.
        other_runtimes: Whether Keras on JAX, LiteRT without XNNPACK and OpenVINO are measured as well.
    """

    peers: tuple[Peer, ...]
    variants: tuple[Variant, ...]
    other_runtimes: bool

    @classmethod
    def of(cls, length: Literal["quick", "full"], head_rank: int | None = None) -> "Plan":
        """Returns the plan of a short or of a whole run.

        Args:
            length: `quick` or `full`.
            head_rank: In a whole run, a rank to try on the model's wide head.
        """
        if length == "quick":
            return cls(tuple(p for p in PEERS if p.name in _QUICK_PEERS), QUICK, False)
        return cls(PEERS, all_variants(head_rank), True)


def make_candidates(
    plan: Plan,
    model: Path,
    make_peers: Callable[[Sequence[Peer]], dict[str, Made]],
    make_ours: Callable[[Sequence[Variant]], dict[str, Made]],
) -> tuple[tuple[Candidate, ...], dict[str, Row]]:
    """Makes the files of a plan.

    Args:
        plan: What is to be measured.
        model: The Keras model's file.
        make_peers: Makes the peers' files.
        make_ours: Makes ours.

    Returns:
        All candidates in the order to show them, and the rows of those that there is no file of.
    """
    peers, ours = make_peers(plan.peers), make_ours(plan.variants)
    found = [(_keras(model, "keras-tensorflow", "tensorflow"), Made(model))]
    if plan.other_runtimes:
        found.append((_keras(model, "keras-jax", "jax"), Made(model)))
    found += [_of_peer(peer, peers[peer.name]) for peer in plan.peers]
    found += [_of_variant(each, ours[each.name]) for each in plan.variants]
    if plan.other_runtimes:
        stock = next(peer for peer in plan.peers if peer.name == BASELINES["litert"])
        plain = _of_peer(stock, peers[stock.name])
        name = f"{stock.name}{_NO_XNNPACK}"
        other = dataclasses.replace(plain[0], name=name, runtime="litert-no-xnnpack", peer=None)
        found.append((other, plain[1]))
        for each in plan.variants:
            if each in QUICK and each.format == "tflite":
                found.append(
                    _of_variant(each, ours[each.name], name, "litert-no-xnnpack", _NO_XNNPACK)
                )
        stock = next(peer for peer in plan.peers if peer.name == BASELINES["onnxruntime"])
        plain = _of_peer(stock, peers[stock.name])
        name = f"{stock.name}{_OPENVINO}"
        found.append(
            (dataclasses.replace(plain[0], name=name, runtime="openvino", peer=None), plain[1])
        )
        for each in plan.variants:
            if each in QUICK and each.format == "onnx":
                found.append(_of_variant(each, ours[each.name], name, "openvino", _OPENVINO))
    candidates = tuple(_present(candidate, found) for candidate, _ in found)
    lost = {
        candidate.name: Row(candidate, failure=made.failure, skipped=made.skipped)
        for candidate, (_, made) in zip(candidates, found, strict=True)
        if made.path is None
    }
    return candidates, lost


def _keras(model: Path, runtime: str, backend: str) -> Candidate:
    from benchmarks.peers.catalogue import installed_version

    return Candidate(
        name=f"keras ({backend})",
        runtime=runtime,
        format="keras",
        scheme="float32",
        origin="stock",
        path=str(model),
        tool=f"keras {installed_version('keras')}",
    )


def _of_peer(peer: Peer, made: Made) -> tuple[Candidate, Made]:
    baseline = BASELINES.get(peer.runtime)
    # PyTorch itself has no other peer than the file that everyone makes of Keras.
    if peer.runtime == TORCH_RUNTIME:
        baseline = BASELINES["onnxruntime"]
    path = None if made.path is None else str(made.path)
    return peer.candidate(path, None if baseline == peer.name else baseline), made


def _of_variant(
    variant: Variant,
    made: Made,
    peer: str | None = None,
    runtime: str | None = None,
    note: str = "",
) -> tuple[Candidate, Made]:
    path = None if made.path is None else str(made.path)
    peer = peer or BASELINES.get(variant.runtime)
    return variant.candidate(path, peer, runtime, note), made


def _present(candidate: Candidate, found: Sequence[tuple[Candidate, Made]]) -> Candidate:
    """Leaves out a peer that is not measured in this run or was not made."""
    measured = {other.name for other, made in found if made.path is not None}
    if candidate.peer in measured:
        return candidate
    return dataclasses.replace(candidate, peer=None)
