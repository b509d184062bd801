"""A format and two schemes that vitsd-export does not know, made and registered as new ones would be."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from vitsd_export.artifact.formats import FORMATS, ArtifactFormat
from vitsd_export.artifact.graph_summary import GraphSummary
from vitsd_export.artifact.manifest import Manifest
from vitsd_export.artifact.tensor_info import TensorInfo
from vitsd_export.exporters.exporter import Exporter, WriteOptions
from vitsd_export.exporters.onnx import write_onnx
from vitsd_export.exporters.registry import EXPORTERS
from vitsd_export.quantization.making import Making
from vitsd_export.quantization.schemes import SCHEMES
from vitsd_export.quantization.schemes.scheme import Recipe, Scheme, few_bits_gate
from vitsd_export.runtimes.base import DEFAULT_BATCH_SIZE, ImageRunner

if TYPE_CHECKING:
    from vitsd_export.lowering.inference_graph import InferenceGraph

MARK = b"TOY1"


def _take_apart(path: Path) -> tuple[Manifest | None, bytes]:
    """Returns the manifest, which takes the first line, and the ONNX graph behind it."""
    head, graph = path.read_bytes().removeprefix(MARK).split(b"\n", 1)
    return (Manifest.from_json(json.loads(head)) if head else None), graph


class ToyRunner(ImageRunner):
    """Runs toy files."""

    formats = ("toy",)

    def __init__(
        self, path: Path, *, threads: int | None = None, batch_size: int = DEFAULT_BATCH_SIZE
    ) -> None:
        manifest, graph = _take_apart(path)
        self._session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
        super().__init__(
            name="toy 1",
            path=path,
            manifest=manifest,
            inputs=_inputs(graph),
            outputs=_outputs(graph),
            batch_size=batch_size,
        )

    def _run_batch(self, pixels: np.ndarray) -> np.ndarray:
        return self._session.run(None, {"image": pixels})[0]

    def _release(self) -> None:
        del self._session


def _tensors(values: Any) -> tuple[TensorInfo, ...]:
    return tuple(
        TensorInfo(
            value.name,
            onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type).name,
            tuple(size.dim_value or None for size in value.type.tensor_type.shape.dim),
        )
        for value in values
    )


def _inputs(graph: bytes) -> tuple[TensorInfo, ...]:
    return _tensors(onnx.load_model_from_string(graph).graph.input)


def _outputs(graph: bytes) -> tuple[TensorInfo, ...]:
    return _tensors(onnx.load_model_from_string(graph).graph.output)


def _read(path: Path) -> tuple[GraphSummary, Manifest | None]:
    manifest, graph = _take_apart(path)
    summary = GraphSummary(_inputs(graph), _outputs(graph), {"Toy": 1}, (), {"toy": 1}, {}, 7)
    return summary, manifest


TOY_FORMAT = ArtifactFormat(
    name="toy",
    title="Toy",
    slug="toy",
    phrase="a toy file",
    command="all",
    suffix=".toy",
    runtime=f"{__name__}:ToyRunner",
    read=_read,
    read_manifest=lambda path: _take_apart(path)[0],
    mark=MARK,
)


class ToyExporter(Exporter):
    """Writes toy files: a mark, a line for the manifest, and an ONNX graph."""

    form = TOY_FORMAT
    runs_on = "the tests"
    default_batch = 2

    def write(self, graph: "InferenceGraph", path: Path, options: WriteOptions) -> None:
        write_onnx(graph, path, batch=options.batch)
        path.write_bytes(MARK + b"\n" + path.read_bytes())

    def embed_manifest(self, path: Path, manifest: Manifest) -> None:
        line = json.dumps(manifest.to_json()).encode()
        path.write_bytes(MARK + line + b"\n" + _take_apart(path)[1])

    def tools(self, graph: "InferenceGraph") -> tuple[str, ...]:
        return ("pytest",)


def _scheme(name: str, step: float, remedy: str) -> Scheme:
    """Returns a scheme that rounds weights to multiples of a step, in ONNX."""

    def make(making: Making) -> None:
        model = onnx.load_model_from_string(making.float32())
        for tensor in model.graph.initializer:
            values = numpy_helper.to_array(tensor)
            if values.dtype == np.float32 and values.ndim == 2:
                rounded = (np.round(values / step) * step).astype(np.float32)
                tensor.CopyFrom(numpy_helper.from_array(rounded, tensor.name))
        onnx.save(model, making.path)

    return Scheme(
        name=name,
        weights=f"multiples of {step}",
        activations="float32",
        gate=few_bits_gate(0.01),
        recipes={"onnx": Recipe("the tests' runtime", make, tools=("pytest",))},
        remedy=remedy,
    )


def register_toys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Registers the format `toy` and the schemes `toy` and `broken-toy`, by the lines a new one takes."""
    schemes = (_scheme("toy", 1e-4, ""), _scheme("broken-toy", 10.0, "Take a smaller step."))
    for registry, entries in (
        (FORMATS, {TOY_FORMAT.name: TOY_FORMAT}),
        (EXPORTERS, {TOY_FORMAT.name: ToyExporter()}),
        (SCHEMES, {scheme.name: scheme for scheme in schemes}),
    ):
        for name, entry in entries.items():
            monkeypatch.setitem(registry, name, entry)  # type: ignore[arg-type]
