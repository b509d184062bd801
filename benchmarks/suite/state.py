"""What a run that was broken off has measured, so that the next one goes on from there."""

import contextlib
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pydantic
from pydantic.dataclasses import dataclass

from vitsd_export._internal.atomic_write import publish, staging
from vitsd_export.errors import EnvironmentProblem
from vitsd_export.measure.benchmark.results import Candidate, Row


@dataclass(frozen=True)
class _Kept:
    """A row, and the digest of its candidate."""

    candidate: str
    row: Row


@dataclass(frozen=True)
class _Document:
    """The file: the digest of what all rows depend on, when the run began, and its rows by name."""

    run: str
    started: str
    rows: dict[str, _Kept]


_DOCUMENT: pydantic.TypeAdapter[_Document] = pydantic.TypeAdapter(_Document)


class State:
    """The rows that have been measured, in a file that is written anew with each.

    Args:
        path: The file; it need not exist.
        run: What all rows depend on: model, images, settings, machine. Rows of another run are not used.
        candidates: What is measured; rows of other files than theirs are not used.
        started: When this run began, ISO 8601; that of the run that goes on if there is one.
    """

    def __init__(
        self,
        path: Path,
        run: Mapping[str, Any],
        candidates: Sequence[Candidate],
        started: str,
    ) -> None:
        self._path = path
        self._key = _digest(json.dumps(run, sort_keys=True, default=str).encode())
        self._digests = {each.name: candidate_digest(each) for each in candidates}
        self.started = started
        self.rows: dict[str, Row] = {}
        self._read()

    def _read(self) -> None:
        # A file that was cut off, or of another version, is as good as none.
        with contextlib.suppress(OSError, pydantic.ValidationError):
            held = _DOCUMENT.validate_json(self._path.read_bytes())
            if held.run != self._key:
                return
            rows = {
                name: kept.row
                for name, kept in held.rows.items()
                # What failed is tried again.
                if self._digests.get(name) == kept.candidate
                and not (kept.row.failure or kept.row.skipped)
            }
            if rows:
                self.started, self.rows = held.started, rows

    def keep(self, row: Row) -> None:
        """Keeps a row, in place of the earlier one of its candidate.

        Raises:
            EnvironmentProblem: If the file cannot be written.
        """
        self.rows[row.candidate.name] = row
        kept = {name: _Kept(self._digests[name], each) for name, each in self.rows.items()}
        document = _Document(self._key, self.started, kept)
        with staging(self._path) as staged:
            staged.write_bytes(_DOCUMENT.dump_json(document))
            publish(staged, self._path)

    def clear(self) -> None:
        """Forgets everything: the run is done, or begins anew.

        Raises:
            EnvironmentProblem: If the file cannot be removed.
        """
        self.rows = {}
        try:
            self._path.unlink(missing_ok=True)
        except OSError as error:
            raise EnvironmentProblem(
                f"{self._path} cannot be removed: {error.strerror}."
            ) from error


def candidate_digest(candidate: Candidate) -> str:
    """Returns a digest of a candidate and of its file or all files of its folder."""
    parts = [candidate.name, candidate.runtime, candidate.peer]
    digest = hashlib.sha256(json.dumps(parts).encode())
    if candidate.path is not None:
        path = Path(candidate.path)
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in (file for file in files if file.is_file()):
            digest.update(str(file.relative_to(path)).encode())
            with file.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
