"""The exporter of SavedModel folders."""

from pathlib import Path
from typing import TYPE_CHECKING

from vitsd_export.artifact.formats import SAVED_MODEL
from vitsd_export.artifact.manifest import (
    LABELS_FILE,
    MANIFEST_FILE,
    SAVED_MODEL_EXTRAS,
    Manifest,
    label_lines,
)
from vitsd_export.exporters.exporter import Exporter, WriteOptions

if TYPE_CHECKING:
    from vitsd_export.lowering.inference_graph import InferenceGraph


class SavedModelExporter(Exporter):
    """Writes SavedModel folders."""

    form = SAVED_MODEL
    runs_on = "TensorFlow"

    def write(self, graph: "InferenceGraph", path: Path, options: WriteOptions) -> None:
        from vitsd_export.exporters.saved_model import write_saved_model

        write_saved_model(graph, path, batch=options.batch)

    def embed_manifest(self, path: Path, manifest: Manifest) -> None:
        # The format reserves `assets.extra` for files that TensorFlow does not read
        # (tensorflow/python/saved_model/README.md); `assets` is for files the graph opens.
        extras = path / SAVED_MODEL_EXTRAS
        extras.mkdir(exist_ok=True)
        (extras / MANIFEST_FILE).write_text(manifest.to_json(), encoding="utf-8")
        (extras / LABELS_FILE).write_text(label_lines(manifest.labels) + "\n", encoding="utf-8")
