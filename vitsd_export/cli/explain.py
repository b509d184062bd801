"""`explain`."""

from typing import Annotated, Any

import typer

from vitsd_export.cli.groups import Loading, grouped
from vitsd_export.cli.options import (
    Debug,
    Json,
    NoRewrite,
)
from vitsd_export.cli.output import print_json, show_progress
from vitsd_export.cli.state import State
from vitsd_export.pretrained import DEFAULT_MODEL


@grouped
def explain(
    *,
    model: Annotated[
        str, typer.Argument(help="Any source that --model accepts; see `vitsd-export onnx --help`.")
    ] = DEFAULT_MODEL,
    loading: Loading,
    no_rewrite: NoRewrite = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Shows what each rewrite removes from a model, and the roofline of the lowered graph."""
    from vitsd_export.workflows.explain_lowering import explain_lowering

    with show_progress() as progress:
        explanation = explain_lowering(
            model,
            preset=loading.preset,
            **loading.options,
            without_rewrites=no_rewrite or (),
            progress=progress,
        )
    if State.json:
        print_json(explanation.to_dict())
    else:
        _print_explanation(explanation)


def _print_explanation(explanation: Any) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    if explanation.reason is not None:
        reason = explanation.reason
        console.print(f"{explanation.model} is exported as it is: {reason}.", soft_wrap=True)
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    headings = ("multiply-adds", "weights", "operators", "read per image", "limit")
    for heading in ("", *headings):
        table.add_column(heading, justify="right" if heading else "left", no_wrap=not heading)
    table.add_row("as trained", *_stage_cells(explanation.trained, ""), end_section=True)
    for step in explanation.steps:
        if step.reason is None:
            table.add_row(step.name, *_stage_cells(step.removed, "-"))
        else:
            table.add_row(f"[dim]{step.name}[/]", *["[dim]not applied[/]"], "", "", "", "")
    table.add_section()
    table.add_row("lowered", *_stage_cells(explanation.lowered, ""), style="bold")
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


def _stage_cells(stage: Any, sign: str) -> list[str]:
    """The figures of a stage; with the sign turned where it is what was removed."""
    turn = -1 if sign else 1
    form = "+" if sign else ""

    def cell(value: float, pattern: str) -> str:
        # Not "-0".
        return "" if sign and not value else f"{turn * value:{form}{pattern}}"

    return [
        cell(stage.multiply_adds / 1e6, ".2f") and f"{cell(stage.multiply_adds / 1e6, '.2f')} M",
        cell(stage.weights, ",d"),
        cell(stage.operators, "d"),
        cell(stage.bytes / 1e6, ".2f") and f"{cell(stage.bytes / 1e6, '.2f')} MB",
        cell(stage.milliseconds, ".3f") and f"{cell(stage.milliseconds, '.3f')} ms",
    ]


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(explain)
