"""What README and docs tell people to type exists."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

import benchmarks.__main__
import training.__main__
import vitsd_export.cli

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md")))
PROGRAMS: dict[str, Any] = {
    "vitsd-export": typer.main.get_command(vitsd_export.cli.app),
    "-m training": typer.main.get_command(training.__main__.app),
    "-m benchmarks": typer.main.get_command(benchmarks.__main__.app),
}
# What stands for any of several in an example.
PLACEHOLDERS = {"…", "LANGUAGE"}


def options_of(command: Any) -> set[str]:
    found = {spelling for each in command.params for spelling in (*each.opts, *each.secondary_opts)}
    return found | {"--help"}


def commands_in(text: str) -> Iterator[tuple[str, list[str]]]:
    """Yields program and words of every command line in a page's code."""
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    lines += re.findall(r"`([^`\n]+)`", text)
    for line in lines:
        found = re.search(r"(?:^|[/\s])(vitsd-export|-m training|-m benchmarks) ([^#]+)", line)
        if found:
            yield found[1], found[2].split()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_and_options_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for program, words in commands_in(text):
        command = PROGRAMS[program]
        if not words[0].startswith("-"):
            if words[0] in PLACEHOLDERS:
                continue
            assert words[0] in command.commands, f"{program} {words[0]}"
            command = command.commands[words[0]]
        used = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
        assert used <= options_of(command), f"{program} {' '.join(words)}"
    every = [each for group in PROGRAMS.values() for each in (group, *group.commands.values())]
    known = set().union(*map(options_of, every))
    assert set(re.findall(r"`(--[a-z-]+)", text)) <= known


def test_every_command_has_a_mention() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    for name in PROGRAMS["vitsd-export"].commands:
        assert f"vitsd-export {name}" in text or f"commands.md#{name}" in text, name
