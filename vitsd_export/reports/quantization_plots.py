"""Pictures of what quantization costs."""

from pathlib import Path
from typing import Any

from vitsd_export._internal.atomic_write import publish, staging
from vitsd_export.errors import EnvironmentProblem
from vitsd_export.measure.layer_error import Sensitivity
from vitsd_export.quantization.search import Outcome

_DPI = 150
# Colours that people with any colour vision tell apart: Wong, 2011, doi:10.1038/nmeth.1618.
_BLUE, _ORANGE, _GREY = "#0072B2", "#D55E00", "0.6"
_FEWEST_INCHES = 3.0


def write_sensitivity_plot(sensitivity: Sensitivity, path: Path, title: str) -> None:
    """Writes a PNG of the ratio of each layer, in the order of computation; the three worst stand out.

    Raises:
        EnvironmentProblem: If matplotlib is missing, or the file cannot be written.
    """
    layers = sensitivity.in_order
    worst = {layer.name for layer in sensitivity.layers[:3]}
    finite = [layer.sqnr for layer in layers if abs(layer.sqnr) < float("inf")]
    # A bar without end is drawn a little longer than the longest; one of NaN has no length.
    longest = 1.05 * max(finite, default=1.0)
    figure, axes = _figure(8.0, max(_FEWEST_INCHES, 1.2 + 0.22 * len(layers)))
    lengths = [longest if layer.sqnr == float("inf") else max(layer.sqnr, 0.0) for layer in layers]
    colours = [_ORANGE if layer.name in worst else _BLUE for layer in layers]
    axes.barh(range(len(layers)), lengths, color=colours)
    for row, layer in enumerate(layers):
        axes.text(lengths[row], row, f" {layer.sqnr:.1f}", va="center", fontsize=7)
    axes.set_yticks(range(len(layers)), [layer.name for layer in layers], fontsize=7)
    axes.invert_yaxis()
    axes.set_xlabel("signal-to-quantization-noise ratio of the output, dB")
    axes.set_title(f"{title}, {sensitivity.images} images", fontsize=10, parse_math=False)
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.08, y=0.01)
    _save(figure, path)


def write_pareto_plot(outcome: Outcome, path: Path, title: str) -> None:
    """Writes a PNG of the candidates of a search: loss against time, the area of a point its file.

    Points are numbered; names and sizes stand beside the panel, because good candidates lie close together.

    Raises:
        EnvironmentProblem: If matplotlib is missing, or the file cannot be written.
    """
    figure, axes = _figure(10.0, 5.5)
    points = [
        (trial.candidate, trial.figures, outcome.drop(trial))
        for trial in outcome.trials
        if trial.figures is not None
    ]
    largest = max(figures.bytes for _, figures, _ in points)
    lines = []
    for number, (candidate, figures, drop) in enumerate(points, start=1):
        is_front, is_best = candidate in outcome.pareto, candidate == outcome.best
        axes.scatter(
            figures.latency_ratio,
            drop,
            s=30 + 400 * figures.bytes / largest,
            color=_BLUE if is_front else _GREY,
            alpha=0.6,
            edgecolors=_ORANGE if is_best else "none",
            linewidths=2.5,
        )
        # Every other number above, so that two neighbours can be read.
        shift = (6, 6) if number % 2 else (6, -12)
        where = (figures.latency_ratio, drop)
        axes.annotate(str(number), where, xytext=shift, textcoords="offset points", fontsize=8)
        mark = " (best)" if is_best else ""
        lines.append(f"{number}  {candidate.name}, {figures.bytes / 1e6:.2f} MB{mark}")
    axes.text(1.02, 1.0, "\n".join(lines), transform=axes.transAxes, va="top", fontsize=8)
    axes.axhline(outcome.max_drop, color=_ORANGE, linestyle=":", linewidth=1)
    axes.set_xlabel("time of a call, by that of float32")
    axes.set_ylabel("loss of top-1 accuracy, percentage points")
    axes.set_title(f"{title}: no other equals or beats a blue one", fontsize=10, parse_math=False)
    axes.grid(color="0.9")
    axes.set_axisbelow(True)
    axes.margins(0.15)
    axes.spines[["top", "right"]].set_visible(False)
    _save(figure, path)


def _figure(width: float, height: float) -> tuple[Any, Any]:
    """Returns a figure, inches wide and high, that no global state knows, and its panel."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise EnvironmentProblem(
            f"Plots need matplotlib, which cannot be imported ({error}). Install it: "
            "pip install 'vitsd-export[train]'; or leave the plot out."
        ) from error
    figure = Figure(figsize=(width, height), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots()


def _save(figure: Any, path: Path) -> None:
    with staging(path) as staged:
        figure.savefig(staged, format="png")
        publish(staged, path)
