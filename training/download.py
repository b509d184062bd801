"""Fetches CIFAR into Keras's cache, where it is missing or an interrupted download left a part."""

import contextlib
import http.client
import os
import shutil
import socket
import sys
import tarfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from training.backend import import_keras
from vitsd_export.data.cifar import CIFAR_LAYOUTS, keras_cache
from vitsd_export.data.originals import ORIGINALS, CifarName
from vitsd_export.errors import EnvironmentProblem

# The Python version, which Keras downloads.
_ORIGINALS = {original.name: original for original in ORIGINALS if original.version == "python"}
_MEGABYTES = 170
# The archive, and its files beside it.
_NEEDED_BYTES = 400 * 10**6
# Keras sets none: a network that swallows packets would hold the process up for ever.
_SILENCE_SECONDS = 60.0
# ValueError: another SHA-256 than expected. The others: network, disk, archive.
_FETCH_ERRORS = (
    ValueError,
    OSError,
    EOFError,
    http.client.HTTPException,
    tarfile.TarError,
    zlib.error,
)


def is_keras_own(path: Path, name: CifarName) -> bool:
    """Tells whether a path is where Keras itself downloads a data set to, or unpacks it."""
    folder, archive = _own_files(name)
    return path in (archive, folder) or folder in path.parents


def download_cifar(name: CifarName, tell: Callable[[str], None]) -> None:
    """Downloads CIFAR-10 or CIFAR-100 through `keras.datasets`, which checks its SHA-256.

    Keras writes the archive under its final name and checks it there, and unpacks it each time it is
    asked: what a killed process has left is told by the digest, or overwritten. `tell` is called before
    the download starts.

    Raises:
        EnvironmentProblem: If it cannot be had or written: no network, another file than expected, no
            permission, or a full disk.
    """
    cache = keras_cache()
    folder, archive = _own_files(name)
    _check_room(cache, name)
    tell(
        f"{name} is missing or incomplete in the Keras cache {cache}: downloading it with "
        f"keras.datasets, about {_MEGABYTES} MB, once."
    )
    import_keras()
    import keras

    was_there = folder.exists()
    try:
        # Keras reports on standard output, which belongs to the program's own answer.
        with contextlib.redirect_stdout(sys.stderr), _network_timeout(_SILENCE_SECONDS):
            getattr(keras.datasets, name).load_data()
    except Exception as error:
        # Keras tells of a URL that cannot be fetched by an exception of no class of its own.
        if not isinstance(error, _FETCH_ERRORS) and type(error) is not Exception:
            raise
        # What Keras leaves of a download that failed goes; not what a user had before.
        with contextlib.suppress(OSError):
            archive.unlink(missing_ok=True)
        if not was_there:
            shutil.rmtree(folder, ignore_errors=True)
        raise _problem(name, error) from error


def _own_files(name: CifarName) -> tuple[Path, Path]:
    """Returns the folder and the archive that Keras keeps a data set in, there or not."""
    folder = keras_cache() / f"{_ORIGINALS[name].folder}-target"
    return folder, folder.with_name(f"{folder.name}_archive")


def _check_room(cache: Path, name: CifarName) -> None:
    """Raises EnvironmentProblem unless the cache can take the data set.

    Where it may not write, Keras would turn to a folder in /tmp, which is read by nobody later.
    """
    try:
        cache.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(cache).free
    except OSError as error:
        raise _problem(name, error) from error
    if not os.access(cache, os.W_OK) or not os.access(cache.parent, os.W_OK):
        raise _problem(name, PermissionError(f"{cache} cannot be written to"))
    if free < _NEEDED_BYTES:
        raise _problem(
            name,
            OSError(
                f"{cache} has {free / 1e6:.0f} MB free, and {_NEEDED_BYTES / 1e6:.0f} are needed"
            ),
        )


@contextlib.contextmanager
def _network_timeout(seconds: float) -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _problem(name: CifarName, error: Exception) -> EnvironmentProblem:
    reason = " ".join(str(error).split()) or type(error).__name__
    tarball = f"{_ORIGINALS[name].tarball}.tar.gz"
    return EnvironmentProblem(
        f"{name} could not be downloaded: {reason[:300]}. With a network and room on the disk, run this "
        f"again. Without, copy {tarball} into {keras_cache()}, or name a folder that holds the data set "
        f"with --data-dir. {CIFAR_LAYOUTS}"
    )
