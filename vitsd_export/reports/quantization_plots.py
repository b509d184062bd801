"""Pictures of what quantization costs."""

from pathlib import Path

from vitsd_export.measure.layer_error import Sensitivity
from vitsd_export.quantization.search import Outcome
from vitsd_export.reports.drawing import BLUE, GREY, ORANGE, drawing, new_figure, write_png

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
    with drawing():
        figure, axes = new_figure(8.0, max(_FEWEST_INCHES, 1.2 + 0.22 * len(layers)))
        lengths = [
            longest if layer.sqnr == float("inf") else max(layer.sqnr, 0.0) for layer in layers
        ]
        colours = [ORANGE if layer.name in worst else BLUE for layer in layers]
        axes.barh(range(len(layers)), lengths, color=colours)
        for row, layer in enumerate(layers):
            axes.text(lengths[row], row, f" {layer.sqnr:.1f}", va="center", fontsize=7)
        axes.set_yticks(range(len(layers)), [layer.name for layer in layers], fontsize=7)
        axes.invert_yaxis()
        axes.set_xlabel("signal-to-quantization-noise ratio of the output, dB")
        axes.set_title(f"{title}, {sensitivity.images} images", fontsize=10)
        axes.margins(x=0.08, y=0.01)
        write_png(figure, path)


def write_pareto_plot(outcome: Outcome, path: Path, title: str) -> None:
    """Writes a PNG of the candidates of a search: loss against time, the area of a point its file.

    Points are numbered; names and sizes stand beside the panel, because good candidates lie close together.

    Raises:
        EnvironmentProblem: If matplotlib is missing, or the file cannot be written.
    """
    with drawing():
        figure, axes = new_figure(10.0, 5.5)
        points = [
            (candidate, figures, outcome.drop(candidate))
            for candidate, figures in outcome.measured.items()
        ]
        largest = max(figures.bytes for _, figures, _ in points)
        lines = []
        for number, (candidate, figures, drop) in enumerate(points, start=1):
            is_front, is_best = candidate in outcome.pareto, candidate == outcome.best
            axes.scatter(
                figures.latency_ratio,
                drop,
                s=30 + 400 * figures.bytes / largest,
                color=BLUE if is_front else GREY,
                alpha=0.6,
                edgecolors=ORANGE if is_best else "none",
                linewidths=2.5,
            )
            # Every other number above, so that two neighbours can be read.
            shift = (6, 6) if number % 2 else (6, -12)
            where = (figures.latency_ratio, drop)
            axes.annotate(str(number), where, xytext=shift, textcoords="offset points", fontsize=8)
            mark = " (best)" if is_best else ""
            lines.append(f"{number}  {candidate.name}, {figures.bytes / 1e6:.2f} MB{mark}")
        axes.text(1.02, 1.0, "\n".join(lines), transform=axes.transAxes, va="top", fontsize=8)
        axes.axhline(outcome.space.max_drop, color=ORANGE, linestyle=":", linewidth=1)
        axes.set_xlabel("time of a call, by that of float32")
        axes.set_ylabel("loss of top-1 accuracy, percentage points")
        axes.set_title(f"{title}: no other equals or beats a blue one", fontsize=10)
        axes.grid()
        axes.margins(0.15)
        write_png(figure, path)
