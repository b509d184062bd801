"""How fast this machine multiplies matrices and reads weights, for estimates of what a model must take."""

import dataclasses
from typing import Any

import numpy as np

from vitsd_export.measure.latency import time_alternating

# Large enough that packing the factors does not count, small enough that both stay in the caches.
_SIDE = 512
# 64 MB of weights, used once a call: more than the private caches of any processor hold.
_INPUTS, _OUTPUTS = 8192, 2048
_ROUNDS = 15


@dataclasses.dataclass(frozen=True)
class MachineSpeed:
    """Speed of onnxruntime's matrix product on this machine.

    Attributes:
        threads: Threads it ran on.
        flops: Floating-point operations a second in a product of square float32 matrices of 512; a
            multiplication with an addition is two.
        bandwidth: Bytes of weights a second in a product of a vector with a 64 MB matrix.
    """

    threads: int
    flops: float
    bandwidth: float


def measure_machine(threads: int = 1) -> MachineSpeed:
    """Measures the machine in about a second.

    Args:
        threads: Threads to use.
    """
    calls = {
        "compute": _product(_SIDE, _SIDE, _SIDE, threads),
        "memory": _product(1, _INPUTS, _OUTPUTS, threads),
    }
    times = time_alternating(calls, _ROUNDS, warmup=3)
    return MachineSpeed(
        threads=threads,
        flops=2 * _SIDE**3 / (times["compute"].p50 / 1e3),
        bandwidth=4 * _INPUTS * _OUTPUTS / (times["memory"].p50 / 1e3),
    )


def _product(rows: int, inputs: int, outputs: int, threads: int) -> Any:
    """Returns a call of x [rows, inputs] · constant [inputs, outputs] in onnxruntime."""
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    weights = rng.normal(size=(inputs, outputs)).astype(np.float32)
    x = rng.normal(size=(rows, inputs)).astype(np.float32)
    sets = [helper.make_opsetid("", 17)]
    model = helper.make_model(
        helper.make_graph(
            [helper.make_node("MatMul", ["x", "weights"], ["y"])],
            "product",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, (rows, inputs))],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, (rows, outputs))],
            [numpy_helper.from_array(weights, "weights")],
        ),
        opset_imports=sets,
        ir_version=helper.find_min_ir_version_for(sets),
    )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return lambda: session.run(None, {"x": x})
