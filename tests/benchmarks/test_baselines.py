"""What other tools make of a small model, in processes of their own."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.baselines.catalogue import BASELINES, TORCH, Baseline, find_baseline
from benchmarks.baselines.making import make_baselines
from benchmarks.isolated import Made
from tests.support.keras_models import keras_probabilities
from vitsd_export._internal.hashing import file_sha256
from vitsd_export.artifact.formats import FORMATS
from vitsd_export.errors import InputError
from vitsd_export.runtimes import open_runner

_FLOAT = ("tf2onnx float32", "tf.lite float32", "keras export saved-model", "keras export litert")
_INTEGERS = (
    "onnxruntime quantize_dynamic",
    "onnxruntime quantize_static",
    "tf.lite dynamic-int8",
    "tf.lite full-int8",
)


@pytest.fixture(scope="module")
def made(small_model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Made]:
    """All baselines of the small model but PyTorch's."""
    baselines = [baseline for baseline in BASELINES if baseline.module is None]
    folder = tmp_path_factory.mktemp("baselines")
    return make_baselines(baselines, small_model, file_sha256(small_model), folder)


@pytest.mark.slow
@pytest.mark.parametrize("name", _FLOAT)
def test_float32_baseline_answers_as_keras(
    made: dict[str, Made], name: str, small_model: Path, images: np.ndarray
) -> None:
    path = made[name].path
    assert path is not None, made[name]
    with open_runner(path) as runner:
        assert runner.output_meaning == "logits"
        answers = runner.probabilities(images[:20])
    np.testing.assert_allclose(answers, keras_probabilities(small_model, images[:20]), atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", _INTEGERS)
def test_integer_baseline_is_small_and_runs(
    made: dict[str, Made], name: str, images: np.ndarray
) -> None:
    path = made[name].path
    assert path is not None, made[name]
    with open_runner(path) as runner:
        answers = runner.probabilities(images[:4])
    assert np.isfinite(answers).all()
    np.testing.assert_allclose(answers.sum(axis=1), 1, atol=0.02)


@pytest.mark.slow
def test_onnx_of_keras_is_made_but_does_not_load(made: dict[str, Made]) -> None:
    """Where a release of tf2onnx learns `Erfc`, this fails, and README and docs are to be changed."""
    path = made["keras export onnx"].path
    assert path is not None
    with pytest.raises(InputError, match="Erfc"):
        open_runner(path)


def test_what_is_made_is_used_again(small_model: Path, tmp_path: Path) -> None:
    baseline = _baseline("tests.support.baseline_makers:copy")
    said: list[str] = []
    first = make_baselines([baseline], small_model, "0" * 64, tmp_path, progress=said.append)
    second = make_baselines([baseline], small_model, "0" * 64, tmp_path, progress=said.append)
    other = make_baselines([baseline], small_model, "1" * 64, tmp_path, progress=said.append)
    assert first == second != other
    path = first[baseline.name].path
    assert path is not None
    assert path.read_bytes() == small_model.read_bytes()
    assert sum(line.startswith("making") for line in said) == 2


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        ("crash", "crashed: SIGSEGV"),
        ("refuse", "There is no such operator."),
        ("forget", "wrote no file"),
    ],
)
def test_failure_is_told_and_leaves_nothing(
    function: str, reason: str, small_model: Path, tmp_path: Path
) -> None:
    baseline = _baseline(f"tests.support.baseline_makers:{function}")
    made = make_baselines([baseline], small_model, "0" * 64, tmp_path)[baseline.name]
    assert made.path is None
    assert made.failure is not None
    assert reason in made.failure
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_missing_package_is_skipped(small_model: Path, tmp_path: Path) -> None:
    baseline = _baseline("tests.support.baseline_makers:copy", module="no_such_module_anywhere")
    made = make_baselines([baseline], small_model, "0" * 64, tmp_path)[baseline.name]
    assert (made.path, made.failure) == (None, None)
    assert made.skipped is not None
    assert "no_such_module_anywhere" in made.skipped


def test_baselines_are_told_apart() -> None:
    assert len({baseline.name for baseline in BASELINES}) == len(
        {baseline.file_name for baseline in BASELINES}
    )
    for baseline in BASELINES:
        assert find_baseline(baseline.name) is baseline
        suffix = ".pt" if baseline.format == TORCH else FORMATS[baseline.format].suffix
        assert baseline.file_name.endswith(suffix)


def _baseline(maker: str, module: str | None = None) -> Baseline:
    name = f"{maker} of the tests"
    return Baseline(name, "onnx", "float32", maker, "numpy", module=module)
