"""The exporter of SavedModel folders."""

from pathlib import Path
from typing import TYPE_CHECKING

from vitsd_export.artifact.formats import SAVED_MODEL
from vitsd_export.artifact.manifest import Manifest
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
        from vitsd_export.exporters.saved_model import embed_manifest

        embed_manifest(path, manifest)

    def tools(self, graph: "InferenceGraph") -> tuple[str, ...]:
        return ()
