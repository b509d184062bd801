"""PNG plots of a benchmark run, such as those in README and docs."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vitsd_export._internal.atomic_write import publish, staging
from vitsd_export.errors import EnvironmentProblem
from vitsd_export.measure.benchmark.results import Results, Row
from vitsd_export.reports.label_placement import Box, Marker, place_labels
from vitsd_export.reports.pareto import Pareto, front_line, pareto
from vitsd_export.reports.tables import Setting, latency, settings
from vitsd_export.reports.wording import (
    VERDICTS,
    plain,
    runtime_name,
    setting_name,
    shorten,
    state,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DPI = 160
# Colours that people with any colour vision tell apart: Wong, 2011, doi:10.1038/nmeth.1618.
_COLOURS = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#5B5BD6",
    "#6B6B6B",
)
_VERDICT_COLOURS = {"faster": "#009E73", "slower": "#D55E00", "same": "0.6"}
_LONGEST_NAME = 34
_FONT = 9.0
# Points of the radius of the largest file's disc.
_LARGEST_RADIUS = 17.0


def write_plots(results: Results, folder: Path) -> tuple[Path, ...]:
    """Writes the pictures at the fewest threads and images a call that were measured.

    `pareto.png`: accuracy against latency, a disc's area the size of its file. `ratios.png`: the time of each
    candidate by that of its peer, with the interval. `limit.png`: the share of the machine's limit.
    One that has nothing to show is not written.

    Args:
        results: The run.
        folder: An existing folder.

    Returns:
        The files written.

    Raises:
        EnvironmentProblem: If matplotlib is missing, or a file cannot be written.
    """
    _require_matplotlib()
    found = settings(results)
    written = []
    with warnings.catch_warnings():
        # A candidate may be named in a script that the bundled font lacks; its box does no harm.
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        figures = {"limit.png": _limits(results)}
        if found:
            figures["pareto.png"] = _pareto(results, found[0])
            figures["ratios.png"] = _ratios(results, found[0])
        for name, figure in figures.items():
            if figure is not None:
                _save(figure, folder / name)
                written.append(folder / name)
    return tuple(written)


def _pareto(results: Results, setting: Setting) -> "Figure | None":
    plot = pareto(results, setting)
    if plot is None:
        return None
    figure, axes = _figure(10.0, 5.6)
    if plot.x.is_logarithmic:
        axes.set_xscale("log")
    axes.set_xlim(plot.x.low, plot.x.high)
    axes.set_ylim(plot.y.low, plot.y.high)
    axes.set_xticks(plot.x.ticks, [f"{tick:g}" for tick in plot.x.ticks])
    axes.set_xticks([], minor=True)
    axes.set_yticks(plot.y.ticks, [f"{100 * tick:g} %" for tick in plot.y.ticks])
    axes.grid(color="0.92")
    axes.set_axisbelow(True)
    runtimes = list(dict.fromkeys(runtime_name(row.candidate.runtime) for row in results.rows))
    drawn = set()
    for point in plot.points:
        runtime = runtime_name(point.candidate.runtime)
        colour = _COLOURS[runtimes.index(runtime) % len(_COLOURS)]
        is_stock = point.candidate.origin == "stock"
        axes.scatter(
            point.x,
            point.y,
            # matplotlib's s is the square of the diameter in points.
            s=(2 * plot.radius(point.bytes, _LARGEST_RADIUS)) ** 2,
            facecolor=(*_rgb(colour), 0.05 if is_stock else 0.5),
            edgecolor=colour,
            linestyle="--" if is_stock else "-",
            linewidths=1.2,
        )
        axes.plot(point.x, point.y, ".", color="0.15", markersize=2.5, zorder=5)
        if runtime not in drawn:
            drawn.add(runtime)
            axes.plot([], [], "o", color=colour, alpha=0.7, label=runtime)
    axes.plot([], [], "o", mfc="none", mec="0.4", label="dashed: by another tool")
    front = front_line(plot)
    axes.step(
        *zip(*front, strict=True), where="post", color="0.45", linewidth=1, linestyle=":", zorder=1
    )
    axes.set_xlabel(
        f"p50, milliseconds a call ({setting_name(*setting)}"
        f"{'; logarithmic' if plot.x.is_logarithmic else ''})"
    )
    axes.set_ylabel(plot.figure)
    axes.set_title(
        "Up and left is better; a disc's area is the size of the file", fontsize=10, loc="left"
    )
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=_FONT)
    _write_labels(figure, axes, plot)
    return figure


def _write_labels(figure: "Figure", axes: "Axes", plot: Pareto) -> None:
    """Writes the names of the points; where there is no room for all, numbers and a list beside the panel."""
    names = [shorten(point.name, _LONGEST_NAME) for point in plot.points]
    if _place_texts(figure, axes, plot, names, must_be_all=True):
        return
    listed = sorted(zip((point.number for point in plot.points), names, strict=True))
    axes.text(
        1.01,
        1.0,
        "\n".join(f"{number}  {name}" for number, name in listed),
        transform=axes.transAxes,
        va="top",
        fontsize=_FONT - 1,
        parse_math=False,
    )
    numbers = [str(point.number) for point in plot.points]
    _place_texts(figure, axes, plot, numbers, must_be_all=False)


def _place_texts(
    figure: "Figure", axes: "Axes", plot: Pareto, texts: Sequence[str], *, must_be_all: bool
) -> bool:
    """Writes texts where they cover nothing, measured in the picture's own font; says whether it did."""
    # The layout settles where the axes lie; it must not move them afterwards.
    figure.set_layout_engine("constrained")
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    pixels = _DPI / 72
    written, markers = [], []
    for point, text in zip(plot.points, texts, strict=True):
        x, y = axes.transData.transform((point.x, point.y))
        shown = axes.annotate(
            text,
            (point.x, point.y),
            xytext=(0, 0),
            textcoords="offset pixels",
            fontsize=_FONT,
            parse_math=False,
            va="bottom",
        )
        extent = shown.get_window_extent(renderer)
        # In points of print, as the radius; in matplotlib y grows upwards.
        markers.append(
            Marker(
                x / pixels,
                -y / pixels,
                plot.radius(point.bytes, _LARGEST_RADIUS),
                extent.width / pixels,
                extent.height / pixels,
            )
        )
        written.append(shown)
    box = axes.get_window_extent(renderer)
    area = Box(box.x0 / pixels, -box.y1 / pixels, box.x1 / pixels, -box.y0 / pixels)
    placements = place_labels(markers, area)
    if must_be_all and None in placements:
        for shown in written:
            shown.remove()
        return False
    for shown, marker, placement in zip(written, markers, placements, strict=True):
        if placement is None:
            shown.remove()
            continue
        left, bottom = placement.box.left - marker.x, marker.y - placement.box.bottom
        shown.set_position((left * pixels, bottom * pixels))
        if placement.is_far:
            _draw_leader(axes, marker, placement.box, pixels)
    return True


