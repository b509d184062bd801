"""What a run that was broken off leaves behind, and who may use it."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.suite.state import State, candidate_digest
from tests.support.stored_results import some_row
from vitsd_export.errors import EnvironmentProblem
from vitsd_export.measure.benchmark.results import Row

_RUN: dict[str, Any] = {"model": "a", "settings": {"rounds": 5}}


@pytest.fixture
def row(tmp_path: Path) -> Row:
    artifact = tmp_path / "file.onnx"
    artifact.write_bytes(b"weights")
    return some_row(path=str(artifact))


def _state(path: Path, row: Row, run: dict[str, Any] = _RUN, started: str = "later") -> State:
    return State(path, run, [row.candidate], started)


def test_rows_come_back_whole(tmp_path: Path, row: Row) -> None:
    path = tmp_path / "state.json"
    first = _state(path, row, started="first")
    assert first.rows == {}
    first.keep(row)
    second = _state(path, row)
    assert second.rows == {row.candidate.name: row}
    assert second.started == "first"


def test_later_row_of_a_candidate_replaces_the_earlier(tmp_path: Path, row: Row) -> None:
    path = tmp_path / "state.json"
    state = _state(path, row)
    state.keep(Row(row.candidate))
    state.keep(row)
    assert _state(path, row).rows == {row.candidate.name: row}


def test_other_settings_begin_anew(tmp_path: Path, row: Row) -> None:
    path = tmp_path / "state.json"
    _state(path, row).keep(row)
    other = _state(path, row, {**_RUN, "settings": {"rounds": 6}})
    assert (other.rows, other.started) == ({}, "later")


def test_other_file_is_measured_again(tmp_path: Path, row: Row) -> None:
    path = tmp_path / "state.json"
    _state(path, row).keep(row)
    (tmp_path / "file.onnx").write_bytes(b"other weights")
    assert _state(path, row).rows == {}


def test_failure_is_tried_again(tmp_path: Path, row: Row) -> None:
    path = tmp_path / "state.json"
    _state(path, row).keep(Row(row.candidate, failure="crashed"))
    assert _state(path, row).rows == {}


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"run": 1}', '{"run": "x", "rows": 3, "started": ""}']
)
def test_damaged_state_is_as_good_as_none(tmp_path: Path, row: Row, text: str) -> None:
    path = tmp_path / "state.json"
    _state(path, row).keep(row)
    if text.startswith('{"run": "x"'):
        key = json.loads(path.read_text(encoding="utf-8"))["run"]
        text = text.replace("x", key)
    path.write_text(text, encoding="utf-8")
    state = _state(path, row)
    assert state.rows == {}
    state.keep(row)
    assert _state(path, row).rows


def test_cleared_state_is_gone(tmp_path: Path, row: Row) -> None:
    path = tmp_path / "state.json"
    state = _state(path, row)
    state.keep(row)
    state.clear()
    assert not path.exists()
    state.clear()
    assert _state(path, row).rows == {}


def test_state_that_cannot_be_written_is_told(tmp_path: Path, row: Row) -> None:
    with pytest.raises(EnvironmentProblem):
        _state(tmp_path / "missing" / "state.json", row).keep(row)


def test_digest_of_a_folder_sees_every_file(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(b"graph")
    candidate = some_row(path=str(folder)).candidate
    digests = [candidate_digest(candidate)]
    (folder / "variables" / "data").write_bytes(b"weights")
    digests.append(candidate_digest(candidate))
    (folder / "variables" / "data").rename(folder / "variables" / "index")
    digests.append(candidate_digest(candidate))
    assert len(set(digests)) == 3
