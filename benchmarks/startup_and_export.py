"""Wall time of the commands people type, each in a process of its own."""

import dataclasses
import functools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.untrained import untrained_model
from vitsd_export.measure.benchmark.latency import time_alternating

_STOCK = "tf2onnx alone (vit-small-ds, untrained)"
_STOCK_CONVERTER = """
import sys, keras, tensorflow as tf, tf2onnx
import vitsd_export.model.layers
model = keras.saving.load_model(sys.argv[1], compile=False)
signature = [tf.TensorSpec((None, *model.inputs[0].shape[1:]), tf.float32, name="image")]
tf2onnx.convert.from_function(
    tf.function(lambda image: model(image, training=False)), input_signature=signature, opset=17,
    output_path=sys.argv[2],
)
"""


@dataclasses.dataclass(frozen=True)
class CommandTime:
    """Wall time of a command, start of Python included.

    Attributes:
        name: What ran.
        seconds: Median.
        limit: What it may take; None where nothing is promised.
        runs: Number of runs.
        peak_megabytes: Largest resident memory of a run, 10⁶ bytes.
        note: What became of the file, where that is not plain.
    """

    name: str
    seconds: float
    limit: float | None
    runs: int
    peak_megabytes: float
    note: str = ""


def time_commands(
    *, runs: int = 3, stock: bool = True, progress: Callable[[str], None] = lambda _: None
) -> list[CommandTime]:
    """Times `--help` and the ONNX exports of both presets, alternating them round by round.

    Args:
        runs: Rounds.
        stock: Also time tf2onnx alone on the untrained `vit-small-ds`, without any verification.
        progress: Called with what is going on.
    """
    with tempfile.TemporaryDirectory() as folder:
        small = untrained_model("vit-small-ds", Path(folder), progress)
        program = [sys.executable, "-m", "vitsd_export"]
        commands: dict[str, tuple[list[str], float | None]] = {
            "vitsd-export --help": ([*program, "--help"], 0.5),
            "vitsd-export onnx (vit-tiny)": (
                [*program, "onnx", "-o", f"{folder}/tiny.onnx"],
                20,
            ),
            "vitsd-export onnx (vit-small-ds, untrained)": (
                [*program, "onnx", "--model", str(small), "-o", f"{folder}/small.onnx"],
                12,
            ),
            "import of TensorFlow and Keras alone": (
                [
                    sys.executable,
                    "-c",
                    "from vitsd_export._internal.tensorflow import use_tensorflow as u; u()",
                ],
                None,
            ),
        }
        if stock:
            commands[_STOCK] = (
                [sys.executable, "-c", _STOCK_CONVERTER, str(small), f"{folder}/stock.onnx"],
                None,
            )
        peaks: dict[str, float] = {}
        environment = {**os.environ, "KERAS_BACKEND": "tensorflow"}

        def run(name: str, command: list[str]) -> None:
            progress(name)
            peaks[name] = max(_run(command, environment), peaks.get(name, 0.0))

        calls = {
            name: functools.partial(run, name, command) for name, (command, _) in commands.items()
        }
        times = time_alternating(calls, runs, warmup=0)
        notes = {_STOCK: _what_onnxruntime_says(Path(folder) / "stock.onnx")} if stock else {}
    return [
        CommandTime(
            name,
            times[name].p50 / 1e3,
            limit,
            runs,
            peaks[name],
            notes.get(name, ""),
        )
        for name, (_, limit) in commands.items()
    ]


def _run(command: list[str], environment: dict[str, str]) -> float:
    """Runs a command; returns its peak memory in megabytes."""
    nowhere = subprocess.DEVNULL
    process = subprocess.Popen(command, stdout=nowhere, stderr=nowhere, env=environment)
    # Popen.wait does not report memory.
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    # Linux counts in KiB.
    return usage.ru_maxrss * 1024 / 1e6


def _what_onnxruntime_says(path: Path) -> str:
    from vitsd_export.errors import InputError
    from vitsd_export.runtimes.onnxruntime_runner import OnnxRuntimeRunner

    try:
        OnnxRuntimeRunner(path).close()
    except InputError as error:
        return str(error).replace(str(path), path.name)
    return "loads"


def to_json(times: list[CommandTime]) -> str:
    """Returns the figures as a JSON document."""
    return json.dumps([dataclasses.asdict(entry) for entry in times], indent=2)
