"""Wall time of the commands people type, each in a process of its own."""

import dataclasses
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.untrained import untrained_model

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
    *, runs: int = 3, stock: bool = True, report: Callable[[str], None] = lambda _: None
) -> list[CommandTime]:
    """Times `--help` and the ONNX exports of both presets, alternating them round by round.

    Args:
        runs: Rounds.
        stock: Also time tf2onnx alone on the untrained `vit-small-ds`, without any verification.
        report: Called with what is going on.
    """
    with tempfile.TemporaryDirectory() as folder:
        small = untrained_model("vit-small-ds", Path(folder), report)
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
        seconds: dict[str, list[float]] = {name: [] for name in commands}
        peaks: dict[str, float] = dict.fromkeys(commands, 0.0)
        environment = {**os.environ, "KERAS_BACKEND": "tensorflow"}
        for index in range(runs):
            for name, (command, _) in commands.items():
                report(f"round {index + 1} of {runs}: {name}")
                wall, peak = _run(command, environment)
                seconds[name].append(wall)
                peaks[name] = max(peaks[name], peak)
        notes = {_STOCK: _what_onnxruntime_says(Path(folder) / "stock.onnx")} if stock else {}
    return [
        CommandTime(
            name,
            statistics.median(seconds[name]),
            limit,
            runs,
            peaks[name],
            notes.get(name, ""),
        )
        for name, (_, limit) in commands.items()
    ]


def _run(command: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """Runs a command; returns its wall time in seconds and its peak memory in megabytes."""
    started = time.perf_counter()
    nowhere = subprocess.DEVNULL
    process = subprocess.Popen(command, stdout=nowhere, stderr=nowhere, env=environment)
    # Popen.wait tells nothing about memory.
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    # Linux counts in KiB.
    return wall, usage.ru_maxrss * 1024 / 1e6


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
