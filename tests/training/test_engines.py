"""One program, whatever runs it: backends and numbers of devices agree."""

import concurrent.futures
import importlib.util
import json
import os
import socket
from pathlib import Path

import pytest

from tests.training.processes import run_python
from tests.training.small_parts import LIVELY

# Two epochs of three steps.
_TRAIN = """
import dataclasses, json, os, sys
from pathlib import Path
folder, backend, devices = Path(sys.argv[1]), os.environ["KERAS_BACKEND"], json.loads(sys.argv[2])
from training.engines.cluster import join_cluster
join_cluster()
if backend == "tensorflow" and "TF_CONFIG" not in os.environ:
    import tensorflow as tf
    two = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], two)
import io
from rich.console import Console
import numpy as np
from tests.training.small_parts import LIVELY, small_config, small_data
from training import loop
real = loop.build_classifier
def same_weights(*arguments, **options):
    # Backends draw other initial weights from the same seed.
    model, rng = real(*arguments, **options), np.random.default_rng(0)
    for variable in model.trainable_variables:
        is_scale = variable.name in ("gamma", "tau")
        variable.assign(is_scale + 0.2 * rng.standard_normal(variable.shape))
    return model
loop.build_classifier = same_weights
logs = []
for count in devices:
    trained = loop.train(
        small_config(), LIVELY, small_data(28), folder / f"{backend}{count}",
        devices=count, console=Console(file=io.StringIO()),
    )
    logs.append(trained.log)
print(json.dumps(logs))
"""
TOLERANCE = 1e-4


def train_small(backend: str, devices: list[int], folder: Path) -> list[list[dict[str, float]]]:
    """Returns the log of a run on each number of devices."""
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=2"
    environment = {"KERAS_BACKEND": backend}
    if backend == "jax":
        environment["XLA_FLAGS"] = flags.strip()
    printed = run_python(_TRAIN, folder, json.dumps(devices), **environment)
    logs: list[list[dict[str, float]]] = json.loads(printed.splitlines()[-1])
    return logs


@pytest.fixture(scope="module")
def on_jax(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, float]]:
    """The log of a run on one device."""
    return train_small("jax", [1], tmp_path_factory.mktemp("jax"))[0]


@pytest.fixture(scope="module")
def on_tensorflow(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, float]]:
    """The log of a run on one device."""
    return train_small("tensorflow", [1], tmp_path_factory.mktemp("tensorflow"))[0]


def check_same_losses(one: list[dict[str, float]], other: list[dict[str, float]]) -> None:
    assert len(one) == len(other) == LIVELY.epochs
    for row, other_row in zip(one, other, strict=True):
        for name in ("loss", "validation_loss"):
            assert row[name] == pytest.approx(other_row[name], abs=TOLERANCE), name


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "tensorflow"])
def test_two_devices_train_as_one(
    backend: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    one = request.getfixturevalue(f"on_{backend}")
    (two,) = train_small(backend, [2], tmp_path)
    check_same_losses(one, two)
    # The second epoch shows that the first one changed something.
    assert one[0]["loss"] != pytest.approx(one[1]["loss"], abs=10 * TOLERANCE)


def test_backends_train_alike(
    on_jax: list[dict[str, float]], on_tensorflow: list[dict[str, float]]
) -> None:
    check_same_losses(on_jax, on_tensorflow)


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="torch is not installed")
def test_torch_trains_alike(on_tensorflow: list[dict[str, float]], tmp_path: Path) -> None:
    (log,) = train_small("torch", [1], tmp_path)
    check_same_losses(log, on_tensorflow)


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
                "[null]",
                KERAS_BACKEND=backend,
                XLA_FLAGS="",
                **cluster_of_two(backend, process, ports),
            )
            for process in range(2)
        ]
        logs = [json.loads(run.result().splitlines()[-1])[0] for run in runs]
    alone = request.getfixturevalue(f"on_{backend}")
    for log in logs:
        check_same_losses(log, alone)
