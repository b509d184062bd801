"""What holds a data set's files: a folder here, a tarball in `tarball`, read by the same calls."""

import dataclasses
from collections.abc import Iterator, Sequence
from os.path import isfile
from pathlib import Path
from typing import Protocol

from vitsd_export.errors import InputError

# More than three times the largest file of CIFAR: what is larger would only fill the memory.
MOST_FILE_BYTES = 512 * 1024**2


class Container(Protocol):
    """Named files that are read whole."""

    def where(self, name: str) -> str:
        """Returns how messages call a file."""

    def source(self) -> str:
        """Returns how manifests call the whole."""

    def contents(
        self, names: Sequence[str], optional: Sequence[str] = ()
    ) -> Iterator[tuple[str, bytes]]:
        """Yields the name and the bytes of each file, in any order.

        Args:
            names: Files that must be there.
            optional: Files that may be missing.

        Raises:
            InputError: If a file is missing, cannot be read, or is unreasonably large.
        """


@dataclasses.dataclass(frozen=True)
class Folder:
    """The files in a folder; a `Container`.

    Attributes:
        path: The folder.
    """

    path: Path

    def has(self, name: str) -> bool:
        """Tells whether a file lies in the folder."""
        return isfile(self.path / name)

    def where(self, name: str) -> str:
        """Returns how messages call a file."""
        return str(self.path / name)

    def source(self) -> str:
        """Returns how manifests call the whole."""
        return str(self.path)

    def contents(
        self, names: Sequence[str], optional: Sequence[str] = ()
    ) -> Iterator[tuple[str, bytes]]:
        """Yields the name and the bytes of each file, in order.

        Args:
            names: Files that must be there.
            optional: Files that may be missing.

        Raises:
            InputError: If a file is missing, cannot be read, or is unreasonably large.
        """
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
