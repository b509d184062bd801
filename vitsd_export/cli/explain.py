"""`explain`."""

from typing import Any

from vitsd_export.cli.options import Loading, ModelArgument, NoRewrite
from vitsd_export.cli.output import new_table, print_json, show_progress
from vitsd_export.cli.state import State
from vitsd_export.pretrained import DEFAULT_MODEL


def explain(
    *,
    model: ModelArgument = DEFAULT_MODEL,
    loading: Loading,
    no_rewrite: NoRewrite = None,
) -> None:
    """Shows what each rewrite removes from a model, and the roofline of the lowered graph."""
    from vitsd_export.workflows.explain_lowering import explain_lowering

    with show_progress() as progress:
        explanation = explain_lowering(
            model, without_rewrites=no_rewrite or (), progress=progress, **loading.options
        )
    if State.json:
        print_json(explanation.to_dict())
    else:
        _print_explanation(explanation)


def _print_explanation(explanation: Any) -> None:
    headings = ("", "multiply-adds", "weights", "operators", "read per image", "limit")
    console, table = new_table(*headings, numbers=range(1, 6))
    if explanation.reason is not None:
        reason = explanation.reason
        console.print(f"{explanation.model} is exported as it is: {reason}.", soft_wrap=True)
        return
    table.columns[0].no_wrap = True
    table.add_row("as trained", *_cells(explanation.trained), end_section=True)
    for step in explanation.steps:
        if step.reason is None:
            table.add_row(step.name, *_cells(step.removed, is_removed=True))
        else:
            table.add_row(f"[dim]{step.name}[/]", "[dim]not applied[/]", "", "", "", "")
    table.add_section()
    table.add_row("lowered", *_cells(explanation.lowered), style="bold")
    console.print(table)
    for step in explanation.steps:
        note = step.summary if step.reason is None else f"not applied: {step.reason}"
        console.print(f"{step.name}: {note}", soft_wrap=True)
    machine = explanation.machine
    console.print(
        f"\nThe limit is for {machine.threads} thread at {machine.flops / 1e9:.0f} GFLOP/s and "
        f"{machine.bandwidth / 1e9:.1f} GB/s, measured just now.",
        soft_wrap=True,
    )


def _cells(stage: Any, *, is_removed: bool = False) -> list[str]:
    """Returns the figures of a stage; of what was removed with the sign turned, and empty for nothing."""

    def cell(value: float, pattern: str, unit: str = "") -> str:
        if not is_removed:
            return f"{value:{pattern}}{unit}"
        return f"{-value:+{pattern}}{unit}" if value else ""

    return [
        cell(stage.multiply_adds / 1e6, ".2f", " M"),
        cell(stage.weights, ",d"),
        cell(stage.operators, "d"),
        cell(stage.bytes / 1e6, ".2f", " MB"),
        cell(stage.milliseconds, ".3f", " ms"),
    ]
