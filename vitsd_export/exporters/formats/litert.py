"""The exporter of LiteRT files."""

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from vitsd_export.artifact.formats import LITERT
from vitsd_export.artifact.manifest import LABELS_FILE, MANIFEST_FILE, Manifest, label_lines
from vitsd_export.exporters.exporter import Exporter, WriteOptions

if TYPE_CHECKING:
    from vitsd_export.lowering.inference_graph import InferenceGraph


class LiteRTExporter(Exporter):
    """Writes LiteRT files."""

    form = LITERT
    runs_on = "every LiteRT runtime"
    # XNNPACK does not take graphs of open shape.
    default_batch = 1
    keeps_float32 = True

    def write(self, graph: "InferenceGraph", path: Path, options: WriteOptions) -> None:
        from vitsd_export.exporters.litert import convert

        path.write_bytes(convert(graph, batch=options.batch or 1))

    def conform(self, path: Path, manifest: Manifest) -> None:
        from vitsd_export.exporters.litert_conformity import conform
        from vitsd_export.exporters.litert_metadata import classifier_metadata

        path.write_bytes(conform(path.read_bytes(), classifier_metadata(manifest)))

    def embed_manifest(self, path: Path, manifest: Manifest) -> None:
        # A zip archive behind the file, as LiteRT metadata's associated files are. MediaPipe reads entries
        # that are stored, not compressed ones.
        with zipfile.ZipFile(path, "a", zipfile.ZIP_STORED) as archive:
            archive.writestr(MANIFEST_FILE, manifest.to_json())
            archive.writestr(LABELS_FILE, label_lines(manifest.labels) + "\n")

    def tools(self, graph: "InferenceGraph") -> tuple[str, ...]:
        return ("ai-edge-litert",)
