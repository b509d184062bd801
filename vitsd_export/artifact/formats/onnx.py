"""ONNX files, as they are read."""

from pathlib import Path

from vitsd_export.artifact.damage import proven_by_manifest
from vitsd_export.artifact.formats.artifact_format import ArtifactFormat
from vitsd_export.artifact.graph_summary import GraphSummary
from vitsd_export.artifact.manifest import Manifest, parse_onnx_manifest


def _read(path: Path) -> tuple[GraphSummary, Manifest | None]:
    from vitsd_export.artifact.onnx_graph import read_onnx_graph

    proven_by_manifest(path)
    return read_onnx_graph(path)


def _read_manifest(path: Path) -> Manifest | None:
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load(str(path), load_external_data=False)
    except DecodeError:
        return None
    return parse_onnx_manifest({entry.key: entry.value for entry in model.metadata_props})


ONNX = ArtifactFormat(
    name="onnx",
    title="ONNX",
    slug="onnx",
    phrase="an ONNX file",
    command="onnx",
    suffix=".onnx",
    runtime="onnxruntime",
    read=_read,
    read_manifest=_read_manifest,
    check=proven_by_manifest,
    concurrent=True,
)
