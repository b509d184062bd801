"""What an artifact is: inputs, outputs, operators, weights, labels, provenance."""

import dataclasses
from pathlib import Path
from typing import Any

from vitsd_export.artifact.format_detection import find_format
from vitsd_export.artifact.graph_summary import GraphSummary
from vitsd_export.artifact.macs import Arithmetic, sum_up
from vitsd_export.artifact.manifest import Format, Manifest
from vitsd_export.artifact.tensor_info import TensorInfo


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
    def inputs(self) -> tuple[TensorInfo, ...]:
        """Inputs in the file's order."""
        return self.graph.inputs

    @property
    def outputs(self) -> tuple[TensorInfo, ...]:
        """Outputs in the file's order."""
        return self.graph.outputs

    @property
    def ops(self) -> dict[str, int]:
        """How often each operator occurs, the most frequent first."""
        return self.graph.ops

    @property
    def custom_ops(self) -> tuple[str, ...]:
        """Operators that are not the format's own and that plain runtimes may lack."""
        return self.graph.custom_ops

    @property
    def parameters(self) -> int:
        """Numbers in the weights."""
        return self.graph.parameters

    @property
    def scheme(self) -> str | None:
        """Numeric scheme, such as `int8`; None where no manifest says it."""
        return self.manifest.scheme if self.manifest is not None else None

    @property
    def arithmetic(self) -> dict[str, Arithmetic]:
        """Dense layers, convolutions and products of activations, by the numbers they compute with."""
        return sum_up(self.graph.products)

    @property
    def labels(self) -> tuple[str, ...] | None:
        """Class names; None where no manifest says them."""
        return self.manifest.labels if self.manifest is not None else None

    @property
    def verification(self) -> dict[str, Any] | None:
        """Result of the check that let the export pass; None where none is recorded."""
        return self.manifest.verification if self.manifest is not None else None

    @property
    def provenance(self) -> dict[str, Any] | None:
        """Source, options, calibration, tool versions and time; None without a manifest."""
        if self.manifest is None:
            return None
        names = ("source", "options", "calibration", "tools", "created")
        return {name: getattr(self.manifest, name) for name in names}

    def to_dict(self) -> dict[str, Any]:
        """Returns the description as plain data for JSON."""
        return {
            "path": str(self.path),
            "format": self.format,
            "bytes": self.bytes,
            "inputs": [_tensor_dict(tensor) for tensor in self.inputs],
            "outputs": [_tensor_dict(tensor) for tensor in self.outputs],
            "ops": self.ops,
            "custom_ops": list(self.custom_ops),
            "nodes": [dataclasses.asdict(node) for node in self.graph.nodes],
            "versions": self.graph.versions,
            "parameters": self.parameters,
            "weights": {
                name: dataclasses.asdict(group) for name, group in self.graph.weights.items()
            },
            "arithmetic": {
                numbers: dataclasses.asdict(group) for numbers, group in self.arithmetic.items()
            },
            "scheme": self.scheme,
            "labels": list(self.labels) if self.labels is not None else None,
            "provenance": self.provenance,
            "verification": self.verification,
        }


def _tensor_dict(tensor: TensorInfo) -> dict[str, Any]:
    return {"name": tensor.name, "dtype": tensor.dtype, "shape": list(tensor.shape)}


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
