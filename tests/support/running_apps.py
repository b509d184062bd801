"""Runs an app as a user does, in a process of its own."""

import json
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

Answers = dict[str, dict[str, float]]


class Ended(NamedTuple):
    """How an app ended."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def answers(self) -> Answers:
        """What it printed with --json: the classes of each picture."""
        lines = map(json.loads, self.stdout.splitlines())
        return {line["image"]: line["classes"] for line in lines}

    @property
    def errors(self) -> list[str]:
        """Its complaints, after checking that there is no trace of a crash."""
        assert "Traceback" not in self.stderr
        assert "    at " not in self.stderr
        return [line for line in self.stderr.splitlines() if line.startswith("error: ")]


def run_app(command: Sequence[object], *arguments: object, folder: Path | None = None) -> Ended:
    """Runs a command; it may take two minutes."""
    process = subprocess.run(
        [*map(str, command), *map(str, arguments)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return Ended(process.returncode, process.stdout, process.stderr)


def largest_difference(answers: Answers, reference: Answers) -> float:
    """Largest difference of a probability, after checking pictures, classes and the first label."""
    assert answers.keys() == reference.keys()
    for image, classes in reference.items():
        assert answers[image].keys() == classes.keys()
        assert next(iter(answers[image])) == next(iter(classes))
    return max(_differences(answers, reference))


def _differences(answers: Answers, reference: Answers) -> Iterable[float]:
    for image, classes in reference.items():
        yield from (abs(answers[image][label] - value) for label, value in classes.items())
