"""The pictures of a benchmark run, for its page and as PNG files."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vitsd_export._internal.pareto import pareto_front
from vitsd_export.measure.benchmark.results import Results, Row
from vitsd_export.reports.drawing import (
    BLUE,
    COLOURS,
    FONT,
    GREEN,
    GREY,
    ORANGE,
    drawing,
    new_figure,
    write_png,
)
from vitsd_export.reports.tables import Setting, latency, settings
from vitsd_export.reports.wording import (
    VERDICTS,
    data_size,
    interval,
    milliseconds,
    percent,
    plain,
    runtime_name,
    setting_name,
    shorten,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_VERDICT_COLOURS = {"faster": GREEN, "slower": ORANGE, "same": GREY}
_LONGEST_NAME = 34
# Square points of the disc of the largest file, and of one that could hardly be seen.
_LARGEST_AREA, _LEAST_AREA = 1000.0, 20.0
# Times that are further apart than this factor are shown on a logarithmic axis.
_WIDE = 8
# A call that the system held up for long would squeeze all others together.
_SHOWN_PERCENTILE = 95


@dataclass(frozen=True)
class Picture:
    """A picture, and what it says of single candidates, by the gid of what shows them."""

    figure: "Figure"
    tips: dict[str, str]


def write_plots(results: Results, folder: Path) -> tuple[Path, ...]:
    """Writes the pictures at the fewest threads and images a call that were measured; returns their files.

    `pareto.png`: accuracy against latency, a disc's area the size of its file. `ratios.png`: the time of each
    candidate by that of its baseline, with the interval. `roofline.png`: the share of the roofline.
    One that has nothing to show is not written.

    Raises:
        EnvironmentProblem: If matplotlib is missing, or a file cannot be written.
    """
    found = settings(results)
    written = []
    with drawing():
        figures = {"roofline.png": _draw_rooflines(results)}
        if found:
            pareto = draw_pareto(results, found[0])
            figures["pareto.png"] = pareto.figure if pareto else None
            figures["ratios.png"] = _draw_ratios(results, found[0])
        for name, figure in figures.items():
            if figure is not None:
                write_png(figure, folder / name)
                written.append(folder / name)
    return tuple(written)


def draw_pareto(results: Results, setting: Setting) -> Picture | None:
    """Draws accuracy, or agreement without labels, against latency; None if there is nothing to draw."""
    has_accuracy = any(row.accuracy is not None for row in _timed(results, setting))
    points = [
        (row, p50, height)
        for row in _timed(results, setting)
        if (p50 := _p50(row, setting)) and (height := _height(row, has_accuracy)) is not None
    ]
    if not points:
        return None
    figure, axes = new_figure(10.0, 6.5)
    largest = max((row.size.bytes for row, *_ in points if row.size), default=0)
    runtimes = list(dict.fromkeys(runtime_name(row.candidate.runtime) for row in results.rows))
    tips, drawn = {}, set()
    # From the largest file to the least, so that small ones lie on top.
    points.sort(key=lambda point: -(point[0].size.bytes if point[0].size else 0))
    for number, (row, x, y) in enumerate(points):
        runtime = runtime_name(row.candidate.runtime)
        colour = COLOURS[runtimes.index(runtime) % len(COLOURS)]
        is_stock = row.candidate.origin == "stock"
        size = row.size.bytes / largest if row.size and largest else 0.0
        axes.scatter(
            x,
            y,
            s=max(_LARGEST_AREA * size, _LEAST_AREA),
            facecolor=(colour, 0.05 if is_stock else 0.5),
            edgecolor=colour,
            linestyle="--" if is_stock else "-",
            linewidths=1.2,
            gid=f"point-{number}",
        )
        tips[f"point-{number}"] = _tip(row, setting)
        if runtime not in drawn:
            drawn.add(runtime)
            axes.plot([], [], "o", color=colour, alpha=0.7, label=runtime)
    axes.plot([], [], "o", mfc="none", mec=GREY, label="by another tool: pale")
    times, heights = zip(*pareto_front([(x, -y) for _, x, y in points]), strict=True)
    axes.step(
        times, [-height for height in heights], where="post", color=GREY, linestyle=":", zorder=1
    )
    _scale_times(axes, [x for _, x, _ in points])
    # Half a point: less would make noise look like a difference.
    low, high = min(y for *_, y in points), max(y for *_, y in points)
    margin = max(0.12 * (high - low), 0.0025)
    axes.set_ylim(low - margin, high + margin)
    axes.yaxis.set_major_formatter(lambda share, _: f"{100 * share:g} %")
    axes.set_xlabel(f"p50, milliseconds a call ({setting_name(*setting)})")
    axes.set_ylabel("top-1 accuracy" if has_accuracy else "agreement with the reference")
    axes.grid()
    # Above the panel and in the order of the times, names cover nothing: times differ more than accuracies.
    points.sort(key=lambda point: point[1:])
    for place, (row, x, y) in enumerate(points):
        axes.annotate(
            shorten(plain(row.candidate.name), _LONGEST_NAME),
            (x, y),
            xytext=((place + 0.5) / len(points), 1.03),
            textcoords="axes fraction",
            rotation=60,
            rotation_mode="anchor",
            arrowprops={
                "arrowstyle": "-",
                "color": GREY,
                "linewidth": 0.6,
                "relpos": (0, 0),
                "shrinkB": 0,
            },
        )
    figure.legend(loc="outside lower center", ncols=4)
    return Picture(figure, tips)


def draw_times(results: Results, setting: Setting) -> Picture | None:
    """Draws the times of the calls of each candidate; None if there are none."""
    found = []
    for row in results.rows:
        figures = latency(row, setting)
        samples = [value for value in figures.samples if value > 0] if figures else []
        if samples:
            found.append((row, samples))
    if not found:
        return None
    figure, axes = _bars([row for row, _ in found])
    tips = {}
    for place, (row, samples) in enumerate(found):
        colour = GREY if row.candidate.origin == "stock" else BLUE
        drawn = axes.boxplot(
            samples,
            positions=[place],
            widths=0.4,
            whis=(10, 90),
            orientation="horizontal",
            showfliers=False,
            manage_ticks=False,
            patch_artist=True,
            boxprops={"facecolor": (colour, 0.4), "edgecolor": colour, "gid": f"box-{place}"},
            whiskerprops={"color": colour},
            capprops={"color": colour},
            medianprops={"color": colour, "linewidth": 2},
        )
        low, median, high = np.percentile(samples, (25, 50, 75))
        tips[drawn["boxes"][0].get_gid()] = (
            f"{plain(row.candidate.name)}: median {milliseconds(median)}, half of the calls "
            f"{milliseconds(low)} to {milliseconds(high)}, slowest {milliseconds(max(samples))}"
        )
        # One path, not one element a call.
        marks = np.repeat(samples, 3)
        marks[2::3] = math.nan
        heights = np.tile([place + 0.28, place + 0.42, math.nan], len(samples))
        axes.plot(marks, heights, color=colour, linewidth=0.6, alpha=0.6)
    shown = [np.percentile(samples, (0, _SHOWN_PERCENTILE)) for _, samples in found]
    _scale_times(axes, np.ravel(shown).tolist())
    axes.set_xlabel("milliseconds a call")
    return Picture(figure, tips)


def _timed(results: Results, setting: Setting) -> list[Row]:
    return [row for row in results.rows if row.state == "measured" and latency(row, setting)]


def _p50(row: Row, setting: Setting) -> float:
    figures = latency(row, setting)
    return figures.p50 if figures else 0.0


def _height(row: Row, has_accuracy: bool) -> float | None:
    if has_accuracy:
        return row.accuracy.top1.value if row.accuracy else None
    return row.parity.top1_agreement if row.parity else None


def _tip(row: Row, setting: Setting) -> str:
    figures = latency(row, setting)
    parts = [f"p50 {milliseconds(_p50(row, setting))}"]
    if figures is not None and figures.ratio is not None:
        parts.append(f"{interval(figures.ratio)} of its baseline")
    if row.accuracy is not None:
        parts.append(f"top-1 {percent(row.accuracy.top1.value)}")
    if row.parity is not None:
        parts.append(f"agrees {percent(row.parity.top1_agreement)}")
    parts.append(data_size(row.size.bytes) if row.size is not None else "size not known")
    return f"{plain(row.candidate.name)}: {', '.join(parts)}"


def _scale_times(axes: "Axes", times: Sequence[float]) -> None:
    """Makes room for times, on a logarithmic axis where they are far apart."""
    from matplotlib.ticker import LogLocator, NullLocator

    low, high = min(times), max(times)
    if high > _WIDE * low:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlim(low / (high / low) ** 0.05, high * (high / low) ** 0.05)
    else:
        margin = max(0.05 * (high - low), 0.1 * high)
        axes.set_xlim(max(low - margin, 0), high + margin)
    axes.xaxis.set_major_formatter("{x:g}")


def _draw_ratios(results: Results, setting: Setting) -> "Figure | None":
    found = []
    for row in results.rows:
        figures = latency(row, setting) if row.state == "measured" else None
        if figures is not None and figures.ratio is not None:
            found.append((row, figures.ratio, figures.verdict or "same"))
    if not found:
        return None
    figure, axes = _bars([row for row, _, _ in found])
    for place, (_, ratio, verdict) in enumerate(found):
        errors = [[max(ratio.value - ratio.low, 0)], [max(ratio.high - ratio.value, 0)]]
        axes.barh(
            place,
            ratio.value,
            xerr=errors,
            color=_VERDICT_COLOURS[verdict],
            ecolor="0.2",
            capsize=2,
            height=0.7,
        )
        axes.text(max(ratio.high, ratio.value), place, f"  {ratio.value:.2f}", va="center")
    for kind, word in VERDICTS.items():
        if any(kind == verdict for _, _, verdict in found):
            axes.barh(0, 0, color=_VERDICT_COLOURS[kind], label=word)
    axes.axvline(1, color="0.2", linewidth=1)
    axes.set_xlabel(f"p50 ÷ p50 of the baseline, with 95 % interval ({setting_name(*setting)})")
    axes.set_xlim(0, max(1.0, *(max(ratio.high, ratio.value) for _, ratio, _ in found)) * 1.12)
    figure.legend(loc="outside lower center", ncols=3)
    return figure


def _draw_rooflines(results: Results) -> "Figure | None":
    found = [
        (row, row.work.share)
        for row in results.rows
        if row.work is not None and row.work.share is not None
    ]
    if not found:
        return None
    figure, axes = _bars([row for row, _ in found])
    for place, (row, share) in enumerate(found):
        colour = GREY if row.candidate.origin == "stock" else BLUE
        axes.barh(place, share, color=colour, height=0.7)
        axes.text(share, place, f"  {100 * share:.0f} %", va="center")
    axes.axvline(1, color="0.2", linewidth=1)
    axes.set_xlim(0, max(1.0, *(share for _, share in found)) * 1.12)
    axes.xaxis.set_major_formatter(lambda share, _: f"{100 * share:g} %")
    axes.set_xlabel("roofline time ÷ p50 (1 thread, batch 1)")
    return figure


def _bars(rows: Sequence[Row]) -> "tuple[Figure, Axes]":
    """Returns a panel with a line for each row, from above."""
    figure, axes = new_figure(9.0, 1.3 + 0.27 * len(rows))
    names = [shorten(plain(row.candidate.name), _LONGEST_NAME) for row in rows]
    axes.set_yticks(range(len(rows)), names, fontsize=FONT)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.grid(axis="x")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    return figure, axes
