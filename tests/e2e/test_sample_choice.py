"""Which bundled images a model is calibrated and proven on, and what is said of them."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from tests.support.command_line import run_command
from tests.support.keras_models import write_small_model
from vitsd_export.data.sample import load_sample
from vitsd_export.measure.benchmark.engine import Conditions
from vitsd_export.measure.benchmark.results import Candidate, Row
from vitsd_export.workflows import benchmark
from vitsd_export.workflows.benchmark import BenchmarkRequest, benchmark_artifacts
from vitsd_export.workflows.export import CalibrationSource, Export

FINE, OTHERS = "the model's", "others"
# Class names inside the small model decide: as many as CIFAR-100's, and some that no sample has.
CASES = {100: FINE, 4: OTHERS}


@pytest.fixture(scope="module", params=CASES)
def case(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path, str]:
    """A model, its int8 LiteRT file, and whose classes the labels of CIFAR-100 are."""
    folder = tmp_path_factory.mktemp("choice")
    model = write_small_model(folder / "model.keras", num_classes=request.param)
    artifact = folder / "model.tflite"
    # The answers of 100 classes of an untrained model are too close for the gate of int8.
    outcome = run_command(
        *("tflite", "--model", model, "--quantize", "--no-verify", "-o", artifact)
    )
    assert outcome.exit_code == 0, outcome.stderr
    return model, artifact, CASES[request.param]


def described(part: str, labels: str) -> dict[str, str]:
    split = {"calibration": "train", "verification": "test"}[part]
    return {"source": f"bundled CIFAR-100 sample ({part})", "split": split, "labels": labels}


def test_an_export_is_proven_on_the_sample_that_fits(
    case: tuple[Path, Path, str], tmp_path: Path
) -> None:
    model, _, labels = case
    outcome = run_command("onnx", "--model", model, "-o", tmp_path / "x.onnx", "--json")
    assert outcome.exit_code == 0, outcome.stderr
    (told,) = json.loads(outcome.stdout)["artifacts"]
    assert told["verification"]["data"] == described("verification", labels)
    assert (told["verification"]["parity"]["reference_top1"] is None) is (labels == OTHERS)
    beside = json.loads((tmp_path / "x.onnx.json").read_text(encoding="utf-8"))
    assert beside["verification"] == told["verification"]


def test_ranges_come_from_the_sample_that_fits(case: tuple[Path, Path, str]) -> None:
    artifact = case[1]
    beside = artifact.with_name(f"{artifact.name}.json")
    told = json.loads(beside.read_text(encoding="utf-8"))["calibration"]
    assert told["source"] == "bundled CIFAR-100 sample (calibration)"
    sample = load_sample("calibration", "cifar100")
    assert told["sha256"] == sample.sample(told["count"], told["seed"]).sha256()


def test_verify_takes_the_sample_that_fits_and_says_so(case: tuple[Path, Path, str]) -> None:
    model, artifact, labels = case
    command = ("verify", artifact, "--reference", model, "--scheme", "float16")
    (told,) = json.loads(run_command(*command, "--json").stdout)["artifacts"]
    assert told["verification"]["data"] == described("verification", labels)
    printed = run_command(*command).stdout
    assert "500 images: bundled CIFAR-100 sample (verification)" in printed
    assert ("labels of other classes" in printed) is (labels == OTHERS)
    assert ("top-1 of Keras" in printed) is (labels == FINE)


def test_a_sample_can_be_named(case: tuple[Path, Path, str]) -> None:
    model, artifact, _ = case
    command = ("verify", artifact, "--reference", model, "--data", "cifar10-sample", "--json")
    (told,) = json.loads(run_command(*command).stdout)["artifacts"]
    assert told["verification"]["data"]["source"] == "bundled CIFAR-10 sample (verification)"
    assert told["verification"]["data"]["labels"] == OTHERS
    assert told["verification"]["parity"]["reference_top1"] is None


def test_sensitivity_takes_the_sample_that_fits(case: tuple[Path, Path, str]) -> None:
    model, artifact, _ = case
    outcome = run_command("sensitivity", model, artifact, "--samples", 4)
    assert outcome.exit_code == 0, outcome.stderr
    assert "on 4 images: bundled CIFAR-100 sample (calibration)" in outcome.stderr


def test_benchmarks_take_the_sample_that_fits(
    case: tuple[Path, Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, artifact, labels = case
    given: list[Conditions] = []

    def instead(
        candidates: Iterable[Candidate], conditions: Conditions, **options: Any
    ) -> list[Row]:
        given.append(conditions)
        return [Row(candidate, failure="not measured") for candidate in candidates]

    monkeypatch.setattr(benchmark, "run_engine", instead)
    results = benchmark_artifacts(
        BenchmarkRequest([artifact], reference=str(model), runtimes=["litert"])
    )
    assert results.data == {
        "source": "bundled CIFAR-100 sample",
        "split": "test",
        "labels": labels,
        "images": 500,
    }
    assert given[0].images.sha256() == load_sample("verification", "cifar100").sha256()


def test_a_search_and_a_head_take_the_sample_that_fits(case: tuple[Path, Path, str]) -> None:
    images = Export(case[0]).prepared.training_images(CalibrationSource())
    assert images.held_out.source == "bundled CIFAR-100 sample (calibration)"
    assert (len(images.calibration), len(images.held_out)) == (512, 488)


def test_labels_that_are_given_decide(tmp_path: Path) -> None:
    model = write_small_model(tmp_path / "model.keras", num_classes=20)
    outcome = run_command(
        *("onnx", "--model", model, "--labels", "coarse", "-o", tmp_path / "x.onnx", "--json")
    )
    assert outcome.exit_code == 0, outcome.stderr
    (told,) = json.loads(outcome.stdout)["artifacts"]
    # The images are of CIFAR-100, their labels the fine ones.
    assert told["verification"]["data"] == described("verification", OTHERS)
