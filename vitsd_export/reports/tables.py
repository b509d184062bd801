"""The tables of a benchmark run. One that would have no rows is None."""

from collections.abc import Iterable, Sequence

from vitsd_export.measure.benchmark.results import Interval, LatencyFigures, Results, Row
from vitsd_export.reports.table import Cell, Column, Table
from vitsd_export.reports.wording import (
    NOTHING,
    VERDICTS,
    count,
    data_size,
    interval,
    milliseconds,
    percent,
    plain,
    rate,
    runtime_name,
    setting_name,
    significant,
    small,
    state,
)

# Threads, then images in a call.
Setting = tuple[int, int]
_CANDIDATE = Column("candidate", is_number=False)
_KINDS = {"faster": "good", "slower": "bad"}


def settings(results: Results) -> list[Setting]:
    """Returns the numbers of threads and images a call that latencies were measured at, in order."""
    found = {(figures.threads, figures.batch) for row in results.rows for figures in row.latencies}
    return sorted(found)


def latency(row: Row, setting: Setting) -> LatencyFigures | None:
    """Returns the latency of a row at a setting."""
    for figures in row.latencies:
        if (figures.threads, figures.batch) == setting:
            return figures
    return None


def summary(results: Results, setting: Setting | None) -> Table | None:
    """Returns the most important figures of each candidate; without a setting, those that have none."""
    rows = []
    for row in results.rows:
        figures = latency(row, setting) if setting else None
        work = row.work if setting == (1, 1) else None
        rows.append(
            (
                _name(row),
                _share_with_interval(row.accuracy.top1 if row.accuracy else None),
                _percent(row.parity.top1_agreement if row.parity else None),
                _milliseconds(figures.p50 if figures else None),
                _ratio(figures),
                _outcome(row, figures),
                _bytes(row.size.bytes if row.size else None),
                _limit_share(work.share if work else None),
            )
        )
    where = f" ({setting_name(*setting)})" if setting else ""
    return _table(
        "summary",
        f"All candidates{where}",
        (
            _CANDIDATE,
            Column("top-1"),
            Column("agrees", explanation="share of images on which it names the reference's class"),
            Column("p50", explanation="median time of a call"),
            Column("by peer", explanation="p50 divided by that of its peer in the same run"),
            Column("it is", is_number=False, explanation="beside its peer"),
            Column("size"),
            Column("of limit", explanation="share of the machine's limit that is reached"),
        ),
        rows,
    )


def latencies(results: Results, setting: Setting | None = None) -> Table | None:
    """Returns the times of every candidate, at one setting or at all."""
    rows = []
    has_calls = is_restless = False
    for row in results.rows:
        for figures in row.latencies:
            here = (figures.threads, figures.batch)
            if setting not in (None, here):
                continue
            place = () if setting else (_number(figures.threads), _number(figures.batch))
            has_calls |= figures.calls > 1
            is_restless |= not figures.steady
            rows.append(
                (
                    _name(row),
                    *place,
                    _median(figures),
                    _milliseconds(figures.p90),
                    _milliseconds(figures.p99),
                    Cell(f"{significant(figures.throughput)}", figures.throughput),
                    _ratio(figures, with_interval=True),
                    _verdict(figures),
                )
            )
    place_columns = () if setting else (Column("threads"), Column("batch"))
    notes = ["A ratio whose interval holds 1 says nothing: such two cannot be told apart."]
    if has_calls:
        notes.append("(n×): the file fixes a smaller batch, so that n inferences were needed.")
    if is_restless:
        notes.append("*: the times had not become steady when warm-up ended.")
    return _table(
        "latency",
        f"Latency ({setting_name(*setting)})" if setting else "Latency",
        (
            _CANDIDATE,
            *place_columns,
            Column("p50"),
            Column("p90"),
            Column("p99"),
            Column("images/s", explanation="at the median"),
            Column(
                "by peer (95 %)", explanation="p50 by that of its peer, with the bootstrap interval"
            ),
            Column("it is", is_number=False),
        ),
        rows,
        " ".join(notes),
    )


def parity(results: Results) -> Table | None:
    """Returns how far each candidate's answers are from the reference's."""
    rows = []
    for row in results.rows:
        if row.parity is None:
            continue
        figures = row.parity
        rows.append(
            (
                _name(row),
                _number(figures.images),
                _difference(figures.max_abs_difference),
                _difference(figures.mean_abs_difference),
                _percent(figures.top1_agreement),
                _percent(figures.top5_agreement),
                _difference(figures.kl),
            )
        )
    return _table(
        "parity",
        "Parity with the reference",
        (
            _CANDIDATE,
            Column("images"),
            Column("max diff", explanation="largest absolute difference of two probabilities"),
            Column("mean diff"),
            Column("top-1 agrees"),
            Column("top-5 agrees"),
            Column("KL, nats", explanation="mean divergence from the reference's answers"),
        ),
        rows,
    )


