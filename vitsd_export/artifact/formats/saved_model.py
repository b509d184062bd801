"""SavedModel folders, as they are read."""

from pathlib import Path

from vitsd_export.artifact.formats.artifact_format import ArtifactFormat
from vitsd_export.artifact.graph_summary import GraphSummary
from vitsd_export.artifact.manifest import Manifest
from vitsd_export.artifact.saved_model_file import SAVED_MODEL_FILE, read_manifest


def _read(path: Path) -> tuple[GraphSummary, Manifest | None]:
    from vitsd_export.artifact.saved_model_graph import read_saved_model_graph

    return read_saved_model_graph(path), read_manifest(path)


SAVED_MODEL = ArtifactFormat(
    name="saved_model",
    title="SavedModel",
    slug="saved-model",
    phrase="a SavedModel",
    command="saved-model",
    suffix="-saved-model",
    runtime="saved_model",
    read=_read,
    read_manifest=read_manifest,
    folder_file=SAVED_MODEL_FILE,
    needs_tensorflow=True,
)
