"""`schemes`."""

from vitsd_export.cli.output import new_table, print_json
from vitsd_export.cli.state import State


def schemes() -> None:
    """Lists the numeric schemes: how each stores weights, and where its files run."""
    from vitsd_export.artifact.formats import FORMATS
    from vitsd_export.quantization.schemes import SCHEMES, schemes_of

    if State.json:
        print_json([scheme.to_dict() for scheme in SCHEMES.values()])
        return
    # A column for each format that leaves a choice.
    formats = [form for form in FORMATS.values() if len(schemes_of(form.name)) > 1]
    titles = (form.title for form in formats)
    console, table = new_table("scheme", "weights", "computed with", *titles)
    for scheme in SCHEMES.values():
        runs_on = (scheme.runs_on.get(form.name, "no") for form in formats)
        table.add_row(scheme.name, scheme.weights, scheme.activations, *runs_on)
    console.print(table)
