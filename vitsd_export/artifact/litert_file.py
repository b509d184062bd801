"""Checks of a .tflite file before an interpreter in this process touches it."""

import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

from vitsd_export._internal.messages import first_line
from vitsd_export.artifact import litert_probe
from vitsd_export.artifact.damage import parse_manifest, proven_by_manifest, unusable
from vitsd_export.artifact.manifest import LABELS_FILE, MANIFEST_FILE, Manifest

_PROBE_SECONDS = 120
_ZIP_ENTRY_MARK = b"PK\x03\x04"
_ZIP_ENTRY_NAME_OFFSET = 30


def check_litert_file(path: Path, *, must_run: bool = True) -> None:
    """Makes sure that opening a file cannot crash this process.

    A file whose manifest lies beside it is compared with the digest there; any other is first
    loaded and run in a process of its own.

    Args:
        path: A file with the LiteRT mark.
        must_run: Whether a sound file that this runtime cannot run, such as one with custom ops, is
            refused too.

    Raises:
        InputError: If the file is truncated, damaged, or cannot be run.
    """
    if proven_by_manifest(path):
        return
    if not sys.executable:
        # Python inside another program: there is nothing to start. The interpreter's own checks
        # remain.
        return
    # -P: a script's own folder must not come before the standard library on the path.
    command = [sys.executable, "-P", litert_probe.__file__, str(path)]
    try:
        finished = subprocess.run(command, capture_output=True, timeout=_PROBE_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise unusable(
            path, f"LiteRT did not answer one image within {_PROBE_SECONDS} seconds; it is damaged"
        ) from error
    text = finished.stdout.decode(errors="replace").strip()
    message = f" ({first_line(text).rstrip('.')})" if text else ""
    if finished.returncode == litert_probe.REFUSED_ON_LOADING:
        raise unusable(path, f"it is truncated, damaged or not a LiteRT file{message}")
    if finished.returncode == litert_probe.REFUSED_ON_RUNNING:
        if must_run:
            raise unusable(path, f"LiteRT cannot run it{message}")
    # 1 is Python's own failure, such as a package that is missing, which opening in this process
    # tells better.
    elif finished.returncode not in (0, 1):
        raise unusable(
            path,
            f"it is damaged: it crashes the LiteRT interpreter (status {finished.returncode})",
        )


def read_litert_manifest(path: Path) -> Manifest | None:
    """Returns the manifest inside a .tflite file, or None if it has none.

    Raises:
        InputError: If there is a manifest that cannot be read, or the zip that carried one is cut
            off or damaged.
    """
    try:
        if not zipfile.is_zipfile(path):
            if _has_zip_entry(path):
                raise unusable(
                    path, "its end, which carries the labels and the manifest, is cut off"
                )
            return None
        with zipfile.ZipFile(path) as archive:
            if MANIFEST_FILE not in archive.namelist():
                return None
            text = archive.read(MANIFEST_FILE).decode()
    except (OSError, zipfile.BadZipFile, zlib.error, EOFError, ValueError, RuntimeError) as error:
        raise unusable(path, f"the manifest inside it is damaged ({error})") from error
    return parse_manifest(path, text)


def _has_zip_entry(path: Path) -> bool:
    """Tells whether one of our entries is in the file although the zip's directory is not."""
    data = path.read_bytes()
    for name in (MANIFEST_FILE.encode(), LABELS_FILE.encode()):
        at = data.find(name)
        while at >= 0:
            start = at - _ZIP_ENTRY_NAME_OFFSET
            if start >= 0 and data.startswith(_ZIP_ENTRY_MARK, start):
                return True
            at = data.find(name, at + 1)
    return False
