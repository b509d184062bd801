"""The tables of a benchmark run. One that would have no rows is None."""

from collections.abc import Callable

from vitsd_export.measure.benchmark.results import Interval, LatencyFigures, Results, Row
from vitsd_export.reports.table import (
    Cell,
    Column,
    Table,
    bar_cell,
    build,
    bytes_cell,
    difference_cell,
    milliseconds_cell,
    number_cell,
    percent_cell,
    range_cell,
    ratio_cell,
    share_cell,
)
from vitsd_export.reports.wording import (
    NOTHING,
    VERDICTS,
    count,
    milliseconds,
    percent,
    plain,
    rate,
    runtime_name,
    setting_name,
    significant,
)

# Threads, then images in a call.
Setting = tuple[int, int]
_CANDIDATE = Column("candidate", is_number=False)
_KINDS = {"faster": "good", "slower": "bad"}


def settings(results: Results) -> list[Setting]:
    """Returns the numbers of threads and images a call that latencies were measured at, in order."""
    found = {(figures.threads, figures.batch) for row in results.rows for figures in row.latencies}
    return sorted(found)


def latency(row: Row, setting: Setting | None) -> LatencyFigures | None:
    """Returns the latency of a row at a setting."""
    found = (each for each in row.latencies if (each.threads, each.batch) == setting)
    return next(found, None)


def all_tables(results: Results) -> list[Table]:
    """Returns the tables of a run, those that are not about every candidate last; not that by class."""
    found = settings(results)
    tables = [summary(results, found[0] if found else None), latencies(results)]
    tables += [make(results) for make in (parity, accuracy, start, delegation, roofline, speeds)]
    return [table for table in (*tables, failures(results)) if table is not None]


def summary(results: Results, setting: Setting | None) -> Table | None:
    """Returns the most important figures of each candidate; without a setting, those that have none."""

    def outcome(row: Row) -> Cell:
        if row.state == "measured":
            return _verdict(latency(row, setting))
        return Cell(row.state, kind="bad" if row.state == "failed" else "")

    def p50(row: Row) -> Cell:
        figures = latency(row, setting)
        return milliseconds_cell(figures.p50 if figures else None)

    where = f" ({setting_name(*setting)})" if setting else ""
    return build(
        "summary",
        f"All candidates{where}",
        (
            (_CANDIDATE, _name),
            (Column("top-1"), lambda row: share_cell(row.accuracy.top1 if row.accuracy else None)),
            (
                Column("agrees", explanation="share of images with the class that the model gives"),
                lambda row: percent_cell(row.parity.top1_agreement if row.parity else None),
            ),
            (Column("p50", explanation="median time of a call"), p50),
            (
                Column("÷ baseline", explanation="p50 divided by that of its baseline"),
                lambda row: ratio_cell(latency(row, setting)),
            ),
            (Column("it is", is_number=False), outcome),
            (Column("size"), lambda row: bytes_cell(row.size.bytes if row.size else None)),
            (
                Column("of roofline", explanation="roofline time divided by p50"),
                lambda row: bar_cell(row.work.share if row.work and setting == (1, 1) else None),
            ),
        ),
        results.rows,
    )


def latencies(results: Results, setting: Setting | None = None) -> Table | None:
    """Returns the times of every candidate, at one setting or at all."""
    found = [
        (row, figures)
        for row in results.rows
        for figures in row.latencies
        if setting in (None, (figures.threads, figures.batch))
    ]
    places: tuple[tuple[Column, Callable[[tuple[Row, LatencyFigures]], Cell]], ...] = (
        (Column("threads"), lambda pair: number_cell(pair[1].threads)),
        (Column("batch"), lambda pair: number_cell(pair[1].batch)),
    )
    notes = ["If the interval of a ratio contains 1, the two cannot be told apart."]
    if any(figures.inferences > 1 for _, figures in found):
        notes.append("(n×): the file fixes a smaller batch, so that n inferences were needed.")
    if not all(figures.steady for _, figures in found):
        notes.append("*: the times were not yet steady when warm-up ended.")
    return build(
        "latency",
        f"Latency ({setting_name(*setting)})" if setting else "Latency",
        (
            (_CANDIDATE, lambda pair: _name(pair[0])),
            *(() if setting else places),
            (Column("p50"), lambda pair: _median(pair[1])),
            (Column("p90"), lambda pair: milliseconds_cell(pair[1].p90)),
            (Column("p99"), lambda pair: milliseconds_cell(pair[1].p99)),
            (
                Column("images/s", explanation="at the median"),
                lambda pair: Cell(significant(pair[1].throughput), pair[1].throughput),
            ),
            (
                Column("÷ baseline", explanation="ratio of the p50, with its 95 % interval"),
                lambda pair: ratio_cell(pair[1], with_interval=True),
            ),
            (Column("it is", is_number=False), lambda pair: _verdict(pair[1])),
        ),
        found,
        " ".join(notes),
    )


