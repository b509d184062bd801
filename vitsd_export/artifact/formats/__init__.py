"""The formats of artifacts. A new one is a file here, its exporter, and a line in each registry."""

from collections.abc import Mapping

from vitsd_export.artifact.formats.artifact_format import ArtifactFormat
from vitsd_export.artifact.formats.litert import LITERT
from vitsd_export.artifact.formats.onnx import ONNX
from vitsd_export.artifact.formats.saved_model import SAVED_MODEL

# By name, in the order in which they are exported and listed.
FORMATS: Mapping[str, ArtifactFormat] = {
    form.name: form
    for form in (
        SAVED_MODEL,
        LITERT,
        ONNX,
    )
}

__all__ = ["FORMATS", "LITERT", "ONNX", "SAVED_MODEL", "ArtifactFormat"]
