"""The committed description of results.json."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import tests.support.benchmark_results as examples
from vitsd_export.measure.benchmark.results import Results, read_results, write_results
from vitsd_export.reports.schema import schema_text

COMMITTED = Path("benchmarks/results/schema.json")


def test_the_committed_schema_is_current() -> None:
    assert COMMITTED.read_text("utf-8") == schema_text(), (
        f"write it anew: python -m vitsd_export.reports.schema {COMMITTED}"
    )


def test_the_schema_names_every_field() -> None:
    schema = json.loads(schema_text())
    assert set(schema["properties"]) == {field.name for field in dataclasses.fields(Results)}


def test_the_command_writes_it(tmp_path: Path) -> None:
    target = tmp_path / "schema.json"
    subprocess.run(
        [sys.executable, "-m", "vitsd_export.reports.schema", str(target)], check=True, timeout=60
    )
    assert target.read_text("utf-8") == schema_text()


def test_examples_survive_the_file(tmp_path: Path) -> None:
    for number, (name, run) in enumerate(examples.unusual().items()):
        path = tmp_path / f"{number}.json"
        write_results(run, path)
        again = read_results(path)
        assert again.rows == run.rows, name
        assert again.machine == run.machine
