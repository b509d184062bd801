"""Runs ONNX files with ONNX Runtime on the CPU, without TensorFlow."""

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from vitsd_export._internal.messages import first_line
from vitsd_export.artifact.damage import parse_manifest, unusable
from vitsd_export.artifact.manifest import MANIFEST_KEY
from vitsd_export.artifact.tensor_info import TensorInfo
from vitsd_export.runtimes.base import DEFAULT_BATCH_SIZE, ImageRunner
from vitsd_export.runtimes.delegation import Delegation
from vitsd_export.runtimes.onnxruntime_delegation import profile_delegation

_DTYPES = {"tensor(float)": "float32", "tensor(float16)": "float16", "tensor(double)": "float64"}
# Errors come as exceptions; what the session would write to stderr below this repeats them.
_LOG_FATAL_ONLY = 4


class OnnxRuntimeRunner(ImageRunner):
    """An ONNX file in ONNX Runtime's CPU provider; threads are those inside an operator."""

    packages = ("onnxruntime",)
    formats = ("onnx",)

    @classmethod
    def prepare(cls, threads: int) -> None:
        """Imports ONNX Runtime; threads are the session's own."""
        import onnxruntime  # noqa: F401

    def __init__(
        self, path: Path, *, threads: int | None = None, batch_size: int = DEFAULT_BATCH_SIZE
    ) -> None:
        import onnxruntime

        errors = _runtime_errors(onnxruntime)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = _LOG_FATAL_ONLY
        options.inter_op_num_threads = 1
        if threads is not None:
            options.intra_op_num_threads = threads
        else:
            # Nobody times it: threads that spin between calls would take the cores from other work.
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            # Without its fallback, which prints to stdout and tries the same provider again.
            session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"], enable_fallback=0
            )
            metadata = dict(session.get_modelmeta().custom_metadata_map)
            inputs = tuple(_info(value) for value in session.get_inputs())
            outputs = tuple(_info(value) for value in session.get_outputs())
        except errors as error:
            raise unusable(
                path,
                "it is truncated, damaged, not an ONNX file, or newer than onnxruntime "
                f"{onnxruntime.__version__} ({_reason(error, path)})",
            ) from error
        super().__init__(
            name=f"onnxruntime {onnxruntime.__version__}",
            path=path,
            manifest=parse_manifest(path, metadata.get(MANIFEST_KEY)),
            inputs=inputs,
            outputs=outputs,
            batch_size=batch_size,
        )
        self._runtime_errors = errors
        self._session = session
        self._file = path

    def _run_batch(self, pixels: np.ndarray) -> np.ndarray:
        feed = {self._input.name: pixels.astype(self._input.dtype, copy=False)}
        answers = self._session.run([self._output.name], feed)[0]
        return np.asarray(answers, np.float32)

    def delegation(self) -> Delegation:
        """Returns the nodes that a profiled run of one image shows, by provider."""
        pixels = np.zeros((self.fixed_batch or 1, self.image_size, self.image_size, 3), np.uint8)
        feed = {self._input.name: pixels.astype(self._input.dtype, copy=False)}
        return profile_delegation(self._file, feed)

    def _release(self) -> None:
        del self._session


def _reason(error: BaseException, path: Path) -> str:
    # ONNX Runtime repeats the path, and a long one would leave no room for what it says.
    told = str(error).replace(f"Load model from {path} failed:", "")
    return first_line(told or type(error).__name__).rstrip(".")


def _runtime_errors(onnxruntime: ModuleType) -> tuple[type[BaseException], ...]:
    # ONNX Runtime's exceptions derive from Exception alone and have no common base.
    state = vars(onnxruntime.capi.onnxruntime_pybind11_state)
    own = [
        kind for kind in state.values() if isinstance(kind, type) and issubclass(kind, Exception)
    ]
    return (*own, ValueError, RuntimeError, MemoryError)


def _info(value: Any) -> TensorInfo:
    dtype = _DTYPES.get(value.type, value.type.removeprefix("tensor(").removesuffix(")"))
    shape = tuple(size if isinstance(size, int) and size > 0 else None for size in value.shape)
    return TensorInfo(value.name, dtype, shape)
