"""`vitsd-export verify`: any artifact against any reference on any images."""

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from PIL import Image

from tests.support.cifar_layouts import write_cifar10_pickles
from tests.support.command_line import Artifacts, run_command
from tests.support.keras_models import write_small_model
from tests.support.tiny_artifacts import write_onnx
from vitsd_export.data.sample import load_sample
from vitsd_export.errors import UsageError
from vitsd_export.workflows.verify import verify_all


def results(*arguments: object) -> list[dict[str, object]]:
    """What `verify --json` says of each artifact."""
    outcome = run_command("verify", *arguments, "--json")
    assert outcome.exit_code == 0, outcome.stderr
    told: list[dict[str, object]] = json.loads(outcome.stdout)["artifacts"]
    return told


def checks(result: dict[str, object]) -> dict[str, float]:
    """The figures of an artifact's checks."""
    verification = result["verification"]
    assert isinstance(verification, dict)
    return {check["name"]: check["value"] for check in verification["checks"]}


def test_the_default_reference_is_the_bundled_model(exported: Artifacts) -> None:
    artifacts = (exported.onnx, exported.tflite, exported.int8, exported.saved_model)
    told = results(*artifacts)
    assert [result["path"] for result in told] == [str(artifact) for artifact in artifacts]
    assert all(result["same_source"] is True for result in told)
    for artifact, result in zip(artifacts, told, strict=True):
        # The same images and the same answers as when it was exported.
        beside = artifact.with_name(f"{artifact.name}.json")
        recorded = json.loads(beside.read_text(encoding="utf-8"))["verification"]
        assert result["verification"]["scheme"] == recorded["scheme"]  # type: ignore[index]
        before = {check["name"]: check["value"] for check in recorded["checks"]}
        assert checks(result) == pytest.approx(before, abs=1e-6)


def test_a_reference_of_other_weights_is_not_what_it_was_made_from(
    small_artifacts: Artifacts, tmp_path: Path
) -> None:
    other = write_small_model(tmp_path / "other.keras", seed=2)
    outcome = run_command(
        "verify", small_artifacts.onnx, small_artifacts.int8, "--reference", other
    )
    assert outcome.exit_code == 4
    for artifact in (small_artifacts.onnx, small_artifacts.int8):
        assert str(artifact) in outcome.error
    assert "max abs difference" in outcome.error
    assert "--reference" in outcome.error
    assert outcome.stdout.count("(made from another file than the reference)") == 2
    assert "✗" in outcome.stdout


def test_a_failure_in_json(small_artifacts: Artifacts, tmp_path: Path) -> None:
    other = write_small_model(tmp_path / "other.keras", seed=2)
    outcome = run_command("verify", small_artifacts.onnx, "--reference", other, "--json")
    assert outcome.exit_code == 4
    (result,) = json.loads(outcome.stdout)["artifacts"]
    assert result["same_source"] is False
    assert result["verification"]["passed"] is False
    assert outcome.error


def test_one_failure_among_several_is_enough(
    small_artifacts: Artifacts, small_model: Path, tmp_path: Path
) -> None:
    wrong = tmp_path / "wrong.onnx"
    model = onnx.load(small_artifacts.onnx)
    largest = max(model.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    values = numpy_helper.to_array(largest)
    largest.CopyFrom(numpy_helper.from_array(values * np.float32(1.01), largest.name))
    onnx.save(model, wrong)
    outcome = run_command(
        "verify", small_artifacts.onnx, wrong, "--reference", small_model, "--json"
    )
    assert outcome.exit_code == 4
    told = json.loads(outcome.stdout)["artifacts"]
    assert [result["verification"]["passed"] for result in told] == [True, False]
    assert str(wrong) in outcome.error
    assert str(small_artifacts.onnx) not in outcome.error


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"num_classes": 4}, "4"),
        ({"input_size": 16}, "16"),
    ],
)
def test_a_reference_of_another_shape_is_refused(
    small_artifacts: Artifacts, tmp_path: Path, changes: dict[str, int], word: str
) -> None:
    other = write_small_model(tmp_path / "other.keras", **changes)
    outcome = run_command("verify", small_artifacts.onnx, "--reference", other)
    assert outcome.exit_code == 2
    assert word in outcome.error
    assert "--reference" in outcome.error


