"""Runs .tflite files with LiteRT, without TensorFlow."""

import importlib.metadata
from pathlib import Path
from typing import Any

import numpy as np

from vitsd_export._internal.messages import first_line
from vitsd_export._internal.native_stderr import captured_native_stderr
from vitsd_export.artifact.damage import unusable
from vitsd_export.artifact.litert_file import read_litert_manifest
from vitsd_export.artifact.tensor_info import TensorInfo
from vitsd_export.runtimes.base import DEFAULT_BATCH_SIZE, ImageRunner
from vitsd_export.runtimes.delegation import Delegation
from vitsd_export.runtimes.litert_delegation import read_delegation

_REFUSALS = (ValueError, RuntimeError, MemoryError, OverflowError)


class LiteRTRunner(ImageRunner):
    """A .tflite file in the LiteRT interpreter with its XNNPACK delegate.

    An 8-bit input is quantized from the pixels by its own scale and zero point, an 8-bit output is
    turned back into floats.
    The file must be sound: see `litert_file.check_litert_file`. Without a number of threads it has one.
    """

    packages = ("ai-edge-litert",)
    formats = ("tflite",)
    _runtime_errors = _REFUSALS
    _xnnpack = True

    @classmethod
    def prepare(cls, threads: int) -> None:
        """Imports LiteRT; threads are the interpreter's own."""
        import ai_edge_litert.interpreter  # noqa: F401

    def __init__(
        self, path: Path, *, threads: int | None = None, batch_size: int = DEFAULT_BATCH_SIZE
    ) -> None:
        try:
            with captured_native_stderr() as messages:
                interpreter = _start(path, threads, self._xnnpack)
        except _REFUSALS as error:
            raise unusable(path, f"LiteRT refuses it: {first_line(error).rstrip('.')}") from error
        inputs = interpreter.get_input_details()
        outputs = interpreter.get_output_details()
        super().__init__(
            name=f"ai-edge-litert {importlib.metadata.version('ai-edge-litert')}",
            path=path,
            manifest=read_litert_manifest(path),
            inputs=tuple(_info(details) for details in inputs),
            outputs=tuple(_info(details) for details in outputs),
            batch_size=batch_size,
            input_dtypes=("uint8", "float32", "int8"),
        )
        self._interpreter = interpreter
        self._messages = messages()
        self._input_details = inputs[0]
        self._output_details = outputs[0]
        self._allocated_batch = int(inputs[0]["shape"][0])

    def _run_batch(self, pixels: np.ndarray) -> np.ndarray:
        index = self._input_details["index"]
        if len(pixels) != self._allocated_batch:
            self._interpreter.resize_tensor_input(index, pixels.shape)
            self._interpreter.allocate_tensors()
            self._allocated_batch = len(pixels)
        self._interpreter.set_tensor(index, _quantize(pixels, self._input_details))
        self._interpreter.invoke()
        answers = self._interpreter.get_tensor(self._output_details["index"])
        return _dequantize(answers, self._output_details)

    def delegation(self) -> Delegation:
        """Returns what the interpreter's plan says of delegates, and what they called themselves."""
        return read_delegation(self._interpreter, self._messages)

    def _release(self) -> None:
        del self._interpreter


class LiteRTKernelsRunner(LiteRTRunner):
    """A .tflite file in the LiteRT interpreter's own kernels, without any delegate."""

    _xnnpack = False


def _start(path: Path, threads: int | None, xnnpack: bool) -> Any:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    resolver = OpResolverType.AUTO if xnnpack else OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(
        model_path=str(path), num_threads=threads, experimental_op_resolver_type=resolver
    )
    interpreter.allocate_tensors()
    return interpreter


def _info(details: dict[str, Any]) -> TensorInfo:
    shape = tuple(None if size < 0 else int(size) for size in details["shape_signature"])
    return TensorInfo(details["name"], np.dtype(details["dtype"]).name, shape)


def _quantize(pixels: np.ndarray, details: dict[str, Any]) -> np.ndarray:
    scale, zero_point = details["quantization"]
    dtype = np.dtype(details["dtype"])
    if dtype == np.float32 or not scale or (dtype == np.uint8 and (scale, zero_point) == (1.0, 0)):
        return pixels.astype(dtype)
    limits = np.iinfo(dtype)
    steps = np.round(pixels.astype(np.float32) / np.float32(scale)) + zero_point
    integers: np.ndarray = np.clip(steps, limits.min, limits.max)
    return integers.astype(dtype)


def _dequantize(answers: np.ndarray, details: dict[str, Any]) -> np.ndarray:
    scale, zero_point = details["quantization"]
    if not scale or np.issubdtype(answers.dtype, np.floating):
        return answers.astype(np.float32)
    numbers: np.ndarray = (answers.astype(np.float32) - zero_point) * np.float32(scale)
    return numbers
