"""Runs the command line inside the test process, because importing TensorFlow takes seconds."""

import contextlib
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple
from unittest import mock

import pytest

from tests.support.made_once import made_once


class Outcome(NamedTuple):
    """How a command ended.

    Attributes:
        exit_code: What the process would have exited with.
        stdout: What went to standard output, from native code too.
        stderr: What went to standard error, from native code too.
    """

    exit_code: int
    stdout: str
    stderr: str

    @property
    def error(self) -> str:
        """The one paragraph by which a command tells its error, after checking that it is one."""
        assert "Traceback" not in self.stderr
        lines = self.stderr.splitlines()
        assert [line for line in lines if line.startswith("error: ")] == lines[-1:], self.stderr
        return lines[-1].removeprefix("error: ")


class Artifacts(NamedTuple):
    """The files of one `vitsd-export all --json`.

    Attributes:
        folder: Where they lie, and nothing else.
        outcome: How the command ended.
        saved_model: SavedModel folder.
        tflite: LiteRT file in float32.
        int8: LiteRT file in int8.
        onnx: ONNX file in float32.
        onnx_int8: ONNX file in int8.
    """

    folder: Path
    outcome: Outcome
    saved_model: Path
    tflite: Path
    int8: Path
    onnx: Path
    onnx_int8: Path


def run_command(*arguments: object) -> Outcome:
    """Runs `vitsd-export` with arguments; an exception it does not handle is raised."""
    from vitsd_export import cli

    exit_code: object = None
    with (
        mock.patch.object(sys, "argv", ["vitsd-export", *map(str, arguments)]),
        mock.patch.object(sys, "excepthook", sys.excepthook),
        mock.patch.object(cli.State, "json", False),
        mock.patch.object(cli.State, "debug", False),
        _captured(1, "stdout") as stdout,
        _captured(2, "stderr") as stderr,
    ):
        try:
            cli.main()
        except SystemExit as error:
            exit_code = error.code
        texts = [_text(stdout), _text(stderr)]
    assert exit_code is None or isinstance(exit_code, int)
    return Outcome(exit_code or 0, *texts)


def export_everything(model: Path | str, stem: str, folder: Path, *options: object) -> Artifacts:
    """Runs `vitsd-export all --json` on a model."""
    outcome = run_command("all", "--model", model, "--output-dir", folder, "--json", *options)
    assert outcome.exit_code == 0, outcome.stderr
    return artifacts_in(folder, stem, outcome)


def artifacts_in(folder: Path, stem: str, outcome: Outcome) -> Artifacts:
    """Names the files that `vitsd-export all` writes."""
    return Artifacts(
        folder,
        outcome,
        folder / f"{stem}-saved-model",
        folder / f"{stem}.tflite",
        folder / f"{stem}-int8.tflite",
        folder / f"{stem}.onnx",
        folder / f"{stem}-int8.onnx",
    )


def export_everything_once(
    factory: pytest.TempPathFactory, name: str, model: Path | str, stem: str
) -> Artifacts:
    """Like `export_everything`, in one process of the test run for all of them."""

    def export(folder: Path) -> None:
        outcome = export_everything(model, stem, folder / "out").outcome
        (folder / "outcome.json").write_text(json.dumps(outcome), encoding="utf-8")

    folder = made_once(factory, name, export)
    outcome = Outcome(*json.loads((folder / "outcome.json").read_text(encoding="utf-8")))
    return artifacts_in(folder / "out", stem, outcome)


@contextlib.contextmanager
def _captured(descriptor: int, name: str) -> Iterator[IO[bytes]]:
    """Sends a standard stream, both Python's object and the descriptor, to a file."""
    getattr(sys, name).flush()
    saved = os.dup(descriptor)
    try:
        with tempfile.TemporaryFile() as file:
            os.dup2(file.fileno(), descriptor)
            stream = open(os.dup(descriptor), "w", encoding="utf-8", buffering=1)  # noqa: SIM115
            with stream, mock.patch.object(sys, name, stream):
                yield file
    finally:
        os.dup2(saved, descriptor)
        os.close(saved)


def _text(file: IO[bytes]) -> str:
    sys.stdout.flush()
    sys.stderr.flush()
    file.seek(0)
    return file.read().decode()