def parity(results: Results) -> Table | None:
    """Returns how far each candidate's answers are from the reference's."""
    return build(
        "parity",
        "Parity with the reference",
        (
            (_CANDIDATE, lambda pair: _name(pair[0])),
            (Column("images"), lambda pair: number_cell(pair[1].images)),
            (
                Column("max diff", explanation="largest absolute difference of two probabilities"),
                lambda pair: difference_cell(pair[1].max_abs_difference),
            ),
            (Column("mean diff"), lambda pair: difference_cell(pair[1].mean_abs_difference)),
            (Column("top-1 agrees"), lambda pair: percent_cell(pair[1].top1_agreement)),
            (Column("top-5 agrees"), lambda pair: percent_cell(pair[1].top5_agreement)),
            (
                Column("KL, nats", explanation="mean divergence from the reference's answers"),
                lambda pair: difference_cell(pair[1].kl),
            ),
        ),
        [(row, row.parity) for row in results.rows if row.parity is not None],
    )


def accuracy(results: Results) -> Table | None:
    """Returns the accuracy of each candidate with its interval."""
    return build(
        "accuracy",
        "Accuracy",
        (
            (_CANDIDATE, lambda pair: _name(pair[0])),
            (Column("images"), lambda pair: number_cell(pair[1].images)),
            (Column("top-1"), lambda pair: percent_cell(pair[1].top1.value)),
            (Column("95 % interval"), lambda pair: range_cell(pair[1].top1)),
            (
                Column("top-5"),
                lambda pair: percent_cell(pair[1].top5.value if pair[1].top5 else None),
            ),
            (Column("95 % interval"), lambda pair: range_cell(pair[1].top5)),
        ),
        [(row, row.accuracy) for row in results.rows if row.accuracy is not None],
        "All see the same images: a difference of two candidates is surer than these intervals.",
    )


def start(results: Results) -> Table | None:
    """Returns size, time until the first answer, and memory."""
    return build(
        "start",
        "Size, start and memory",
        (
            (_CANDIDATE, _name),
            (Column("on disk"), lambda row: bytes_cell(row.size.bytes if row.size else None)),
            (Column("gzip"), lambda row: bytes_cell(row.size.compressed if row.size else None)),
            (Column("load"), lambda row: milliseconds_cell(row.start.load if row.start else None)),
            (
                Column("first call"),
                lambda row: milliseconds_cell(row.start.first if row.start else None),
            ),
            (
                Column("runtime", explanation="resident memory with the runtime imported"),
                lambda row: bytes_cell(row.start.rss_before if row.start else None),
            ),
            (
                Column("loaded", explanation="peak memory until the artifact was ready"),
                lambda row: bytes_cell(row.start.rss_load if row.start else None),
            ),
            (
                Column("peak", explanation="peak memory until all inferences were done"),
                lambda row: bytes_cell(row.start.rss_inference if row.start else None),
            ),
        ),
        [row for row in results.rows if row.size is not None or row.start is not None],
        "Memory is that of the whole process, the runtime's own included.",
    )


def delegation(results: Results) -> Table | None:
    """Returns what really ran each graph."""

    def share(delegated: int | None, operators: int | None) -> Cell:
        value = delegated / operators if delegated is not None and operators else None
        return Cell(percent(value, 0), value)

    return build(
        "delegation",
        "What ran the graph",
        (
            (_CANDIDATE, lambda pair: _name(pair[0])),
            (Column("provider", is_number=False), lambda pair: Cell(plain(pair[1].provider))),
            (
                Column("parts", explanation="partitions that the provider took"),
                lambda pair: number_cell(pair[1].partitions),
            ),
            (
                Column("delegated", explanation="operators in these"),
                lambda pair: number_cell(pair[1].delegated),
            ),
            (Column("operators"), lambda pair: number_cell(pair[1].operators)),
            (Column("share"), lambda pair: share(pair[1].delegated, pair[1].operators)),
            (Column("note", is_number=False), lambda pair: Cell(plain(pair[1].note))),
        ),
        [(row, row.delegation) for row in results.rows if row.delegation is not None],
    )


