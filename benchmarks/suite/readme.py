"""The benchmark tables of README.md and docs/benchmarks.md, generated from stored results alone."""

import functools
from collections.abc import Callable, Mapping, Sequence

from benchmarks.baselines.catalogue import TORCH_RUNTIME
from benchmarks.suite.plan import OPENVINO_RUNTIME
from vitsd_export.errors import InputError
from vitsd_export.measure.benchmark.results import Results, Row
from vitsd_export.reports.markdown import escape, to_lines
from vitsd_export.reports.table import (
    Cell,
    Column,
    bar_cell,
    build,
    bytes_cell,
    difference_cell,
    milliseconds_cell,
    percent_cell,
    ratio_cell,
    share_cell,
)
from vitsd_export.reports.tables import Setting, latency, settings
from vitsd_export.reports.wording import NOTHING, count, setting_name

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
    """Returns the README's table: accuracy of the trained model, size and time of the larger one."""
    top1, figures = _by_name(accurate), _by_name(timed)
    table = build(
        "summary",
        "",
        (
            (Column("runtime", is_number=False), lambda pair: _runtime(pair[1])),
            (Column("artifact", is_number=False), lambda pair: _artifact(pair[1])),
            (
                Column(f"top-1, {accurate.model['name']}"),
                lambda pair: share_cell(pair[0].accuracy.top1 if pair[0].accuracy else None),
            ),
            (
                Column(f"size, {timed.model['name']}"),
                lambda pair: bytes_cell(pair[1].size.bytes if pair[1].size else None),
            ),
            (Column("p50"), lambda pair: _p50_at((1, 1), pair[1])),
            (Column("÷ baseline"), lambda pair: ratio_cell(latency(pair[1], (1, 1)))),
        ),
        [(top1[name], figures[name]) for name in SUMMARY if name in top1 and name in figures],
    )
    return to_lines(table) if table else ""


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
    found = settings(results)
    threads = sorted({threads for threads, _ in found})
    several = (threads[-1], max(batch for _, batch in found)) if found else (1, 1)
    order = list(dict.fromkeys(row.candidate.runtime for row in results.rows))

    def top1(row: Row) -> Cell:
        if row.failure is not None or row.skipped is not None:
            return Cell("failed" if row.failure is not None else "skipped")
        cell = share_cell(row.accuracy.top1 if row.accuracy else None)
        return Cell(f"{cell.text} ({cell.note.split()[-2]} %)") if cell.note else cell

    columns: list[tuple[Column, Callable[[Row], Cell]]] = [
        (Column("runtime", is_number=False), _runtime),
        (Column("artifact", is_number=False), _artifact),
        (Column("top-1 (95 % interval)"), top1),
        (
            Column("agrees with Keras"),
            lambda row: percent_cell(row.parity.top1_agreement if row.parity else None),
        ),
        (
            Column("max difference"),
            lambda row: (
                difference_cell(row.parity.max_abs_difference) if row.parity else Cell(NOTHING)
            ),
        ),
        (Column("size"), lambda row: bytes_cell(row.size.bytes if row.size else None)),
    ]
    for number in threads:
        setting = (number, 1)
        columns += [
            (
                Column(f"p50, {count(number, 'thread')}"),
                functools.partial(_p50_at, setting),
            ),
            (
                Column("÷ baseline (95 % interval)"),
                functools.partial(_ratio_at, setting),
            ),
        ]
    if several[1] > 1:
        columns.append(
            (
                Column(f"images/s, {setting_name(*several)}"),
                functools.partial(_throughput_at, several),
            )
        )
    columns += [
        (
            Column("peak memory"),
            lambda row: bytes_cell(row.start.rss_inference if row.start else None),
        ),
        (Column("of roofline"), lambda row: bar_cell(row.work.share if row.work else None)),
    ]
    rows = sorted(results.rows, key=lambda row: order.index(row.candidate.runtime))
    table = build("all", "", columns, rows)
    # Below the table: a reason of several lines would squeeze its columns.
    notes = [
        f"- {escape(row.candidate.name)} {top1(row).text}: {escape(row.failure or row.skipped or '')}"
        for row in rows
        if row.failure is not None or row.skipped is not None
    ]
    return "\n\n".join(filter(None, (to_lines(table) if table else "", "\n".join(notes))))


def _runtime(row: Row) -> Cell:
    return Cell(_RUNTIMES.get(row.candidate.runtime, row.candidate.runtime))


def _artifact(row: Row) -> Cell:
    return Cell(row.candidate.name, kind="strong" if row.candidate.origin == "ours" else "")


def _p50_at(setting: Setting, row: Row) -> Cell:
    figures = latency(row, setting)
    return milliseconds_cell(figures.p50 if figures else None)


def _ratio_at(setting: Setting, row: Row) -> Cell:
    figures = latency(row, setting)
    cell = ratio_cell(figures, with_interval=True)
    is_same = figures is not None and figures.verdict == "same"
    return Cell(f"{cell.text}, same") if is_same else cell


def _throughput_at(setting: Setting, row: Row) -> Cell:
    figures = latency(row, setting)
    return Cell(f"{figures.throughput:.0f}" if figures else NOTHING)
