"""What lowering gains in each runtime over the stock converters, and each rewrite alone."""

import copy
import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.stock import LITERT_BATCHES
from benchmarks.timing import Plan, Runtime, time_in_process

_STOCK_NAMES: dict[Runtime, str] = {
    "onnxruntime": "tf2onnx",
    "litert": "tf.lite",
    "tensorflow": "Keras export",
}
_BATCHES: dict[Runtime, tuple[int, ...]] = {
    "onnxruntime": (1, 32),
    "litert": LITERT_BATCHES,
    "tensorflow": (1, 32),
}
# Rounds for one image; a batch gets fewer.
_ROUNDS = 60
_ROUNDS_OF_A_BATCH = 10


@dataclasses.dataclass(frozen=True)
class Comparison:
    """One artifact of ours beside the stock one.

    Attributes:
        runtime: Runtime.
        stock: Converter that made the other one.
        part: `full`, or `encoder` with the head removed from both.
        threads: Threads.
        batch: Images in a call.
        stock_ms: Median milliseconds of the stock artifact.
        ours_ms: Median milliseconds of ours.
        ratio: Ours by stock.
    """

    runtime: str
    stock: str
    part: str
    threads: int
    batch: int
    stock_ms: float
    ours_ms: float
    ratio: float


@dataclasses.dataclass(frozen=True)
class RewriteGain:
    """What a rewrite is worth: the encoder without it, by the encoder with all.

    Those that need it are left out with it.

    Attributes:
        model: Model.
        runtime: Runtime; one thread, one image.
        rewrite: Name; `all` for the graph as trained.
        without_ms: Median milliseconds without it.
        with_ms: Median milliseconds with all rewrites.
        factor: Without by with: above 1 it pays.
    """

    model: str
    runtime: str
    rewrite: str
    without_ms: float
    with_ms: float
    factor: float


@dataclasses.dataclass(frozen=True)
class Figures:
    """All that is measured.

    Attributes:
        model: The model of the comparisons.
        stock_nodes: Nodes of the stock ONNX file.
        our_nodes: Nodes of ours.
        comparisons: Ours beside stock.
        gains: Each rewrite's own gain.
    """

    model: str
    stock_nodes: int
    our_nodes: int
    comparisons: list[Comparison]
    gains: list[RewriteGain]


def measure_lowering(
    model: Path,
    folder: Path,
    *,
    threads: tuple[int, ...] = (1, 2),
    report: Callable[[str], None] = lambda _: None,
) -> Figures:
    """Measures a .keras file; the gains of the rewrites on the bundled model too.

    Args:
        model: The model.
        folder: Where the artifacts go; those that are there already are used again.
        threads: Numbers of threads.
        report: Called with what is going on.
    """
    stock, ours = folder / "stock", folder / "ours"
    for place in (stock, ours):
        place.mkdir(parents=True, exist_ok=True)
    report("stock converters")
    subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "benchmarks.stock", str(model), str(stock)],
        check=True,
        capture_output=True,
    )
    report("our artifacts")
    _write_ours(model, ours)
    comparisons = [
        comparison
        for count in threads
        for runtime, batches in _BATCHES.items()
        for batch in batches
        for comparison in _compare(runtime, count, batch, stock, ours, report)
    ]
    gains = []
    for name, source in (("vit-small-ds", str(model)), ("vit-tiny", "vit-tiny-cifar10")):
        for runtime in ("onnxruntime", "litert"):
            report(f"rewrites of {name} in {runtime}")
            files = _write_without_each(source, folder / name, runtime)
            plan = Plan(runtime, 1, 1, _ROUNDS, files)
            times = time_in_process(plan)
            gains += [
                RewriteGain(name, runtime, left_out, ms, times["with"], ms / times["with"])
                for left_out, ms in times.items()
                if left_out != "with"
            ]
    return Figures(
        model.stem,
        _nodes(stock / "full.onnx"),
        _nodes(ours / "full.onnx"),
        comparisons,
        gains,
    )


