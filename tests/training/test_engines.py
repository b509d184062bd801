"""One program, whatever runs it: backends and numbers of devices agree."""

import concurrent.futures
import dataclasses
import json
import os
import socket
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from tests.support.engine_runs import random_start
from tests.support.processes import run_python
from tests.support.training_parts import LIVELY, small_config
from tests.support.training_runs import weights_of
from vitsd_export.model.classifier import build_classifier

# Two epochs of three steps. The answer is written to a file: whatever else is printed does not matter.
_TRAIN = """
import dataclasses, json, os, sys
from pathlib import Path
folder, runs = Path(sys.argv[1]), json.loads(sys.argv[2])
from training.engines.devices import join_cluster
join_cluster()
import keras
if keras.backend.backend() == "tensorflow" and "TF_CONFIG" not in os.environ:
    import tensorflow as tf
    two = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], two)
from tests.support.engine_runs import run_all
from tests.support.training_parts import small_config
run_all(folder, runs)
"""

_COMPARE_UPDATES = """
from tests.support.engine_runs import distance_of_updates
from training.presets import ResidualConfig
networks = {
    "transformer": small_config(),
    "residual": ResidualConfig((4, 4, 4, 4), 8, 3),
}
(folder / "distances.json").write_text(
    json.dumps({name: distance_of_updates(config) for name, config in networks.items()})
)
"""
TOLERANCE = 1e-4


@dataclasses.dataclass(frozen=True)
class Result:
    """What a run left.

    Attributes:
        log: Its rows.
        arrays: Weights and the optimizer's slots in the end, by their place in the checkpoint.
        kept: Weights that are kept: averages.
    """

    log: list[dict[str, float]]
    arrays: dict[str, np.ndarray]
    kept: list[np.ndarray]


def read_result(folder: Path, dropout: float = 0.0) -> Result:
    state = json.loads((folder / "state.json").read_text())
    arrays: dict[str, np.ndarray] = {}

    def collect(path: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            arrays[path] = item[()]

    with h5py.File(folder / state["weights"]) as file:
        file.visititems(collect)
    model = build_classifier(small_config(dropout))
    (best,) = folder.glob("best*.weights.h5")
    model.load_weights(best)
    return Result(state["log"], arrays, weights_of(model))


def train_small(backend: str, runs: list[dict[str, Any]], folder: Path, further: str = "") -> None:
    """Trains in a process of its own; each run is what `engine_runs.run_all` takes."""
    environment = {"KERAS_BACKEND": backend}
    if backend == "jax":
        flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=2"
        environment["XLA_FLAGS"] = flags.strip()
    run_python(_TRAIN + further, folder, json.dumps(runs), **environment)


def on_one_device(backend: str, factory: pytest.TempPathFactory) -> Result:
    folder = factory.mktemp(backend)
    train_small(backend, [{"name": "run", "devices": 1}], folder)
    return read_result(folder / "run")


@pytest.fixture(scope="module")
def on_jax(tmp_path_factory: pytest.TempPathFactory) -> Result:
    """A run on one device."""
    return on_one_device("jax", tmp_path_factory)


@pytest.fixture(scope="module")
def on_tensorflow(tmp_path_factory: pytest.TempPathFactory) -> Result:
    """A run on one device."""
    return on_one_device("tensorflow", tmp_path_factory)


@pytest.fixture(scope="module")
def torch_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs on torch: `run` as on the others; `unbroken` and `resumed` with dropout; and distances.json."""
    pytest.importorskip("torch")
    folder = tmp_path_factory.mktemp("torch")
    runs: list[dict[str, Any]] = [
        {"name": "run", "devices": 1},
        {"name": "unbroken", "dropout": 0.3},
        {"name": "resumed", "dropout": 0.3, "stop_after": 1},
        {"name": "resumed", "dropout": 0.3, "resume": True},
    ]
    train_small("torch", runs, folder, _COMPARE_UPDATES)
    return folder


def check_same_losses(one: list[dict[str, float]], other: list[dict[str, float]]) -> None:
    assert len(one) == len(other) == LIVELY.epochs
    for row, other_row in zip(one, other, strict=True):
        for name in ("loss", "validation_loss"):
            assert row[name] == pytest.approx(other_row[name], abs=TOLERANCE), name
        assert row["learning_rate"] == pytest.approx(other_row["learning_rate"], rel=1e-5)


def check_same_end(one: Result, other: Result, tolerance: float) -> None:
    """Compares weights, the optimizer's slots and averages; a step moves a weight by up to 3e-3."""
    check_same_losses(one.log, other.log)
    assert one.arrays.keys() == other.arrays.keys()
    assert sum("optimizer" in path for path in one.arrays) > 60
    for path, array in one.arrays.items():
        scale = np.abs(other.arrays[path]).max() if "optimizer" in path else 1.0
        difference = np.abs(array - other.arrays[path]).max()
        assert difference <= tolerance * scale + 1e-9, path
    for kept, other_kept in zip(one.kept, other.kept, strict=True):
        np.testing.assert_allclose(kept, other_kept, rtol=tolerance, atol=tolerance)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "tensorflow"])
