"""What a format of artifacts is to everything that reads one."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

from vitsd_export.artifact.graph_summary import GraphSummary
from vitsd_export.artifact.manifest import Manifest


@dataclasses.dataclass(frozen=True, kw_only=True)
class ArtifactFormat:
    """A format of artifacts. Writing one is the matter of its exporter (`exporters.registry`).

    Attributes:
        name: What manifests and programs call it, such as `tflite`.
        title: What people call it: `LiteRT`.
        slug: The title in names of files and options: `litert`.
        phrase: One of its artifacts, in a sentence: `a LiteRT file`.
        command: Arguments of vitsd-export that make one.
        suffix: How names of its artifacts end.
        runtime: The runtime it is made for, as `runtimes.registry.find_runner` takes it.
        read: Describes an artifact without running it; searches it for damage first.
        read_manifest: Returns the manifest inside, None if it has none, without the help of a runtime.
        check: Searches an artifact for damage before its runtime opens it.
        folder_file: The file by which a folder of this format is known; None if artifacts are files.
        mark: The first bytes of a file from `mark_at` on; None for the one format that has no mark.
        mark_at: Where the mark stands.
        other_suffixes: More endings of files that are meant to be of this format.
        needs_tensorflow: Whether its runtime is TensorFlow.
        concurrent: Whether one runner serves several threads at once.
    """

    name: str
    title: str
    slug: str
    phrase: str
    command: str
    suffix: str
    runtime: str
    read: Callable[[Path], tuple[GraphSummary, Manifest | None]]
    read_manifest: Callable[[Path], Manifest | None]
    check: Callable[[Path], object] = lambda _: None
    folder_file: str | None = None
    mark: bytes | None = None
    mark_at: int = 0
    other_suffixes: tuple[str, ...] = ()
    needs_tensorflow: bool = False
    concurrent: bool = False

    @property
    def folder(self) -> bool:
        """Whether its artifacts are folders."""
        return self.folder_file is not None

    def begins(self, head: bytes) -> bool:
        """Tells whether a file that begins with these bytes has the format's mark."""
        return self.mark is not None and head.startswith(self.mark, self.mark_at)
