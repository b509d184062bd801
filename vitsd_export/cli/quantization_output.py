"""What the commands `quantize` and `sensitivity` print."""

import math
from typing import Any

from vitsd_export.measure.layer_error import Sensitivity
from vitsd_export.workflows.quantization_search import Quantized


def print_quantized(result: Quantized) -> None:
    """Prints the candidates of a search as a table, and what was written."""
    from rich.markup import escape

    console, table = _table("", "candidate", "top-1 drop", "agreement", "time", "size", "")
    outcome = result.outcome
    reasons = []
    for trial in outcome.trials:
        figures, drop = trial.figures, outcome.drop(trial)
        name = escape(trial.candidate.name)
        if figures is None or drop is None:
            table.add_row("", f"[dim]{name}[/]", "[dim]not possible[/]", "", "", "", "")
            reasons.append(f"{trial.candidate.name}: {trial.reason}")
            continue
        is_best = trial.candidate == outcome.best
        table.add_row(
            "[green]✓[/]" if drop <= outcome.max_drop + 1e-3 else "[red]✗[/]",
            name,
            f"{drop:+.2f}",
            f"{figures.agreement:.2%}",
            f"{figures.latency_ratio:.2f}×",
            f"{figures.bytes / 1e6:.2f} MB",
            "best" if is_best else "pareto" if trial.candidate in outcome.pareto else "",
            style="bold" if is_best else None,
        )
    console.print(table)
    for reason in reasons:
        console.print(reason, soft_wrap=True, markup=False)
    console.print(
        f"On {result.images}; time of a call of one image on one thread by that of float32. Allowed drop: "
        f"{outcome.max_drop:g} points; least {outcome.objective} wins.",
        soft_wrap=True,
    )
    path = result.exported.path
    console.print(f"Written: {path}, {outcome.best.name}", soft_wrap=True, markup=False)


def print_sensitivity(sensitivity: Sensitivity) -> None:
    """Prints the layers of an artifact, the worst first."""
    console, table = _table("layer", "SQNR", "max abs difference")
    for layer in sensitivity.layers:
        ratio = f"{layer.sqnr:.1f} dB" if math.isfinite(layer.sqnr) else _endless(layer.sqnr)
        table.add_row(layer.name, ratio, f"{layer.max_abs_difference:.3g}")
    console.print(table)
    if sensitivity.missing:
        console.print(f"Not in the artifact: {', '.join(sensitivity.missing)}", soft_wrap=True)
    console.print(f"On {sensitivity.images} images; noise adds up from layer to layer.")


def _endless(ratio: float) -> str:
    return "equal" if ratio > 0 else "not finite"


def _table(*headings: str) -> tuple[Any, Any]:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in headings:
        is_text = heading in ("", "candidate", "layer")
        table.add_column(heading, justify="left" if is_text else "right", overflow="fold")
    return Console(highlight=False), table