def accuracy(results: Results) -> Table | None:
    """Returns the accuracy of each candidate with its interval."""
    rows = []
    for row in results.rows:
        if row.accuracy is None:
            continue
        top1, top5 = row.accuracy.top1, row.accuracy.top5
        rows.append(
            (
                _name(row),
                _number(row.accuracy.images),
                _percent(top1.value),
                Cell(_range(top1), top1.low),
                _percent(top5.value if top5 else None),
                Cell(_range(top5), top5.low if top5 else None),
            )
        )
    return _table(
        "accuracy",
        "Accuracy",
        (
            _CANDIDATE,
            Column("images"),
            Column("top-1"),
            Column("95 % interval"),
            Column("top-5"),
            Column("95 % interval"),
        ),
        rows,
        "All see the same images: a difference of two candidates is surer than these intervals.",
    )


def start(results: Results) -> Table | None:
    """Returns size, time until the first answer, and memory."""
    rows = []
    for row in results.rows:
        if row.size is None and row.start is None:
            continue
        size, figures = row.size, row.start
        rows.append(
            (
                _name(row),
                _bytes(size.bytes if size else None),
                _bytes(size.compressed if size else None),
                _milliseconds(figures.load if figures else None),
                _milliseconds(figures.first if figures else None),
                _bytes(figures.rss_before if figures else None),
                _bytes(figures.rss_load if figures else None),
                _bytes(figures.rss_inference if figures else None),
            )
        )
    return _table(
        "start",
        "Size, start and memory",
        (
            _CANDIDATE,
            Column("on disk"),
            Column("gzip"),
            Column("load"),
            Column("first call"),
            Column("runtime", explanation="resident memory with the runtime imported"),
            Column("loaded", explanation="peak resident memory until the artifact was ready"),
            Column("peak", explanation="peak resident memory until all inferences were done"),
        ),
        rows,
        "Memory is that of the whole process, the runtime's own included.",
    )


def delegation(results: Results) -> Table | None:
    """Returns what really ran each graph."""
    rows = []
    for row in results.rows:
        if row.delegation is None:
            continue
        found = row.delegation
        share = None
        if found.delegated is not None and found.operators:
            share = found.delegated / found.operators
        rows.append(
            (
                _name(row),
                Cell(plain(found.provider)),
                _number(found.partitions),
                _number(found.delegated),
                _number(found.operators),
                Cell(percent(share, 0), share),
                Cell(plain(found.note)),
            )
        )
    return _table(
        "delegation",
        "What ran the graph",
        (
            _CANDIDATE,
            Column("provider", is_number=False),
            Column("parts", explanation="partitions that the provider took"),
            Column("delegated", explanation="operators in these"),
            Column("operators"),
            Column("share"),
            Column("note", is_number=False),
        ),
        rows,
    )


def limit(results: Results) -> Table | None:
    """Returns how much of what the machine can do each candidate reaches."""
    rows = []
    for row in results.rows:
        if row.work is None:
            continue
        work, figures = row.work, latency(row, (1, 1))
        products = ", ".join(
            f"{plain(kind)} {_large(number)}" for kind, number in work.multiply_adds.items()
        )
        rows.append(
            (
                _name(row),
                Cell(products or NOTHING),
                _bytes(work.bytes),
                _milliseconds(work.limit),
                _milliseconds(figures.p50 if figures else None),
                _limit_share(work.share),
            )
        )
    return _table(
        "limit",
        "The machine's limit (1 thread, batch 1)",
        (
            _CANDIDATE,
            Column("multiply-adds", is_number=False),
            Column("weights", explanation="bytes of constants read"),
            Column("limit", explanation="time this machine must take at its measured rates"),
            Column("p50"),
            Column("of limit"),
        ),
        rows,
    )


def speeds(results: Results) -> Table | None:
    """Returns the machine's measured rates."""
    rows = [
        (
            Cell(count(speed.threads, "thread"), speed.threads),
            Cell(rate(speed.flops, "FLOP/s"), speed.flops),
            Cell(rate(speed.int8_ops, "OP/s"), speed.int8_ops),
            Cell(rate(speed.bandwidth, "B/s"), speed.bandwidth),
        )
        for speed in results.machine.speeds
    ]
    return _table(
        "speeds",
        "Measured rates of the machine",
        (
            Column("threads", is_number=False),
            Column("float32"),
            Column("8-bit integers"),
            Column("reading"),
        ),
        rows,
    )


def failures(results: Results) -> Table | None:
    """Returns the candidates that failed or were skipped, with the reason."""
    rows = []
    for row in results.rows:
        if row.failure is None and row.skipped is None:
            continue
        reason = row.failure if row.failure is not None else row.skipped
        kind = "bad" if state(row) == "failed" else ""
        rows.append((_name(row), Cell(state(row), kind=kind), Cell(plain(reason) or NOTHING)))
    return _table(
        "failures",
        "Failed and skipped",
        (_CANDIDATE, Column("what", is_number=False), Column("reason", is_number=False)),
        rows,
    )


