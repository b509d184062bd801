"""Pictures of a run and of a model: training curves, confusion matrix, images with captions."""

import math
import unicodedata
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from training.run_files import best_epoch
from vitsd_export._internal.atomic_write import publish, staging

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from training.report import Report

_DPI = 150
_LONGEST_NAME = 24
# Inches of a confusion matrix: at 150 dots an inch a cell of 120 classes still has 27 of them.
_LARGEST_SIDE = 22.0
# More classes than these leave no room for a count in each cell.
_MOST_COUNTED = 25
# Colours that people with any colour vision tell apart: Wong, 2011, doi:10.1038/nmeth.1618.
_BLUE, _ORANGE = "#0072B2", "#D55E00"


def write_confusion_matrix(report: "Report", path: Path) -> None:
    """Writes a PNG of a confusion matrix: a row a label, a column an answer.

    Colour tells the share of a row's images, on a square-root scale so that rare confusions show; up to
    25 classes their number stands in each cell.

    Raises:
        EnvironmentProblem: If the file cannot be written.
    """
    from matplotlib.colors import PowerNorm

    count = len(report.classes)
    is_counted = count <= _MOST_COUNTED
    names = [_short(row.name) for row in report.classes]
    # Inches of the matrix, points of a name, and which names there is room for.
    side = min(
        max((0.18 if not is_counted else 0.62 if count <= 12 else 0.48) * count, 3.0), _LARGEST_SIDE
    )
    font = 10.0 if is_counted else 9.0
    heading = 12.0 if side < 10 else 18.0
    ticks = np.arange(0, count, math.ceil(count * font * 1.3 / (72 * side)))
    margin = 0.7 + max(map(_columns, names)) * font / 72 * 0.62
    figure, (axes,) = _figure(side + margin + 1.2, side + margin + 0.3, 1)
    images = np.array([max(row.images, 1) for row in report.classes])
    shares = report.confusion / images[:, None]
    picture = axes.imshow(shares, cmap="Blues", norm=PowerNorm(0.5, vmin=0, vmax=1), aspect="equal")
    shown = [names[tick] for tick in ticks]
    axes.set_xticks(ticks, shown, rotation=90, fontsize=font, parse_math=False)
    axes.set_yticks(ticks, shown, fontsize=font, parse_math=False)
    axes.tick_params(length=0 if is_counted else 2)
    axes.set_xlabel("answer", fontsize=heading)
    axes.set_ylabel("label", fontsize=heading)
    axes.set_title(f"top-1 {report.top1:.2%} of {report.images} images", fontsize=heading)
    if is_counted:
        _write_counts(axes, report.confusion, shares)
    if len(ticks) == count:
        # Lines between the cells guide the eye along a row.
        axes.set_xticks(ticks[:-1] + 0.5, minor=True)
        axes.set_yticks(ticks[:-1] + 0.5, minor=True)
        axes.grid(which="minor", color="0.9", linewidth=0.6 if is_counted else 0.2)
        axes.tick_params(which="minor", length=0)
    bar = figure.colorbar(picture, ax=axes, fraction=0.04, pad=0.02)
    bar.set_ticks([0, 0.01, 0.05, 0.1, 0.25, 0.5, 1])
    bar.ax.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    bar.set_label("share of the label's images", fontsize=heading)
    _save(figure, path)


