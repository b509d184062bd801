"""What this machine is, and how fast it multiplies matrices and reads weights."""

import os
import platform
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from vitsd_export.measure.benchmark.latency import time_alternating
from vitsd_export.measure.benchmark.results import Machine, Speed
from vitsd_export.measure.benchmark.settings import available_cores

# Large enough that packing the factors does not count, small enough that both stay in the caches.
_SIDE = 512
# 64 MB of weights, used once a call: more than the private caches of any processor hold.
_INPUTS, _OUTPUTS = 8192, 2048
_ROUNDS = 40

_PROCESSOR_FILE = Path("/proc/cpuinfo")
# Instructions for vectors and for products of small numbers, on x86 and on Arm.
_FEATURES = re.compile(
    r"avx2|fma|avx512(f|bw|_vnni|_bf16|_fp16)|avx_vnni|amx_\w+|asimd|asimddp|asimdhp|i8mm|bf16|sve2?|sme"
)


def measure_machine(threads: int = 1) -> Speed:
    """Measures the rates of onnxruntime's matrix product on some threads in about a second.

    Floating-point and 8-bit operations (unsigned by signed) are those of a product of square matrices of
    512; bandwidth is the bytes of weights in a product of a vector with a 64 MB matrix. The shortest of
    many calls counts: what else the machine does makes them longer, and a limit is for a machine at rest.
    """
    calls = {
        "compute": _product(_SIDE, _SIDE, _SIDE, threads),
        "memory": _product(1, _INPUTS, _OUTPUTS, threads),
        "integers": _product(_SIDE, _SIDE, _SIDE, threads, integers=True),
    }
    times = time_alternating(calls, _ROUNDS, warmup=3)
    return Speed(
        threads=threads,
        flops=2 * _SIDE**3 / (times["compute"].best / 1e3),
        bandwidth=4 * _INPUTS * _OUTPUTS / (times["memory"].best / 1e3),
        int8_ops=2 * _SIDE**3 / (times["integers"].best / 1e3),
    )


def _product(
    rows: int, inputs: int, outputs: int, threads: int, *, integers: bool = False
) -> Callable[[], object]:
    """Returns a call of x [rows, inputs] · constant [inputs, outputs] in onnxruntime."""
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    if integers:
        # 7-bit weights: processors without VNNI add two products in 16 bits, which larger ones overflow.
        weights = rng.integers(-64, 64, (inputs, outputs)).astype(np.int8)
        x = rng.integers(0, 256, (rows, inputs)).astype(np.uint8)
        op, taken, given = "MatMulInteger", TensorProto.UINT8, TensorProto.INT32
    else:
        weights = rng.normal(size=(inputs, outputs)).astype(np.float32)
        x = rng.normal(size=(rows, inputs)).astype(np.float32)
        op, taken, given = "MatMul", TensorProto.FLOAT, TensorProto.FLOAT
    sets = [helper.make_opsetid("", 17)]
    model = helper.make_model(
        helper.make_graph(
            [helper.make_node(op, ["x", "weights"], ["y"])],
            "product",
            [helper.make_tensor_value_info("x", taken, (rows, inputs))],
            [helper.make_tensor_value_info("y", given, (rows, outputs))],
            [numpy_helper.from_array(weights, "weights")],
        ),
        opset_imports=sets,
        ir_version=helper.find_min_ir_version_for(sets),
    )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # The threads of the other products would spin on the cores of the one that is timed.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return lambda: session.run(None, {"x": x})


def describe_machine(threads: Sequence[int] = (1,)) -> Machine:
    """Returns what this machine is, with its rates at some numbers of threads, a second for each."""
    import psutil

    processor = _read_processor()
    return Machine(
        processor=processor.get("model name") or platform.processor() or platform.machine(),
        features=_features(processor.get("flags") or processor.get("Features") or ""),
        cores=len(available_cores()),
        memory=int(psutil.virtual_memory().total),
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        speeds=tuple(measure_machine(count) for count in sorted(set(threads))),
    )


def _read_processor() -> dict[str, str]:
    """Returns the entries of the first processor that Linux lists."""
    if not os.access(_PROCESSOR_FILE, os.R_OK):
        return {}
    first = _PROCESSOR_FILE.read_text(encoding="utf-8").split("\n\n", 1)[0]
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def _features(flags: str) -> tuple[str, ...]:
    return tuple(sorted({flag for flag in flags.split() if _FEATURES.fullmatch(flag)}))
