"""mkdocs hook: generates the reference of commands and of the Python API from the code itself."""

import html
import importlib
import inspect
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

# Page, title, program as typed, module and attribute of its typer application, introduction.
_PROGRAMS = (
    (
        "reference/commands.md",
        "Commands",
        "vitsd-export",
        "vitsd_export.cli",
        "Every command accepts `--json` and `--debug`; none asks a question.",
    ),
    (
        "reference/training-commands.md",
        "Training commands",
        "python -m training",
        "training.__main__",
        "Run from a checkout after `pip install '.[train]'`.",
    ),
    (
        "reference/benchmark-commands.md",
        "Benchmark commands",
        "python -m benchmarks",
        "benchmarks.__main__",
        "Run from a checkout.",
    ),
)
_API_PAGE = "reference/python-api.md"
_API_INTRODUCTION = """\
# Python API

Everything below is imported from `vitsd_export` itself:

```python
from vitsd_export import Classifier, inspect_artifact, verify_all
```

`import vitsd_export` does not import TensorFlow. A name is loaded when it is first used, and code that only
runs an ONNX or LiteRT artifact never loads TensorFlow.
"""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the generated pages."""
    # `training` and `benchmarks` are in the checkout alone, where the command `mkdocs` does not look. Not at
    # the top of this file: mkdocs restores the path after it has loaded a hook.
    root = str(Path(__file__).parents[2])
    if root not in sys.path:
        sys.path.insert(0, root)
    for page, title, program, module, introduction in _PROGRAMS:
        app = importlib.import_module(module).app
        content = "\n\n".join(_program(typer.main.get_command(app), program, title, introduction))
        files.append(File.generated(config, page, content=content))
    files.append(File.generated(config, _API_PAGE, content=_api()))
    return files


def _program(group: Any, program: str, title: str, introduction: str) -> Iterator[str]:
    """Yields the parts of a page on a program and its commands."""
    yield f"# {title}"
    if group.help:
        yield inspect.cleandoc(group.help)
    yield introduction
    own = [each for each in group.params if each.name != "help"]
    if own:
        context = group.make_context(program, [], resilient_parsing=True)
        yield f"```\n{program} [OPTIONS] [COMMAND]\n```"
        yield from _parameters(own, context)
    for name, command in group.commands.items():
        context = command.make_context(f"{program} {name}", [], resilient_parsing=True)
        usage = " ".join(
            each.name.upper() + ("..." if each.nargs == -1 else "") for each in _arguments(command)
        )
        # An anchor of its own, so that other pages can link to a command.
        yield f"## {name} {{ #{name} }}"
        yield inspect.cleandoc(command.help or "")
        yield f"```\n{program} {name} [OPTIONS] {usage}".rstrip() + "\n```"
        yield from _parameters(command.params, context)


def _arguments(command: Any) -> list[Any]:
    return [each for each in command.params if each.param_type_name == "argument"]


def _parameters(parameters: Iterable[Any], context: Any) -> Iterator[str]:
    """Yields a table for each group of parameters, under the group's name where it has one."""
    groups: dict[str, list[str]] = {}
    for each in parameters:
        record = each.get_help_record(context)
        if record is None:
            continue
        spelling, text = record
        panel = getattr(each, "rich_help_panel", None) or ""
        groups.setdefault(panel, []).append(f"| <code>{_cell(spelling)}</code> | {_cell(text)} |")
    for panel, rows in groups.items():
        if panel:
            yield f"**{panel}**"
        yield "\n".join(("| option | meaning |", "| --- | --- |", *rows))


def _cell(text: str) -> str:
    """Returns text for a cell of a table, with what Markdown would take for markup as entities."""
    text = html.escape(" ".join(text.split()), quote=False)
    for character in "|*_[]":
        text = text.replace(character, f"&#{ord(character)};")
    return text


def _api() -> str:
    """Returns the page of the public API: functions, classes, then errors, each group by name."""
    package = importlib.import_module("vitsd_export")
    groups: dict[str, list[str]] = {"Functions": [], "Classes": [], "Errors": []}
    for name in package.__all__:
        member = getattr(package, name)
        if not inspect.isclass(member):
            group = "Functions"
        elif issubclass(member, Exception):
            group = "Errors"
        else:
            group = "Classes"
        groups[group].append(
            f"::: {member.__module__}.{member.__qualname__}\n"
            f"    options:\n      heading: {name}\n      toc_label: {name}"
        )
    sections = [f"## {title}\n\n" + "\n\n".join(entries) for title, entries in groups.items()]
    return "\n\n".join((_API_INTRODUCTION, *sections))