def _compare(
    runtime: Runtime,
    threads: int,
    batch: int,
    stock: Path,
    ours: Path,
    report: Callable[[str], None],
) -> list[Comparison]:
    report(f"{runtime}, threads {threads}, batch {batch}")
    suffix = {
        "onnxruntime": ".onnx",
        "litert": f"-b{batch}.tflite",
        "tensorflow": "-saved-model",
    }[runtime]
    rounds = _ROUNDS if batch == 1 else _ROUNDS_OF_A_BATCH
    comparisons = []
    for part in ("full", "encoder"):
        files = {"stock": str(stock / (part + suffix)), "ours": str(ours / (part + suffix))}
        times = time_in_process(Plan(runtime, threads, batch, rounds, files))
        comparisons.append(
            Comparison(
                runtime,
                _STOCK_NAMES[runtime],
                part,
                threads,
                batch,
                times["stock"],
                times["ours"],
                times["ours"] / times["stock"],
            )
        )
    return comparisons


def _load(model: Path | str) -> Any:
    from vitsd_export._internal.tensorflow import use_tensorflow

    use_tensorflow()
    from vitsd_export.sources.checkpoint import load_model

    return load_model(model)


def _lower(loaded: Any, without: Sequence[str] = ()) -> Any:
    from vitsd_export.lowering.inference_graph import InferenceGraph

    # Logits, as the stock artifacts answer.
    return InferenceGraph(loaded, answers_probabilities=False, output="logits", without=without)


def _without_head(graph: Any) -> Any:
    encoder = copy.copy(graph)
    encoder.lowered = dataclasses.replace(graph.lowered, head=None)
    encoder.answer_shape = (graph.lowered.tokens, graph.lowered.dim)
    return encoder


def _write_ours(model: Path, folder: Path) -> None:
    from vitsd_export._internal.tensorflow import quiet_converters

    loaded = _load(model)
    full = _lower(loaded)
    # The last LayerNorm keeps its γ and β where there is no head to take them in.
    encoder = _without_head(_lower(loaded, ["head-norm-affine"]))
    from vitsd_export.exporters.litert import convert
    from vitsd_export.exporters.onnx import write_onnx
    from vitsd_export.exporters.saved_model import write_saved_model

    with quiet_converters():
        for name, graph in (("full", full), ("encoder", encoder)):
            write_onnx(graph, folder / f"{name}.onnx")
            if not (folder / f"{name}-saved-model").exists():
                write_saved_model(graph, folder / f"{name}-saved-model")
            for batch in LITERT_BATCHES:
                target = folder / f"{name}-b{batch}.tflite"
                if not target.exists():
                    target.write_bytes(convert(graph, batch=batch))


def _write_without_each(model: str, folder: Path, runtime: Runtime) -> dict[str, str]:
    """Writes the encoder with all rewrites, without each that is applied, and without any."""
    from vitsd_export._internal.tensorflow import quiet_converters

    folder.mkdir(exist_ok=True)
    loaded = _load(model)
    from vitsd_export.exporters.litert import convert
    from vitsd_export.exporters.onnx import write_onnx
    from vitsd_export.lowering.rewrites import REWRITES

    left_out: dict[str, list[str]] = {
        "with": [],
        **{name: [name] for name in _lower(loaded).rewrites},
    }
    left_out["all"] = [rewrite.name for rewrite in REWRITES]
    # It concerns the head, which is not there.
    del left_out["head-norm-affine"]
    files = {}
    for name, names in left_out.items():
        suffix = ".onnx" if runtime == "onnxruntime" else ".tflite"
        target = folder / f"{name}{suffix}"
        files[name] = str(target)
        if target.exists():
            continue
        graph = _without_head(_lower(loaded, [*names, "head-norm-affine"]))
        with quiet_converters():
            if runtime == "onnxruntime":
                write_onnx(graph, target)
            else:
                target.write_bytes(convert(graph))
    return files


def _nodes(path: Path) -> int:
    import onnx

    return len(onnx.load(path, load_external_data=False).graph.node)


def to_json(figures: Figures) -> str:
    """Returns the figures as a JSON document."""
    return json.dumps(dataclasses.asdict(figures), indent=2)
