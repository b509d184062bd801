"""Times artifacts of one runtime in turn, in a process of its own: `python -m benchmarks.timing PLAN`.

A process of its own, because TensorFlow's threads can be set once in a process, and so that no runtime's
threads wait beside another's.
"""

import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np

Runtime = Literal["onnxruntime", "litert", "tensorflow"]


@dataclasses.dataclass(frozen=True)
class Plan:
    """What to time.

    Attributes:
        runtime: The runtime of all files.
        threads: Threads it may use.
        batch: Images in a call.
        rounds: Calls of each file that are timed.
        files: Artifacts by name.
    """

    runtime: Runtime
    threads: int
    batch: int
    rounds: int
    files: dict[str, str]


def time_in_process(plan: Plan) -> dict[str, float]:
    """Returns the median milliseconds of a call of each file, taken in a new process."""
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.timing"]
    result = subprocess.run(
        [*command, json.dumps(dataclasses.asdict(plan))], check=True, capture_output=True, text=True
    )
    return {
        name: float(value) for name, value in json.loads(result.stdout.splitlines()[-1]).items()
    }


def _time(plan: Plan) -> dict[str, float]:
    from vitsd_export.measure.benchmark.latency import time_alternating

    open_file = {"onnxruntime": _onnxruntime, "litert": _litert, "tensorflow": _tensorflow}
    # Where its memory happens to lie makes some percent of a file's time, and the first to be opened lies
    # worst: each is opened twice, in opposite orders, and the better place counts.
    orders = [list(plan.files), list(reversed(plan.files))]
    calls = {
        f"{turn} {name}": open_file[plan.runtime](Path(plan.files[name]), plan)
        for turn, names in enumerate(orders)
        for name in names
    }
    times = time_alternating(calls, plan.rounds, warmup=3)
    return {name: min(times[f"{turn} {name}"].p50 for turn in (0, 1)) for name in plan.files}


def _pixels(plan: Plan, size: int, dtype: Any) -> np.ndarray:
    pixels = np.random.default_rng(0).integers(0, 256, (plan.batch, size, size, 3))
    return pixels.astype(dtype)


def _onnxruntime(path: Path, plan: Plan) -> Callable[[], object]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = plan.threads, 1
    # Threads of the files whose turn it is not would spin on the cores of the one that is timed.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    (image,) = session.get_inputs()
    dtype = np.uint8 if image.type == "tensor(uint8)" else np.float32
    feed = {image.name: _pixels(plan, image.shape[1], dtype)}
    return lambda: session.run(None, feed)


def _litert(path: Path, plan: Plan) -> Callable[[], object]:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=plan.threads)
    interpreter.allocate_tensors()
    (image,), (answer,) = interpreter.get_input_details(), interpreter.get_output_details()
    pixels = _pixels(plan, int(image["shape"][1]), image["dtype"])

    def call() -> object:
        interpreter.set_tensor(image["index"], pixels)
        interpreter.invoke()
        return interpreter.get_tensor(answer["index"])

    return call


def _tensorflow(path: Path, plan: Plan) -> Callable[[], object]:
    import tensorflow as tf

    # Only the first call in a process has an effect.
    tf.config.threading.set_intra_op_parallelism_threads(plan.threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    loaded = tf.saved_model.load(str(path))
    function = loaded.signatures["serving_default"]
    ((name, image),) = function.structured_input_signature[1].items()
    pixels = tf.constant(_pixels(plan, image.shape[1], image.dtype.as_numpy_dtype))

    def call(_: object = loaded) -> object:
        (answer,) = function(**{name: pixels}).values()
        return answer.numpy()

    return call


if __name__ == "__main__":
    print(json.dumps(_time(Plan(**json.loads(sys.argv[1])))))