def roofline(results: Results) -> Table | None:
    """Returns how near to the machine's roofline each candidate comes."""

    def p50(row: Row) -> Cell:
        figures = latency(row, (1, 1))
        return milliseconds_cell(figures.p50 if figures else None)

    def products(sums: dict[str, int | None]) -> Cell:
        parts = (f"{plain(kind)} {_large(number)}" for kind, number in sums.items())
        return Cell(", ".join(parts) or NOTHING)

    return build(
        "roofline",
        "Roofline (1 thread, batch 1)",
        (
            (_CANDIDATE, lambda pair: _name(pair[0])),
            (
                Column("multiply-adds", is_number=False),
                lambda pair: products(pair[1].multiply_adds),
            ),
            (
                Column("weights", explanation="bytes of constants read"),
                lambda pair: bytes_cell(pair[1].bytes),
            ),
            (
                Column("roofline", explanation="least time at the machine's measured rates"),
                lambda pair: milliseconds_cell(pair[1].roofline),
            ),
            (Column("p50"), lambda pair: p50(pair[0])),
            (Column("of roofline"), lambda pair: bar_cell(pair[1].share)),
        ),
        [(row, row.work) for row in results.rows if row.work is not None],
    )


def speeds(results: Results) -> Table | None:
    """Returns the machine's measured rates."""
    return build(
        "speeds",
        "Measured rates of the machine",
        (
            (
                Column("threads", is_number=False),
                lambda speed: Cell(count(speed.threads, "thread"), speed.threads),
            ),
            (Column("float32"), lambda speed: Cell(rate(speed.flops, "FLOP/s"), speed.flops)),
            (
                Column("8-bit integers"),
                lambda speed: Cell(rate(speed.int8_ops, "OP/s"), speed.int8_ops),
            ),
            (Column("reading"), lambda speed: Cell(rate(speed.bandwidth, "B/s"), speed.bandwidth)),
        ),
        results.machine.speeds,
    )


def failures(results: Results) -> Table | None:
    """Returns the candidates that failed or were skipped, with the reason."""
    return build(
        "failures",
        "Failed and skipped",
        (
            (_CANDIDATE, _name),
            (
                Column("what", is_number=False),
                lambda row: Cell(row.state, kind="bad" if row.failure is not None else ""),
            ),
            (
                Column("reason", is_number=False),
                lambda row: Cell(plain(row.failure or row.skipped or "") or NOTHING),
            ),
        ),
        [row for row in results.rows if row.state != "measured"],
    )


def classes(results: Results) -> Table | None:
    """Returns top-1 by class, a column a candidate; beside the reference's, how far others are from it."""
    measured = [row for row in results.rows if row.accuracy is not None and row.accuracy.classes]
    if not measured:
        return None
    reference = next((row for row in measured if row.candidate.is_keras), measured[0])
    others = [row for row in measured if row is not reference]
    own = _by_class(reference)
    labels = dict.fromkeys(label for row in (reference, *others) for label in _by_class(row))

    def column(row: Row) -> tuple[Column, Callable[[tuple[str, int]], Cell]]:
        found = _by_class(row)

        def cell(label: tuple[str, int]) -> Cell:
            if label not in found:
                return Cell(NOTHING)
            top1, images = found[label]
            text, kind = percent(top1.value, 1), ""
            change = top1.value - own[label][0].value if label in own else 0.0
            if round(1000 * change):
                text += f" ({100 * change:+.1f})"
                kind = "good" if change > 0 else "bad"
            note = f"95 % interval {range_cell(top1).text}, {count(images, 'image')}"
            return Cell(text, top1.value, note, kind)

        return Column(plain(row.candidate.name)), cell

    return build(
        "classes",
        "Top-1 by class",
        (
            (Column("class", is_number=False), lambda label: Cell(plain(label[0]))),
            *map(column, (reference, *others)),
        ),
        labels,
        f"Differences in points are from {plain(reference.candidate.name)}.",
    )


def _by_class(row: Row) -> dict[tuple[str, int], tuple[Interval, int]]:
    """Returns accuracies by label and place: two classes may have the same name."""
    if row.accuracy is None:
        return {}
    return {
        (figures.label, place): (figures.top1, figures.images)
        for place, figures in enumerate(row.accuracy.classes)
    }


def _name(row: Row) -> Cell:
    candidate = row.candidate
    parts = [f"origin {candidate.origin}", f"runtime {runtime_name(candidate.runtime)}"]
    if candidate.tool:
        parts.append(f"made by {candidate.tool}")
    if candidate.baseline:
        parts.append(f"baseline {candidate.baseline}")
    return Cell(plain(candidate.name), note=plain("; ".join(parts)))


def _median(figures: LatencyFigures) -> Cell:
    text = milliseconds(figures.p50) + ("" if figures.steady else "*")
    several = f"({figures.inferences}×) " if figures.inferences > 1 else ""
    return Cell(several + text, figures.p50)


def _verdict(figures: LatencyFigures | None) -> Cell:
    if figures is None or figures.verdict is None:
        return Cell(NOTHING)
    return Cell(VERDICTS[figures.verdict], kind=_KINDS.get(figures.verdict, ""))


def _large(value: int | None) -> str:
    return "unknown" if value is None else rate(float(value), "").strip()
