"""What an artifact is: inputs, outputs, operators, weights, labels, provenance."""

import dataclasses
from pathlib import Path
from typing import Any

from vitsd_export.artifact.format_detection import find_format
from vitsd_export.artifact.graph_summary import GraphSummary
from vitsd_export.artifact.macs import Arithmetic, sum_up
from vitsd_export.artifact.manifest import Format, Manifest


@dataclasses.dataclass(frozen=True)
class ArtifactInfo:
    """Description of an artifact.

    Attributes:
        path: The file or folder.
        format: Name of its format, such as `onnx`.
        bytes: Size of the file, or of all files in the folder.
        graph: Inputs, outputs, operators and weights.
        manifest: What the exporter wrote into it; None in a file of another tool.
    """

    path: Path
    format: Format
    bytes: int
    graph: GraphSummary
    manifest: Manifest | None

    @property
    def scheme(self) -> str | None:
        """Numeric scheme, such as `int8`; None where no manifest says it."""
        return self.manifest.scheme if self.manifest is not None else None

    @property
    def arithmetic(self) -> dict[str, Arithmetic]:
        """Dense layers, convolutions and products of activations, by the numbers they compute with."""
        return sum_up(self.graph.products)

    def to_dict(self) -> dict[str, Any]:
        """Returns the description as plain data for JSON."""
        graph, manifest = self.graph, self.manifest
        provenance = ("source", "options", "calibration", "tools", "created")
        return {
            "path": str(self.path),
            "format": self.format,
            "bytes": self.bytes,
            "inputs": [dataclasses.asdict(tensor) for tensor in graph.inputs],
            "outputs": [dataclasses.asdict(tensor) for tensor in graph.outputs],
            "ops": graph.ops,
            "custom_ops": graph.custom_ops,
            "nodes": [dataclasses.asdict(node) for node in graph.nodes],
            "versions": graph.versions,
            "parameters": graph.parameters,
            "weights": {name: dataclasses.asdict(group) for name, group in graph.weights.items()},
            "arithmetic": {
                numbers: dataclasses.asdict(group) for numbers, group in self.arithmetic.items()
            },
            "scheme": self.scheme,
            "labels": manifest and manifest.labels,
            "provenance": manifest and {name: getattr(manifest, name) for name in provenance},
            "verification": manifest and manifest.verification,
        }


def inspect_artifact(path: Path | str) -> ArtifactInfo:
    """Describes an artifact of any format.

    Only a SavedModel needs TensorFlow for it. A graph the runtime here cannot run, such as one with
    Flex ops, is described as well.

    Raises:
        InputError: If the artifact is missing, truncated, damaged or of none of the formats.
    """
    path = Path(path)
    form = find_format(path)
    graph, manifest = form.read(path)
    return ArtifactInfo(path, form.name, _size(path), graph, manifest)


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
