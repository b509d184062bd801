"""Reading recipes: TOML files, and the changes that the command line makes to them."""

import itertools
import tomllib
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from training.recipes.fields import parse_value
from training.recipes.schema import Recipe, field_types, recipe_of
from vitsd_export._internal.suggestions import nearest
from vitsd_export.errors import InputError, UsageError

# What people type for the field's own name.
_ALIASES = {"lr": "learning_rate", "wd": "weight_decay"}


def recipe_names() -> list[str]:
    """Returns the names `load_recipe` accepts."""
    files = resources.files(__package__).iterdir()
    return sorted(file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml"))


def recipe_description(name: str) -> str:
    """Returns what the comment at the head of a named recipe's file says.

    Raises:
        UsageError: If there is no recipe of that name.
    """
    lines = _named_text(name).splitlines()
    comment = itertools.takewhile(lambda line: line.startswith("#"), lines)
    return " ".join(line.lstrip("# ") for line in comment)


def load_recipe(name: str) -> Recipe:
    """Reads a recipe: a TOML file beside this module by its name without suffix, or one by its path.

    Raises:
        UsageError: If there is no recipe of that name.
        InputError: If the file of that path cannot be read, or does not hold a recipe.
    """
    if not name.endswith(".toml"):
        return _parse(_named_text(name), f"The recipe {name}")
    try:
        text = Path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"The recipe {name} cannot be read: {error}.") from error
    return _parse(text, name)


def with_changes(recipe: Recipe, changes: Sequence[str]) -> Recipe:
    """Returns a recipe in which fields are set as on the command line.

    Args:
        recipe: The recipe to start from.
        changes: `field=value` each, the field by its dotted name, such as `optimizer.lr=2e-3`; of two for
            the same field the last counts.

    Raises:
        UsageError: If there is no such field, or it cannot have that value.
    """
    values = _flatten(recipe.to_dict())
    for change in changes:
        name, separator, text = change.partition("=")
        if not separator:
            raise UsageError(f"--set takes FIELD=VALUE, such as optimizer.lr=2e-3, not {change!r}.")
        values |= _entry(name.strip(), text.strip())
    return recipe_of(values)


def _named_text(name: str) -> str:
    if name not in recipe_names():
        raise UsageError(
            f"There is no recipe {name!r}.{nearest(name, recipe_names())} Recipes: "
            f"{', '.join(recipe_names())}, or the path of a .toml file."
        )
    return (resources.files(__package__) / f"{name}.toml").read_text(encoding="utf-8")


def _entry(name: str, value: Any) -> dict[str, Any]:
    """Returns a field's full name with its value in its type."""
    types = field_types()
    section, _, field = name.rpartition(".")
    full = f"{section}.{_ALIASES.get(field, field)}" if section else name
    if full not in types:
        meant = _ALIASES.get(field, full)
        raise UsageError(
            f"Recipes have no field {name!r}.{nearest(meant, types)} `python -m training recipes` shows "
            "them all."
        )
    return {full: parse_value(full, value, types[full])}


def _parse(text: str, source: str) -> Recipe:
    values: dict[str, Any] = {}
    try:
        for name, value in _flatten(tomllib.loads(text)).items():
            values |= _entry(name, value)
        return recipe_of(values)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{source} is not TOML: {error}.") from error
    except UsageError as error:
        raise InputError(f"{source}: {error}") from error


def _flatten(nested: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in nested.items():
        if isinstance(value, Mapping):
            flat |= {f"{name}.{part}": entry for part, entry in value.items()}
        else:
            flat[name] = value
    return flat
