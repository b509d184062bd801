"""LiteRT files (.tflite), as they are read."""

from pathlib import Path

from vitsd_export.artifact.formats.artifact_format import ArtifactFormat
from vitsd_export.artifact.graph_summary import GraphSummary
from vitsd_export.artifact.litert_file import check_litert_file, read_litert_manifest
from vitsd_export.artifact.manifest import Manifest


def _read(path: Path) -> tuple[GraphSummary, Manifest | None]:
    from vitsd_export.artifact.litert_graph import read_litert_graph

    check_litert_file(path, must_run=False)
    return read_litert_graph(path), read_litert_manifest(path)


LITERT = ArtifactFormat(
    name="tflite",
    title="LiteRT",
    slug="litert",
    phrase="a LiteRT file",
    command="tflite",
    suffix=".tflite",
    runtime="litert",
    read=_read,
    read_manifest=read_litert_manifest,
    check=check_litert_file,
    mark=b"TFL3",
    mark_at=4,
    other_suffixes=(".lite",),
)
