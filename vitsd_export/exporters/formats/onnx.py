"""The exporter of ONNX files."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitsd_export.artifact.formats import ONNX
from vitsd_export.artifact.manifest import LABELS_KEY, MANIFEST_KEY, Manifest, label_lines
from vitsd_export.errors import UsageError
from vitsd_export.exporters.exporter import Exporter, WriteOptions

if TYPE_CHECKING:
    from vitsd_export.lowering.inference_graph import InferenceGraph

# Below 13 Softmax and Squeeze mean something else; onnxruntime 1.31 knows no later ones in full.
OPSETS = range(13, 27)


class OnnxExporter(Exporter):
    """Writes ONNX files."""

    form = ONNX
    runs_on = "every ONNX runtime"

    def check(self, options: WriteOptions) -> None:
        if options.opset is not None and options.opset not in OPSETS:
            raise UsageError(
                f"Opset {options.opset} cannot be written; choose {OPSETS.start} to {OPSETS.stop - 1}."
            )

    def write(self, graph: "InferenceGraph", path: Path, options: WriteOptions) -> None:
        from vitsd_export.exporters.onnx import write_onnx

        write_onnx(graph, path, opset=options.opset, batch=options.batch)

    def embed_manifest(self, path: Path, manifest: Manifest) -> None:
        from vitsd_export.exporters.onnx_file import append_metadata

        labels = label_lines(manifest.labels)
        append_metadata(path, {MANIFEST_KEY: manifest.to_json(), LABELS_KEY: labels})

    def tools(self, graph: "InferenceGraph") -> tuple[str, ...]:
        return ("onnx", "onnxruntime", *(("tf2onnx",) if graph.lowered is None else ()))

    def describe(self, graph: "InferenceGraph", options: WriteOptions) -> dict[str, Any]:
        from vitsd_export.exporters.onnx import choose_opset

        return {**super().describe(graph, options), "opset": choose_opset(graph, options.opset)}
