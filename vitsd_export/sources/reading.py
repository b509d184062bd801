"""What every form of source is read with, and read into."""

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

from vitsd_export._internal.hashing import file_sha256
from vitsd_export.errors import UsageError
from vitsd_export.model.config import PRESETS, ModelConfig, preset_config
from vitsd_export.sources.folders import files_of


@dataclasses.dataclass(frozen=True)
class Reading:
    """A source, and what the user said about it.

    Attributes:
        path: File or folder.
        preset: Architecture of a file of weights.
        custom_objects: Classes and functions that the source may name, beside those that are registered.
        trust: Whether code in it may be run.
        copied_from: The source, if `path` is a copy of it.
    """

    path: Path
    preset: str | None = None
    custom_objects: dict[str, Any] = dataclasses.field(default_factory=dict)
    trust: bool = False
    copied_from: Path | None = None

    @property
    def shown(self) -> Path:
        """Path that messages name."""
        return self.copied_from or self.path

    def refuse_preset(self) -> None:
        """Raises UsageError if a preset was given for a source that does not need one."""
        if self.preset is not None:
            raise UsageError(
                f"{self.shown} holds its own architecture; --preset goes with a file of weights."
            )

    def wanted_config(self) -> ModelConfig:
        """Returns the preset's architecture.

        Raises:
            UsageError: If there is no preset, or none of that name.
        """
        if self.preset is None:
            raise UsageError(
                f"{self.shown} holds weights alone. Say which architecture they are of: "
                f"--preset {'|'.join(PRESETS)}."
            )
        return preset_config(self.preset)


@dataclasses.dataclass(frozen=True)
class Content:
    """What was read.

    Attributes:
        model: What Keras made of it.
        form: What it was, in words.
        card: What `write_model` put into a .keras file.
        difference: Of a mapped model: how far its scores are from those of the source's own graph, in
            parts of the largest.
        takes_uint8: Whether it takes whole pixels, which are not to be scaled.
        parameters: Numbers in its variables, if Keras does not see them.
        is_graph: Whether it is a graph that cannot be looked into.
        notes: What a user should know, each one sentence.
    """

    model: Any
    form: str
    card: dict[str, Any] = dataclasses.field(default_factory=dict)
    difference: float | None = None
    takes_uint8: bool = False
    parameters: int | None = None
    is_graph: bool = False
    notes: tuple[str, ...] = ()


def source_sha256(path: Path) -> str:
    """Returns the SHA-256 of a file; of a folder, that of its list of files and digests.

    Raises:
        OSError: If something cannot be read.
    """
    if path.is_file():
        return file_sha256(path)
    listing = "".join(
        f"{file_sha256(file)}  {file.relative_to(path).as_posix()}\n" for file in files_of(path)
    )
    return hashlib.sha256(listing.encode()).hexdigest()
