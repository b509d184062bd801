"""The exporters of all formats."""

from collections.abc import Mapping

from vitsd_export.exporters.exporter import Exporter
from vitsd_export.exporters.formats.litert import LiteRTExporter
from vitsd_export.exporters.formats.onnx import OnnxExporter
from vitsd_export.exporters.formats.saved_model import SavedModelExporter

# By the format's name, in the order in which `vitsd-export all` writes them.
EXPORTERS: Mapping[str, Exporter] = {
    exporter.form.name: exporter
    for exporter in (
        SavedModelExporter(),
        LiteRTExporter(),
        OnnxExporter(),
    )
}