def classes(results: Results) -> Table | None:
    """Returns top-1 by class, a column a candidate; beside the reference's, how far others are from it."""
    measured = [row for row in results.rows if row.accuracy is not None and row.accuracy.classes]
    if not measured:
        return None
    reference = next((row for row in measured if row.candidate.format == "keras"), measured[0])
    measured = [reference, *(row for row in measured if row is not reference)]
    own = _by_class(reference)
    labels = list(dict.fromkeys(label for row in measured for label in _by_class(row)))
    rows = []
    for label in labels:
        cells = [Cell(plain(label[0]))]
        for row in measured:
            found, expected = _by_class(row).get(label), own.get(label)
            change = None
            if row is not reference and found is not None and expected is not None:
                change = found[0].value - expected[0].value
            cells.append(_class_cell(found, change))
        rows.append(tuple(cells))
    return _table(
        "classes",
        "Top-1 by class",
        (
            Column("class", is_number=False),
            *(Column(plain(row.candidate.name)) for row in measured),
        ),
        rows,
        f"Differences in points are from {plain(reference.candidate.name)}.",
    )


def _by_class(row: Row) -> dict[tuple[str, int], tuple[Interval, int]]:
    """Returns accuracies by label and place: two classes may bear the same name."""
    if row.accuracy is None:
        return {}
    return {
        (figures.label, place): (figures.top1, figures.images)
        for place, figures in enumerate(row.accuracy.classes)
    }


def _class_cell(found: tuple[Interval, int] | None, change: float | None) -> Cell:
    if found is None:
        return Cell(NOTHING)
    top1, images = found
    text = percent(top1.value, 1)
    kind = ""
    if change is not None and round(1000 * change):
        text += f" ({100 * change:+.1f})"
        kind = "good" if change > 0 else "bad"
    return Cell(text, top1.value, f"95 % interval {_range(top1)}, {count(images, 'image')}", kind)


def _table(
    key: str,
    title: str,
    columns: Sequence[Column],
    rows: Iterable[tuple[Cell, ...]],
    note: str = "",
) -> Table | None:
    """Returns a table without the columns that say nothing in any row; None without rows."""
    rows = tuple(rows)
    if not rows:
        return None
    kept = [
        place
        for place in range(len(columns))
        if place == 0 or any(row[place].text not in ("", NOTHING) for row in rows)
    ]
    shown = tuple(tuple(row[place] for place in kept) for row in rows)
    return Table(key, title, tuple(columns[place] for place in kept), shown, note)


def _name(row: Row) -> Cell:
    candidate = row.candidate
    parts = [f"origin {candidate.origin}", f"runtime {runtime_name(candidate.runtime)}"]
    if candidate.tool:
        parts.append(f"made by {candidate.tool}")
    if candidate.peer:
        parts.append(f"peer {candidate.peer}")
    return Cell(plain(candidate.name), note=plain("; ".join(parts)))


def _outcome(row: Row, figures: LatencyFigures | None) -> Cell:
    if state(row) != "measured":
        return Cell(state(row), kind="bad" if state(row) == "failed" else "")
    return _verdict(figures)


def _median(figures: LatencyFigures) -> Cell:
    text = milliseconds(figures.p50) + ("" if figures.steady else "*")
    return Cell(text if figures.calls == 1 else f"({figures.calls}×) {text}", figures.p50)


def _verdict(figures: LatencyFigures | None) -> Cell:
    if figures is None or figures.verdict is None:
        return Cell(NOTHING)
    return Cell(VERDICTS[figures.verdict], kind=_KINDS.get(figures.verdict, ""))


def _ratio(figures: LatencyFigures | None, *, with_interval: bool = False) -> Cell:
    if figures is None or figures.ratio is None:
        return Cell(NOTHING)
    ratio = figures.ratio
    text = interval(ratio) if with_interval else f"{ratio.value:.2f}"
    return Cell(text, ratio.value, f"95 % interval {ratio.low:.3f}–{ratio.high:.3f}")


def _share_with_interval(figure: Interval | None) -> Cell:
    if figure is None:
        return Cell(NOTHING)
    return Cell(percent(figure.value), figure.value, f"95 % interval {_range(figure)}")


def _limit_share(share: float | None) -> Cell:
    bar = None if share is None else min(max(share, 0.0), 1.0)
    return Cell(percent(share, 0), share, share=bar)


def _range(figure: Interval | None) -> str:
    return NOTHING if figure is None else f"{100 * figure.low:.1f}–{100 * figure.high:.1f} %"


def _difference(value: float | None) -> Cell:
    return Cell("not finite" if value is None else small(value), value)


def _milliseconds(value: float | None) -> Cell:
    return Cell(milliseconds(value), value)


def _bytes(value: int | None) -> Cell:
    return Cell(data_size(value), value)


def _percent(value: float | None) -> Cell:
    return Cell(percent(value), value)


def _number(value: int | None) -> Cell:
    return Cell(NOTHING if value is None else f"{value:,}", value)


def _large(value: int | None) -> str:
    return "unknown" if value is None else rate(float(value), "").strip()
