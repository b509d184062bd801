"""The benchmark tables of README.md and docs/benchmarks.md, generated from stored results alone."""

from collections.abc import Iterator, Mapping, Sequence

from benchmarks.peers.catalogue import TORCH_RUNTIME
from benchmarks.suite.plan import OPENVINO_RUNTIME
from vitsd_export.errors import InputError
from vitsd_export.measure.benchmark.results import Interval, LatencyFigures, Results, Row

BEGIN, END = "<!-- benchmarks:begin -->", "<!-- benchmarks:end -->"
# The candidates of the README's table, in its order.
SUMMARY = (
    "tf2onnx float32",
    "onnxruntime quantize_static",
    "onnx float32",
    "onnx int8",
    "tf.lite float32",
    "tf.lite full-int8",
    "litert float32",
    "litert int8",
    "litert int4",
    "keras export saved-model",
    "saved-model float32",
)
_NOTHING = ""
_RUNTIMES: Mapping[str, str] = {
    "onnxruntime": "onnxruntime",
    "litert": "LiteRT with XNNPACK",
    "litert-no-xnnpack": "LiteRT without XNNPACK",
    "saved_model": "TensorFlow",
    "keras-tensorflow": "Keras",
    "keras-jax": "Keras",
    OPENVINO_RUNTIME: "OpenVINO",
    TORCH_RUNTIME: "PyTorch",
}


def replace_between_markers(page: str, content: str) -> str:
    """Returns a page with new content between its markers.

    Args:
        page: Text of the page.
        content: What goes between the markers.

    Raises:
        InputError: If the markers are missing or out of order.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise InputError(
            f"The page has no lines {BEGIN} and {END}, between which the tables belong."
        )
    return f"{before}{BEGIN}\n{content}\n{END}{after}"


def summary(accurate: Results, timed: Results) -> str:
    """Returns the README's table: accuracy of the trained model, size and time of the larger one.

    Args:
        accurate: Run of the trained model.
        timed: Run of the larger model.
    """
    top1, figures = _by_name(accurate), _by_name(timed)
    names = (accurate.model["name"], timed.model["name"])
    lines = [
        ["runtime", "artifact", f"top-1, {names[0]}", f"size, {names[1]}", "p50", "÷ stock"],
        ["---"] * 6,
    ]
    for name in SUMMARY:
        if name not in top1 or name not in figures:
            continue
        row = figures[name]
        accuracy, latency = top1[name].accuracy, _latency(row, 1, 1)
        lines.append(
            [
                _RUNTIMES.get(row.candidate.runtime, row.candidate.runtime),
                _name(row),
                f"{accuracy.top1.value:.2%}" if accuracy else _NOTHING,
                f"{row.size.bytes / 1e6:.2f} MB" if row.size else _NOTHING,
                f"{latency.p50:.2f} ms" if latency else _NOTHING,
                f"{latency.ratio.value:.2f}" if latency and latency.ratio else _NOTHING,
            ]
        )
    return _as_table(lines)


def _by_name(results: Results) -> dict[str, Row]:
    return {row.candidate.name: row for row in results.rows}


def tables(runs: Sequence[Results]) -> str:
    """Returns one table per run, with its command, date and machine."""
    return "\n\n".join(f"{_heading(run)}\n\n{_table(run)}" for run in runs)


def _heading(results: Results) -> str:
    machine = results.machine
    features = f" with {', '.join(machine.features)}" if machine.features else ""
    data = results.data
    unfinished = "" if results.finished else " (broken off)"
    packages = ("onnxruntime", "ai-edge-litert", "tensorflow", "keras", "tf2onnx", "torch")
    versions = ", ".join(
        f"{name} {results.versions[name]}" for name in packages if name in results.versions
    )
    return (
        f"**{results.model['name']}**, {data['images']} images ({data['source']}), "
        f"{results.started[:10]}{unfinished}, {machine.processor}{features}, {machine.cores} cores, "
        f"{versions}. `{results.command}`"
    )


def _table(results: Results) -> str:
    has_accuracy = any(row.accuracy for row in results.rows)
    threads = sorted({figures.threads for row in results.rows for figures in row.latencies})
    batches = {figures.batch for row in results.rows for figures in row.latencies}
    several = max(batches, default=1)
    headings = ["runtime", "artifact", *(["top-1"] if has_accuracy else [])]
    headings += ["agrees with Keras", "max difference", "size"]
    for count in threads:
        headings += [f"p50, {_threads(count)}", "÷ stock"]
    if several > 1:
        headings.append(f"images/s, batch {several}, {_threads(threads[-1])}")
    headings += ["peak memory", "of roofline"]
    lines = [headings, ["---"] * len(headings)]
    # Below the table: a reason of several lines would squeeze its columns.
    notes: list[str] = []
    order = list(dict.fromkeys(row.candidate.runtime for row in results.rows))
    for row in sorted(results.rows, key=lambda row: order.index(row.candidate.runtime)):
        runtime = _RUNTIMES.get(row.candidate.runtime, row.candidate.runtime)
        cells = [runtime, _name(row)]
        reason = row.failure or row.skipped
        if reason is not None:
            kind = "failed" if row.failure else "skipped"
            cells.append(kind)
            notes.append(f"- {_name(row)} {kind}: {_escape(reason)}")
            cells += [_NOTHING] * (len(headings) - len(cells))
        else:
            cells += _figures(row, threads, several, has_accuracy)
        lines.append(cells)
    return "\n\n".join((_as_table(lines), *(["\n".join(notes)] if notes else [])))


def _as_table(lines: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _figures(row: Row, threads: Sequence[int], several: int, has_accuracy: bool) -> Iterator[str]:
    if has_accuracy:
        yield _top1(row.accuracy.top1) if row.accuracy else _NOTHING
    if row.parity is None:
        yield from (_NOTHING, _NOTHING)
    else:
        yield f"{row.parity.top1_agreement:.2%}"
        difference = row.parity.max_abs_difference
        yield "not finite" if difference is None else f"{difference:.1e}"
    yield f"{row.size.bytes / 1e6:.2f} MB" if row.size else _NOTHING
    for count in threads:
        figures = _latency(row, count, 1)
        yield f"{figures.p50:.2f} ms" if figures else _NOTHING
        yield _ratio(figures)
    if several > 1:
        figures = _latency(row, threads[-1], several)
        yield f"{figures.throughput:.0f}" if figures else _NOTHING
    yield f"{row.start.rss_inference / 1e6:.0f} MB" if row.start else _NOTHING
    share = row.work.share if row.work else None
    yield f"{share:.0%}" if share is not None else _NOTHING


def _name(row: Row) -> str:
    candidate = row.candidate
    if candidate.origin == "ours":
        return f"**{_escape(candidate.name)}**"
    return _escape(candidate.name)


def _latency(row: Row, threads: int, batch: int) -> LatencyFigures | None:
    found = (each for each in row.latencies if (each.threads, each.batch) == (threads, batch))
    return next(found, None)


def _ratio(figures: LatencyFigures | None) -> str:
    if figures is None or figures.ratio is None:
        return _NOTHING
    ratio = figures.ratio
    text = f"{ratio.value:.2f} ({ratio.low:.2f}–{ratio.high:.2f})"
    return f"{text}, same" if figures.verdict == "same" else text


def _top1(figure: Interval) -> str:
    return f"{figure.value:.2%} ({figure.low:.1%}–{figure.high:.1%})"


def _threads(count: int) -> str:
    return f"{count} thread" if count == 1 else f"{count} threads"


def _escape(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|").replace("<", r"\<")
