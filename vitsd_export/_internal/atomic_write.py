"""Atomic writing: a target holds either the old artifact or the new one, whole."""

import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from vitsd_export.errors import EnvironmentProblem, InputError, UsageError

_FULL = (errno.ENOSPC, errno.EDQUOT)
_REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO, errno.EFBIG)


def _problem(error: OSError, target: Path) -> EnvironmentProblem:
    if error.errno in _FULL:
        return EnvironmentProblem(
            f"The disk is full; {target} was not written. Free some space and run this again."
        )
    return EnvironmentProblem(
        f"{target} cannot be written: {error.strerror or error}. Check the folder's permissions, or "
        "choose another --output."
    )


def check_target(target: Path, *, folder: bool) -> None:
    """Checks that an artifact, a file or a SavedModel folder, can be written before time is spent on it.

    Raises:
        InputError: If the folder around it does not exist.
        UsageError: If something lies there that is not an artifact of this kind.
        EnvironmentProblem: If the folder around it cannot be written to.
    """
    parent = target.parent
    try:
        if not parent.is_dir():
            raise InputError(f"The output folder {parent} does not exist. Create it first.")
        if not folder and target.is_dir():
            raise UsageError(f"{target} is a folder; give the name of a file.")
        if folder and target.exists() and not (target / "saved_model.pb").is_file():
            raise UsageError(
                f"{target} exists and is not a SavedModel; it is not overwritten. Choose another "
                "--output."
            )
    except OSError as error:
        # A name that is too long, or a folder that cannot be entered.
        raise _problem(error, target) from error
    if not os.access(parent, os.W_OK | os.X_OK):
        raise _problem(PermissionError(errno.EACCES, os.strerror(errno.EACCES)), target)


def check_new_folder(target: Path, *, force: bool = False) -> None:
    """Checks that a folder of files can be written: it is not there yet, or empty, or `force` is given.

    Raises:
        InputError: If the folder around it does not exist.
        UsageError: If it is a file, or holds something and `force` is not given.
        EnvironmentProblem: If the folder around it cannot be written to.
    """
    if not target.exists():
        check_target(target, folder=True)
    elif not target.is_dir():
        raise UsageError(f"{target} is a file; give the name of a folder.")
    elif any(target.iterdir()) and not force:
        raise UsageError(
            f"The folder {target} is not empty. Choose another --output, or --force where the command "
            "has it."
        )


@contextlib.contextmanager
def staging(target: Path) -> Iterator[Path]:
    """Yields a path beside the target to write to; what is left there is removed in the end.

    Raises:
        EnvironmentProblem: If the folder cannot be written to, or the disk is full.
    """
    try:
        folder = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        raise _problem(error, target) from error
    try:
        yield folder / target.name
    except OSError as error:
        if error.errno in (*_FULL, *_REFUSED):
            raise _problem(error, target) from error
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_file(target: Path, content: bytes | str) -> None:
    """Writes a file, text in UTF-8.

    Raises:
        EnvironmentProblem: If it cannot be written.
    """
    try:
        with staging(target) as staged:
            staged.write_bytes(content.encode() if isinstance(content, str) else content)
            publish(staged, target)
    except OSError as error:
        raise _problem(error, target) from error


def publish(staged: Path, target: Path) -> None:
    """Gives a staged file or folder the target's name.

    A folder cannot replace another in one step: the old one is moved into the staging folder first
    and moved back if the second step fails.
    """
    if not staged.is_dir():
        os.replace(staged, target)
        return
    if not target.exists():
        os.rename(staged, target)
        return
    old = staged.with_name(f"{staged.name}.old")
    os.rename(target, old)
    try:
        os.rename(staged, target)
    except OSError:
        os.rename(old, target)
        raise


def publish_folder(staged: Path, target: Path) -> None:
    """Gives a staged folder the target's name, or moves its files into the folder that is there.

    Files of the same names are replaced, one after another; others stay.
    """
    if not target.exists():
        os.rename(staged, target)
        return
    for path in staged.iterdir():
        if path.is_dir():
            publish_folder(path, target / path.name)
        else:
            os.replace(path, target / path.name)
