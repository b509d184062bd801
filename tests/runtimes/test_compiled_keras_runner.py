"""Tests of compiled Keras models, in processes of their own: a process has one Keras backend."""

from pathlib import Path

import numpy as np
import pytest

from vitsd_export.measure.benchmark.worker_process import WorkerProcess
from vitsd_export.runtimes.keras_runner import KerasRunner


@pytest.fixture(scope="module")
def expected(small_model: Path, images: np.ndarray) -> np.ndarray:
    """The plain Keras model's probabilities of ten images, [10, classes]."""
    from vitsd_export.sources.checkpoint import answers_probabilities, load_model
    from vitsd_export.sources.location import locate

    loaded = load_model(locate(small_model))
    output = "probabilities" if answers_probabilities(loaded) else "logits"
    with KerasRunner(loaded.model, output=output) as runner:  # type: ignore[arg-type]
        return runner.probabilities(images[:10])


@pytest.mark.parametrize("runtime", ["keras-tensorflow", "keras-jax"])
def test_a_compiled_model_answers_as_the_plain_one(
    runtime: str, small_model: Path, images: np.ndarray, expected: np.ndarray
) -> None:
    if runtime == "keras-jax":
        pytest.importorskip("jax")
    with WorkerProcess(120) as process:
        versions = process.prepare(runtime, 1)
        process.ask("loading", "load", path=str(small_model), batch_size=4)
        # Ten is no multiple of four: a batch of another size is compiled as well.
        _, answers = process.ask("answering", "answer", images[:10])
    assert set(versions) >= {"keras", runtime.removeprefix("keras-")}
    np.testing.assert_allclose(answers, expected, atol=1e-5)
