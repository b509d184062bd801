"""Runs ONNX files with OpenVINO on the CPU: an optional runtime, found by its entry point."""

from pathlib import Path
from typing import Any

import numpy as np

from vitsd_export._internal.messages import first_line
from vitsd_export.artifact.damage import unusable
from vitsd_export.artifact.formats import ONNX
from vitsd_export.artifact.graph_summary import by_falling_number
from vitsd_export.artifact.tensor_info import TensorInfo
from vitsd_export.runtimes.base import DEFAULT_BATCH_SIZE, ImageRunner
from vitsd_export.runtimes.delegation import Delegation, list_counts

# OpenVINO's names of the types that a runner feeds.
_DTYPES = {"u8": "uint8", "f32": "float32", "f16": "float16", "i8": "int8"}
# Nodes of the compiled graph that compute nothing.
_NO_WORK = ("Input", "Output", "Const")


class OpenVinoRunner(ImageRunner):
    """An ONNX file in OpenVINO's CPU plugin, with its setting for latency."""

    packages = ("openvino",)
    formats = ("onnx",)
    # OpenVINO raises RuntimeError for everything.
    _runtime_errors = (RuntimeError, ValueError, MemoryError)

    @classmethod
    def prepare(cls, threads: int) -> None:
        """Imports OpenVINO; threads are the compiled model's own."""
        import openvino  # noqa: F401

    def __init__(
        self, path: Path, *, threads: int | None = None, batch_size: int = DEFAULT_BATCH_SIZE
    ) -> None:
        import openvino

        settings: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1}
        # Answers are compared with float32: without this the plugin rounds to bfloat16 where it can.
        settings["INFERENCE_PRECISION_HINT"] = "f32"
        if threads is not None:
            settings["INFERENCE_NUM_THREADS"] = threads
        try:
            core = openvino.Core()
            model = core.read_model(str(path))
            compiled = core.compile_model(model, "CPU", settings)
        except RuntimeError as error:
            # The lines before tell OpenVINO's own source files.
            reason = first_line(str(error).strip().rpartition("\n")[2]).rstrip(".")
            raise unusable(path, f"OpenVINO refuses it ({reason})") from error
        super().__init__(
            name=f"openvino {openvino.__version__}",
            path=path,
            manifest=ONNX.read_manifest(path),
            inputs=tuple(_info(port) for port in compiled.inputs),
            outputs=tuple(_info(port) for port in compiled.outputs),
            batch_size=batch_size,
        )
        self._compiled = compiled
        self._request = compiled.create_infer_request()

    def _run_batch(self, pixels: np.ndarray) -> np.ndarray:
        self._request.infer([pixels.astype(self._input.dtype, copy=False)])
        return np.array(self._request.get_output_tensor(0).data, np.float32)

    def delegation(self) -> Delegation:
        """Returns the nodes of the compiled graph, with the kinds of numbers they compute in."""
        nodes = []
        for node in self._compiled.get_runtime_model().get_ordered_ops():
            told = node.get_rt_info()
            kind = (
                str(told["layerType"].astype(str)) if "layerType" in told else node.get_type_name()
            )
            precision = (
                str(told["runtimePrecision"].astype(str)) if "runtimePrecision" in told else ""
            )
            if kind not in _NO_WORK:
                nodes.append(f"{kind} {precision}".strip())
        devices = self._compiled.get_property("EXECUTION_DEVICES")
        note = f"as it runs: {list_counts(by_falling_number(nodes))}"
        return Delegation(
            f"OpenVINO {', '.join(map(str, devices))}", 1, len(nodes), len(nodes), note
        )

    def _release(self) -> None:
        del self._request, self._compiled


def _info(port: Any) -> TensorInfo:
    dtype = port.get_element_type().get_type_name()
    shape = tuple(
        None if size.is_dynamic else int(size.get_length()) for size in port.get_partial_shape()
    )
    return TensorInfo(port.get_any_name(), _DTYPES.get(dtype, dtype), shape)