def test_images_from_a_folder(
    small_artifacts: Artifacts, small_model: Path, tmp_path: Path
) -> None:
    data = load_sample("verification")
    for index in range(12):
        folder = tmp_path / ("cats" if index % 2 else "dogs")
        folder.mkdir(exist_ok=True)
        Image.fromarray(data.images[index]).resize((70, 50)).save(folder / f"{index}.png")
    (result,) = results(small_artifacts.int8, "--reference", small_model, "--data", tmp_path)
    assert result["verification"]["images"] == 12  # type: ignore[index]
    # The classes are not the model's: its accuracy cannot be told.
    assert result["verification"]["skipped"]  # type: ignore[index]
    assert result["verification"]["parity"]["reference_top1"] is None  # type: ignore[index]


def test_images_of_cifar10(small_artifacts: Artifacts, small_model: Path, tmp_path: Path) -> None:
    data = load_sample("verification")
    assert data.labels is not None
    rows = (data.images[:30], data.labels[:30])
    write_cifar10_pickles(tmp_path, train=rows, test=rows)
    (result,) = results(
        *(small_artifacts.tflite, "--reference", small_model),
        *("--data", "cifar10", "--data-dir", tmp_path),
    )
    assert result["verification"]["images"] == 30  # type: ignore[index]
    assert result["verification"]["parity"]["reference_top1"] is not None  # type: ignore[index]


def test_the_gate_may_be_another_scheme_s(small_artifacts: Artifacts, small_model: Path) -> None:
    command = ("verify", small_artifacts.int8, "--reference", small_model)
    assert run_command(*command).exit_code == 0
    outcome = run_command(*command, "--scheme", "float32")
    assert outcome.exit_code == 4
    assert "0.0001" in outcome.error
    outcome = run_command(*command, "--scheme", "int3")
    assert outcome.exit_code == 2
    assert "int3" in outcome.error


def test_an_artifact_of_another_tool(
    small_artifacts: Artifacts, small_model: Path, tmp_path: Path
) -> None:
    bare = tmp_path / "bare.onnx"
    model = onnx.load(small_artifacts.onnx)
    del model.metadata_props[:]
    onnx.save(model, bare)
    (result,) = results(bare, "--reference", small_model)
    # Nothing says what it was made from, nor by which scheme: the strictest gate applies.
    assert result["same_source"] is None
    assert result["verification"]["scheme"] == "float32"  # type: ignore[index]

    outcome = run_command("verify", bare)
    assert outcome.exit_code == 2
    assert "--reference" in outcome.error


def test_an_artifact_of_a_model_that_is_not_bundled_needs_its_reference(
    small_artifacts: Artifacts,
) -> None:
    outcome = run_command("verify", small_artifacts.onnx)
    assert outcome.exit_code == 2
    assert "--reference" in outcome.error


def test_an_unrelated_artifact_is_refused(small_model: Path, tmp_path: Path) -> None:
    tiny = write_onnx(tmp_path / "tiny.onnx")
    with pytest.raises(UsageError, match="8 pixels"):
        verify_all([tiny], reference=str(small_model))


def test_results_keep_the_order_of_the_artifacts(
    small_artifacts: Artifacts, small_model: Path, tmp_path: Path
) -> None:
    first, second = tmp_path / "b.onnx", tmp_path / "a.onnx"
    for target in (first, second):
        shutil.copy(small_artifacts.onnx, target)
    messages: list[str] = []
    order = [first, small_artifacts.tflite, second]
    told = verify_all(order, reference=str(small_model), progress=messages.append)
    assert [result.path for result in told] == order
    assert all(result.verification.passed for result in told)
    assert messages.count("loading the model") == 1
    assert messages[-1] == f"verifying {second}"
