"""What holds a data set's files: a folder here, a tarball in `tarball`, read by the same calls."""

import dataclasses
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from vitsd_export.errors import InputError

# More than three times the largest file of CIFAR: what is larger would only fill the memory.
MOST_FILE_BYTES = 512 * 1024**2


class Container(Protocol):
    """Named files that are read whole."""

    @property
    def path(self) -> Path:
        """Path of the whole, as manifests have it."""

    def where(self, name: str) -> str:
        """Returns how messages call a file."""

    def contents(
        self, names: Sequence[str], optional: Sequence[str] = ()
    ) -> Iterator[tuple[str, bytes]]:
        """Yields the name and the bytes of each file, in any order; `optional` ones may be missing.

        Raises:
            InputError: If a file is missing, unsafe or unreasonably large, or cannot be read.
        """


@dataclasses.dataclass(frozen=True)
class Folder:
    """The files in a folder; a `Container`."""

    path: Path

    def has(self, name: str) -> bool:
        """Tells whether a file lies in the folder."""
        return os.path.isfile(self.path / name)

    def where(self, name: str) -> str:
        return str(self.path / name)

    def contents(
        self, names: Sequence[str], optional: Sequence[str] = ()
    ) -> Iterator[tuple[str, bytes]]:
        for name in (*names, *optional):
            if self.has(name):
                yield name, read_file(self.path / name)
            elif name in names:
                raise InputError(
                    f"{self.path / name} is missing: the data set is incomplete. Extract it again."
                )


def read_file(path: Path) -> bytes:
    """Returns the bytes of a file.

    Raises:
        InputError: If it cannot be read, or is larger than any file of CIFAR.
    """
    try:
        size = path.stat().st_size
        if size > MOST_FILE_BYTES:
            raise InputError(f"{path} has {size:,} bytes, more than any file of CIFAR.")
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.") from error


def require_folder(path: Path | str, purpose: str) -> Path:
    """Returns the path of a folder, `~` expanded, after making sure that it can be listed.

    Args:
        path: What the user gave.
        purpose: What the folder holds, for the message: `CIFAR`, `images`.

    Raises:
        InputError: If there is nothing at the path, it is not a folder, or it cannot be listed.
    """
    folder = Path(path)
    try:
        folder = folder.expanduser()
        os.listdir(folder)
    except FileNotFoundError as error:
        raise InputError(
            f"There is no folder {path} to read {purpose} from. Check the path."
        ) from error
    except NotADirectoryError as error:
        raise InputError(
            f"{path} is a file; {purpose} is read from a folder. Give the folder which holds the "
            "extracted files."
        ) from error
    except (OSError, RuntimeError, ValueError) as error:
        raise InputError(f"The folder {path} cannot be read: {error}.") from error
    return folder
