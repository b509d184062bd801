"""The command `python -m training recipes`."""

import json as json_format
import operator
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Adds the command to an application."""
    app.command(name="recipes")(recipes)


def recipes(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Recipes or .toml files to show. Default: all recipes."),
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document on standard output.")
    ] = False,
) -> None:
    """Shows the fields of the recipes, with the names that --set accepts."""
    from rich.console import Console
    from rich.table import Table

    from training.recipes import field_types, load_recipe, recipe_description, recipe_names

    loaded = {name: load_recipe(name) for name in names or recipe_names()}
    if json:
        document = {name: recipe.to_dict() for name, recipe in loaded.items()}
        print(json_format.dumps(document, indent=2))
        return
    table = Table("field", *loaded)
    for field in field_types():
        value_of = operator.attrgetter(field)
        table.add_row(field, *(str(value_of(recipe)) for recipe in loaded.values()))
    # A path may have brackets, which are no markup.
    console = Console(highlight=False, markup=False)
    console.print(table)
    for name in loaded:
        if not name.endswith(".toml"):
            console.print(f"{name}: {recipe_description(name)}", soft_wrap=True)