def test_two_devices_train_as_one(
    backend: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    one = request.getfixturevalue(f"on_{backend}").log
    train_small(backend, [{"name": "run", "devices": 2}], tmp_path)
    check_same_losses(one, read_result(tmp_path / "run").log)
    # The second epoch shows that the first one changed something.
    assert one[0]["loss"] != pytest.approx(one[1]["loss"], abs=10 * TOLERANCE)


def test_backends_train_alike(on_jax: Result, on_tensorflow: Result) -> None:
    check_same_end(on_jax, on_tensorflow, 1e-4)


@pytest.mark.parametrize("network", ["transformer", "residual"])
def test_the_fused_update_of_torch_is_the_optimizer_of_keras(
    network: str, torch_folder: Path
) -> None:
    """Schedule, clipping, decay of kernels alone and averages, over six steps.

    Gradients of folded keys and of convolutions do not lie in memory as their weights do.
    """
    assert json.loads((torch_folder / "distances.json").read_text())[network] < 1e-5


def test_torch_trains_alike(on_tensorflow: Result, torch_folder: Path) -> None:
    check_same_end(read_result(torch_folder / "run"), on_tensorflow, 1e-4)
    start = weights_of(random_start().model)[3:]
    moved = [np.abs(w - s).max() for w, s in zip(on_tensorflow.kept[3:], start, strict=True)]
    # All but the keys' bias, which has no influence.
    assert sum(distance > 1e-3 for distance in moved) == len(moved) - 1


def test_a_checkpoint_of_torch_is_resumed_to_the_same_end(torch_folder: Path) -> None:
    unbroken, resumed = (read_result(torch_folder / n, 0.3) for n in ("unbroken", "resumed"))
    check_same_end(resumed, unbroken, 1e-6)
    plain = read_result(torch_folder / "run")
    assert unbroken.log[1]["loss"] != pytest.approx(plain.log[1]["loss"], abs=1e-3)


def cluster_of_two(backend: str, process: int, ports: list[int]) -> dict[str, str]:
    """Returns what the README tells each of two hosts to set."""
    addresses = [f"localhost:{port}" for port in ports]
    if backend == "jax":
        return {
            "KERAS_DISTRIBUTION_JOB_ADDRESSES": ",".join(addresses),
            "KERAS_DISTRIBUTION_NUM_PROCESSES": "2",
            "KERAS_DISTRIBUTION_PROCESS_ID": str(process),
        }
    task = {"type": "worker", "index": process}
    return {"TF_CONFIG": json.dumps({"cluster": {"worker": addresses}, "task": task})}


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "tensorflow"])
def test_two_hosts_train_as_one(
    backend: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    with socket.socket() as one, socket.socket() as other:
        one.bind(("localhost", 0))
        other.bind(("localhost", 0))
        ports = [one.getsockname()[1], other.getsockname()[1]]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        runs = [
            pool.submit(
                run_python,
                _TRAIN,
                tmp_path / str(process),
                json.dumps([{"name": "run"}]),
                KERAS_BACKEND=backend,
                XLA_FLAGS="",
                **cluster_of_two(backend, process, ports),
            )
            for process in range(2)
        ]
        for run in runs:
            run.result()
    alone = request.getfixturevalue(f"on_{backend}")
    for process in range(2):
        check_same_losses(read_result(tmp_path / str(process) / "run").log, alone.log)