def write_curves(log: Sequence[Mapping[str, float]], path: Path) -> None:
    """Writes a PNG of a run's loss, accuracy and learning rate by epoch, its best epoch marked.

    Args:
        log: One row an epoch, at least one: `epoch`, `loss`, `top1`, `learning_rate`, and where images are
            held out `validation_loss` and `validation_top1`.
        path: Target.

    Raises:
        EnvironmentProblem: If the file cannot be written.
    """
    from matplotlib.ticker import MaxNLocator

    figure, (losses, accuracies, rates) = _figure(8.0, 9.0, 3, height_ratios=(3, 3, 1.4))
    _draw(losses, log, "loss", "training (augmented)", _BLUE)
    _draw(losses, log, "validation_loss", "validation", _ORANGE)
    losses.set_ylabel("loss")
    _draw(accuracies, log, "top1", "training (augmented)", _BLUE)
    _draw(accuracies, log, "validation_top1", "validation", _ORANGE)
    accuracies.set_ylabel("top-1")
    accuracies.yaxis.set_major_formatter(lambda share, _: f"{100 * share:.3g}%")
    _draw(rates, log, "learning_rate", "learning rate", "0.3")
    rates.set_ylabel("learning rate")
    rates.set_ylim(0, 1.08 * max(row["learning_rate"] for row in log))
    rates.ticklabel_format(axis="y", style="sci", scilimits=(-2, 3))
    rates.set_xlabel("epoch")
    first, last = log[0]["epoch"], log[-1]["epoch"]
    margin = max((last - first) * 0.02, 0.5)
    rates.set_xlim(first - margin, last + margin)
    rates.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    for axes in (losses, accuracies, rates):
        axes.grid(color="0.9")
        axes.spines[["top", "right"]].set_visible(False)
    _mark_best(figure, (losses, accuracies), log)
    for axes in (losses, accuracies):
        axes.legend(frameon=False)
    _save(figure, path)


def write_image_grid(images: np.ndarray, titles: Sequence[str], path: Path) -> None:
    """Writes a PNG of images, about as many across as down, each with a caption above.

    Args:
        images: [N, H, W, 3] uint8, or float with pixels 0–255; N at least 1.
        titles: N captions.
        path: Target.

    Raises:
        EnvironmentProblem: If the file cannot be written.
    """
    if not np.issubdtype(images.dtype, np.uint8):
        images = np.clip(np.rint(images), 0, 255).astype(np.uint8)
    across = math.ceil(math.sqrt(len(images)))
    down = math.ceil(len(images) / across)
    figure, panels = _figure(1.5 * across, 1.5 * down + 0.25 * down, down, across)
    for axes in panels:
        axes.set_axis_off()
    for axes, image, title in zip(panels, images, titles, strict=False):
        axes.imshow(image, interpolation="nearest")
        lines = [_short(line) for line in title.splitlines()]
        axes.set_title("\n".join(lines), fontsize=8, pad=3, parse_math=False)
    _save(figure, path)


def _figure(
    width: float,
    height: float,
    rows: int,
    columns: int = 1,
    *,
    height_ratios: Sequence[float] | None = None,
) -> "tuple[Figure, list[Axes]]":
    """Returns a figure, inches wide and high, that no global state knows, and its panels."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(
        rows, columns, squeeze=False, sharex=height_ratios is not None, height_ratios=height_ratios
    )
    return figure, list(panels.ravel())


def _save(figure: "Figure", path: Path) -> None:
    with staging(path) as staged, warnings.catch_warnings():
        # A class may be named in a script that the bundled font lacks; its box does no harm.
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        figure.savefig(staged, format="png")
        publish(staged, path)


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…"


def _columns(name: str) -> int:
    """Returns the width of a name in columns of a terminal: Chinese characters take two."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in name)


def _write_counts(axes: "Axes", counts: np.ndarray, shares: np.ndarray) -> None:
    for (row, column), count in np.ndenumerate(counts):
        if count:
            colour = "white" if shares[row, column] > 0.4 else "0.15"
            axes.text(column, row, str(count), ha="center", va="center", color=colour, fontsize=9)


def _draw(
    axes: "Axes", log: Sequence[Mapping[str, float]], column: str, label: str, colour: str
) -> None:
    points = [(row["epoch"], row[column]) for row in log if column in row]
    if points:
        epochs, values = zip(*points, strict=True)
        # A line through few points would not show where they are.
        marker = "o" if len(points) <= 20 else None
        axes.plot(epochs, values, color=colour, label=label, marker=marker, markersize=4)


def _mark_best(
    figure: "Figure", panels: "Sequence[Axes]", log: Sequence[Mapping[str, float]]
) -> None:
    epoch = best_epoch(log)
    top1 = log[epoch - 1].get("validation_top1", math.nan)
    # Without held-out images no epoch was found to be better than another.
    if not math.isfinite(top1):
        return
    for axes in panels:
        axes.axvline(epoch, color="0.5", linestyle=":", linewidth=1.2, zorder=0)
    panels[1].plot(
        [epoch],
        [top1],
        "*",
        color=_ORANGE,
        markersize=13,
        markeredgecolor="white",
        label=f"best: {top1:.2%} in epoch {epoch}",
    )
