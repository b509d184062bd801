"""What is checked of a .keras archive before Keras opens it."""

import io
import stat
import zipfile
from pathlib import Path, PurePosixPath

import h5py

from vitsd_export._internal.damaged_files import UNREADABLE_ERRORS, reason
from vitsd_export.errors import InputError
from vitsd_export.sources.hdf5 import ReachesOutside, check_contained

_WEIGHTS = "model.weights.h5"
_WEIGHTS_WITH_PICKLES = "model.weights.npz"
# Weights hardly compress; DEFLATE shrinks zeros a thousandfold.
_LARGEST_EXPANSION = 100
_ALWAYS_FINE = 1 << 24


def check_archive(path: Path, shown: Path) -> int:
    """Checks names, sizes and weights of the members of an archive; nothing is extracted.

    Messages name the path `shown`. Returns how many numbers the weights hold.

    Raises:
        InputError: If the archive is damaged, or made to write, read or fill what it has no business with.
    """
    numbers = 0
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            fault = _fault(members)
            if fault is None and _WEIGHTS in archive.namelist():
                weights = archive.read(_WEIGHTS)
                try:
                    with h5py.File(io.BytesIO(weights), "r") as file:
                        numbers = check_contained(file, len(weights))
                except ReachesOutside as error:
                    fault = f"of its weights, {error}"
    except UNREADABLE_ERRORS as error:
        raise InputError(
            f"The model {shown} cannot be loaded; the file may be damaged. Save or copy it again. "
            f"Reason: {reason(error)}"
        ) from error
    if fault is not None:
        raise InputError(
            f"The model {shown} is refused as unsafe: {fault}. Keras writes no such file; get it again from "
            "a source you trust."
        )
    return numbers


def _fault(members: list[zipfile.ZipInfo]) -> str | None:
    seen: set[str] = set()
    for member in members:
        name = member.filename
        parts = PurePosixPath(name).parts
        if not parts or name.startswith("/") or ".." in parts or "\\" in name or ":" in parts[0]:
            return f"its member {name!r} would be written outside its folder"
        if name in seen:
            return f"it has two members {name!r}"
        seen.add(name)
        if stat.S_ISLNK(member.external_attr >> 16):
            return f"its member {name!r} is a link"
        if member.flag_bits & 1:
            return f"its member {name!r} is encrypted"
        if member.file_size > max(_ALWAYS_FINE, _LARGEST_EXPANSION * member.compress_size):
            return f"its member {name!r} unpacks to {member.file_size} bytes"
    if _WEIGHTS_WITH_PICKLES in seen:
        return "it holds its weights as .npz, which may hold pickles"
    return None
