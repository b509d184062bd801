"""Files inside a tarball, read in memory: nothing is ever extracted to disk.

A tarball may be hostile. Only regular files are read, those whose names are asked for; links and
devices are never followed, and a path that leads out of the archive is not looked at. What a header
claims is never believed: all reading goes forward through a stream that bounds the size of each
read, their number and the whole, so that neither a compressed bomb nor a header that points back to
itself fills the memory or runs for ever.
"""

import contextlib
import dataclasses
import gzip
import os
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, cast

from vitsd_export._internal.damaged_files import UNREADABLE_ERRORS
from vitsd_export.data.containers import MOST_FILE_BYTES
from vitsd_export.errors import InputError

# CIFAR's tarballs hold about 190 MB in ten files.
_MOST_BYTES = 2 * MOST_FILE_BYTES
_MOST_HEADERS = 2000
# Longer than any path; the parsing of extended headers takes time that grows with the square.
_MOST_HEADER_BYTES = 8192
_GZIP_MARK = b"\x1f\x8b"
_TAR_MARK, _TAR_MARK_OFFSET = b"ustar", 257


@dataclasses.dataclass(frozen=True)
class Tarball:
    """The files in one folder of a tarball, compressed by gzip or not; a `Container`.

    Attributes:
        path: The tarball.
        folder: The folder inside it, without slashes at its ends; empty for its root.
    """

    path: Path
    folder: str

    def where(self, name: str) -> str:
        return f"{self._member(name)} in {self.path}"

    def contents(
        self, names: Sequence[str], optional: Sequence[str] = ()
    ) -> Iterator[tuple[str, bytes]]:
        wanted = {self._member(name): name for name in (*names, *optional)}
        with _opened(self.path) as archive:
            for member, path in archive.members():
                name = wanted.pop(path, None)
                if name is None:
                    continue
                if not member.isreg() or member.issparse():
                    raise InputError(
                        f"{self.where(name)} is not a regular file but a link, a device or the "
                        "like, and is refused as unsafe. Download the tarball from a source you trust."
                    )
                yield name, archive.read(member)
            missing = [name for name in names if name in wanted.values()]
            if missing:
                raise InputError(
                    f"{self.where(missing[0])} is missing: the data set is incomplete. Download "
                    "the tarball again."
                )
            archive.check_rest()

    def _member(self, name: str) -> str:
        return f"{self.folder}/{name}" if self.folder else name


def is_tarball(path: Path | str) -> bool:
    """Tells by its first bytes whether a path is a file compressed by gzip, or a tar archive.

    Raises:
        InputError: If there is a file that cannot be read.
    """
    try:
        file = Path(path).expanduser()
        if not os.path.isfile(file):
            return False
        with open(file, "rb") as stream:
            start = stream.read(512)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.") from error
    except (RuntimeError, ValueError):
        return False
    return start.startswith(_GZIP_MARK) or start.startswith(_TAR_MARK, _TAR_MARK_OFFSET)


def list_files(path: Path) -> Iterator[tuple[str, str]]:
    """Yields the folder and the name of each regular file in a tarball, as far as is asked for.

    Raises:
        InputError: If the tarball cannot be read or is damaged.
    """
    with _opened(path) as archive:
        for member, name in archive.members():
            if member.isreg():
                folder, _, file = name.rpartition("/")
                yield folder, file


class _Archive:
    """A tarball that is being read once, from its start to its end."""

    def __init__(self, stream: "_ForwardStream") -> None:
        self._stream = stream
        self._archive = tarfile.TarFile(fileobj=cast(IO[bytes], stream))

    def members(self) -> Iterator[tuple[tarfile.TarInfo, str]]:
        """Yields each member with its path, without those whose paths lead out of the archive."""
        while (member := self._archive.next()) is not None:
            parts = [part for part in member.name.split("/") if part not in ("", ".")]
            if parts and ".." not in parts and not member.name.startswith("/"):
                yield member, "/".join(parts)

    def read(self, member: tarfile.TarInfo) -> bytes:
        """Returns the bytes of the member that `members` yielded last."""
        if not 0 <= member.size <= MOST_FILE_BYTES:
            raise tarfile.ReadError(f"it claims a file of {member.size:,} bytes")
        self._stream.seek(member.offset_data)
        data = self._stream.read_bounded(member.size)
        if len(data) < member.size:
            raise EOFError("it ends before its last file does")
        return data

    def check_rest(self) -> None:
        """Reads to the end, where gzip keeps the checksum."""
        self._stream.skip(_MOST_BYTES)


class _ForwardStream:
    """The uncompressed bytes of a tarball, for `tarfile`: read once, forward, within bounds."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._position = 0
        self._headers_left = _MOST_HEADERS

    def tell(self) -> int:
        return self._position

    def read(self, count: int) -> bytes:
        """Returns a header; called by `tarfile`."""
        self._headers_left -= 1
        if self._headers_left < 0:
            raise tarfile.ReadError("it has far more files than CIFAR")
        if not 0 <= count <= _MOST_HEADER_BYTES:
            raise tarfile.ReadError(f"it claims a header of {count:,} bytes")
        return self.read_bounded(count)

    def seek(self, position: int) -> None:
        if not self._position <= position <= _MOST_BYTES:
            raise tarfile.ReadError(f"it claims a file that ends at byte {position:,}")
        self.skip(position - self._position)

    def skip(self, count: int) -> None:
        while count > 0:
            skipped = len(self.read_bounded(min(count, 1024**2)))
            if not skipped:
                return
            count -= skipped

    def read_bounded(self, count: int) -> bytes:
        data = self._stream.read(count)
        self._position += len(data)
        if self._position > _MOST_BYTES:
            raise tarfile.ReadError(f"it holds more than {_MOST_BYTES:,} bytes")
        return data


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[_Archive]:
    """Opens a tarball; damage that is found while it is open raises InputError."""
    try:
        with contextlib.ExitStack() as stack:
            stream: IO[bytes] = stack.enter_context(open(path, "rb"))
            is_compressed = stream.read(len(_GZIP_MARK)) == _GZIP_MARK
            stream.seek(0)
            if is_compressed:
                stream = cast(IO[bytes], stack.enter_context(gzip.GzipFile(fileobj=stream)))
            yield _Archive(_ForwardStream(stream))
    except gzip.BadGzipFile as error:
        raise _damaged(path, error) from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.") from error
    except UNREADABLE_ERRORS as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> InputError:
    return InputError(
        f"{path} is truncated or is not a tarball of CIFAR ({error}). Download it again."
    )