def _draw_leader(axes: "Axes", marker: Marker, box: Box, pixels: float) -> None:
    x = min(max(marker.x, box.left), box.right)
    y = min(max(marker.y, box.top), box.bottom)
    ends = axes.transData.inverted().transform(
        [(marker.x * pixels, -marker.y * pixels), (x * pixels, -y * pixels)]
    )
    axes.plot(ends[:, 0], ends[:, 1], color="0.45", linewidth=0.7, zorder=4)


def _ratios(results: Results, setting: Setting) -> "Figure | None":
    found = []
    for row in results.rows:
        figures = latency(row, setting) if state(row) == "measured" else None
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
        axes.text(
            max(ratio.high, ratio.value), place, f"  {ratio.value:.2f}", va="center", fontsize=_FONT
        )
    for kind, word in VERDICTS.items():
        if any(kind == verdict for _, _, verdict in found):
            axes.barh(0, 0, color=_VERDICT_COLOURS[kind], label=word)
    axes.axvline(1, color="0.2", linewidth=1)
    axes.set_xlabel(f"p50 ÷ p50 of the baseline, with 95 % interval ({setting_name(*setting)})")
    axes.set_xlim(0, max(1.0, *(max(ratio.high, ratio.value) for _, ratio, _ in found)) * 1.12)
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=_FONT)
    return figure


def _limits(results: Results) -> "Figure | None":
    found = [
        (row, row.work.share)
        for row in results.rows
        if row.work is not None and row.work.share is not None
    ]
    if not found:
        return None
    figure, axes = _bars([row for row, _ in found])
    for place, (row, share) in enumerate(found):
        axes.barh(
            place,
            share,
            color="0.65" if row.candidate.origin == "stock" else _COLOURS[0],
            height=0.7,
        )
        axes.text(share, place, f"  {100 * share:.0f} %", va="center", fontsize=_FONT)
    axes.axvline(1, color="0.2", linewidth=1)
    axes.set_xlim(0, max(1.0, *(share for _, share in found)) * 1.12)
    axes.xaxis.set_major_formatter(lambda share, _: f"{100 * share:g} %")
    axes.set_xlabel("share of the machine's limit that is reached (1 thread, batch 1)")
    return figure


def _bars(rows: Sequence[Row]) -> "tuple[Figure, Axes]":
    """Returns a panel with a line for each row, from above."""
    figure, axes = _figure(9.0, 1.3 + 0.27 * len(rows))
    names = [shorten(plain(row.candidate.name), _LONGEST_NAME) for row in rows]
    axes.set_yticks(range(len(rows)), names, fontsize=_FONT, parse_math=False)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.grid(axis="x", color="0.92")
    axes.set_axisbelow(True)
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    return figure, axes


def _figure(width: float, height: float) -> "tuple[Figure, Axes]":
    """Returns a figure, inches wide and high, that no global state knows, and its panel."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots()


def _rgb(colour: str) -> tuple[float, float, float]:
    return tuple(int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5))  # type: ignore[return-value]


def _require_matplotlib() -> None:
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise EnvironmentProblem(
            f"Plots need matplotlib, which cannot be imported ({error}). Install it: "
            "pip install 'vitsd-export[report]'; or leave the plots out."
        ) from error


def _save(figure: "Figure", path: Path) -> None:
    with staging(path) as staged:
        figure.savefig(staged, format="png")
        publish(staged, path)
