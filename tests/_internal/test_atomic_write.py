"""Atomic writing."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from vitsd_export._internal.atomic_write import check_target, publish, staging
from vitsd_export.errors import EnvironmentProblem, InputError, UsageError


def write_model(folder: Path, content: str) -> Path:
    """Writes something that passes for a SavedModel."""
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_text(content)
    (folder / "variables" / "weights").write_text(content)
    return folder


def names(folder: Path) -> set[str]:
    """What is in a folder, hidden entries too."""
    return {path.name for path in folder.iterdir()}


def test_a_new_file(tmp_path: Path) -> None:
    target = tmp_path / "x.onnx"
    with staging(target) as staged:
        assert staged.name == "x.onnx"
        staged.write_text("new")
        assert not target.exists()
        publish(staged, target)
    assert target.read_text() == "new"
    assert names(tmp_path) == {"x.onnx"}


def test_a_file_in_place_of_another(tmp_path: Path) -> None:
    target = tmp_path / "x.onnx"
    target.write_text("old")
    with target.open() as reader, staging(target) as staged:
        staged.write_text("new")
        assert target.read_text() == "old"
        publish(staged, target)
        assert reader.read() == "old"
    assert target.read_text() == "new"
    assert names(tmp_path) == {"x.onnx"}


def test_a_file_that_is_not_published_is_removed(tmp_path: Path) -> None:
    target = tmp_path / "x.onnx"
    target.write_text("old")

    def write_and_fail() -> None:
        with staging(target) as staged:
            staged.write_text("new")
            (staged.parent / "more").mkdir()
            raise ValueError("no good")

    with pytest.raises(ValueError, match="no good"):
        write_and_fail()
    assert target.read_text() == "old"
    assert names(tmp_path) == {"x.onnx"}


def test_a_folder_in_place_of_another(tmp_path: Path) -> None:
    target = write_model(tmp_path / "model", "old")
    (target / "stale").write_text("old")
    with staging(target) as staged:
        write_model(staged, "new")
        publish(staged, target)
    assert names(target) == {"saved_model.pb", "variables"}
    assert (target / "variables" / "weights").read_text() == "new"
    assert names(tmp_path) == {"model"}


def test_a_new_folder(tmp_path: Path) -> None:
    target = tmp_path / "model"
    with staging(target) as staged:
        write_model(staged, "new")
        publish(staged, target)
    assert (target / "saved_model.pb").read_text() == "new"
    assert names(tmp_path) == {"model"}


def test_the_old_folder_comes_back_if_the_new_one_cannot_take_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = write_model(tmp_path / "model", "old")
    rename = os.rename

    def refuse_the_new_one(source: Any, destination: Any) -> None:
        if Path(destination) == target and not Path(source).name.endswith(".old"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        rename(source, destination)

    monkeypatch.setattr(os, "rename", refuse_the_new_one)

    def replace() -> None:
        with staging(target) as staged:
            write_model(staged, "new")
            publish(staged, target)

    with pytest.raises(EnvironmentProblem, match=os.strerror(errno.EIO)):
        replace()
    assert (target / "saved_model.pb").read_text() == "old"
    assert (target / "variables" / "weights").read_text() == "old"
    assert names(tmp_path) == {"model"}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_told(tmp_path: Path, number: int) -> None:
    target = tmp_path / "x.onnx"
    with pytest.raises(EnvironmentProblem, match=r"disk is full.*x\.onnx"), staging(target):
        raise OSError(number, os.strerror(number))
    assert names(tmp_path) == set()


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO])
def test_a_refusal_to_write_is_told(tmp_path: Path, number: int) -> None:
    target = tmp_path / "x.onnx"
    with pytest.raises(EnvironmentProblem, match=os.strerror(number)), staging(target):
        raise OSError(number, os.strerror(number))
    assert names(tmp_path) == set()


def test_other_errors_of_the_system_are_not_called_a_problem_of_the_disk(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), staging(tmp_path / "x.onnx"):
        (tmp_path / "missing").read_bytes()


def test_staging_where_nothing_can_be_made() -> None:
    with (
        pytest.raises(EnvironmentProblem, match=r"/dev/null/x\.onnx cannot be written"),
        staging(Path("/dev/null/x.onnx")),
    ):
        pytest.fail("there is no such folder")


def test_good_targets_pass(tmp_path: Path) -> None:
    check_target(tmp_path / "new.onnx", folder=False)
    check_target(tmp_path / "new", folder=True)
    (tmp_path / "old.onnx").write_text("old")
    check_target(tmp_path / "old.onnx", folder=False)
    check_target(write_model(tmp_path / "old", "old"), folder=True)


def test_bad_targets_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere does not exist"):
        check_target(tmp_path / "nowhere" / "x.onnx", folder=False)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"file does not exist|not a folder"):
        check_target(tmp_path / "file" / "x.onnx", folder=False)
    with pytest.raises(UsageError, match="is a folder"):
        check_target(write_model(tmp_path / "model", "old"), folder=False)
    (tmp_path / "other").mkdir()
    for name in ("other", "file"):
        with pytest.raises(UsageError, match="not a SavedModel"):
            check_target(tmp_path / name, folder=True)


def test_a_folder_without_permission_is_refused_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Not by permissions, which do not bind the superuser.
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path)
    with pytest.raises(EnvironmentProblem, match=r"x\.onnx cannot be written: Permission denied"):
        check_target(tmp_path / "x.onnx", folder=False)
