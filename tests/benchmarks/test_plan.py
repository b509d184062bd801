"""Which candidates a run has, and beside which baseline."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks.baselines.catalogue import BASELINES, Baseline
from benchmarks.isolated import Made
from benchmarks.suite.plan import MAIN_BASELINES, OPENVINO_RUNTIME, make_candidates, plan
from benchmarks.suite.variants import Variant
from vitsd_export.errors import UsageError
from vitsd_export.quantization.schemes import schemes_of


def _files(*lost: str) -> tuple[object, object]:
    """Makers that make everything but some."""

    def make(files: Sequence[Baseline | Variant]) -> dict[str, Made]:
        return {
            file.name: Made(None, "crashed") if file.name in lost else Made(Path(file.file_name))
            for file in files
        }

    return make, make


def test_full_run_has_every_scheme_baseline_and_runtime() -> None:
    entries = plan("full", head_rank=256)
    names = [entry.candidate.name for entry in entries]
    assert len(set(names)) == len(names)
    for name, format in (("onnx", "onnx"), ("litert", "tflite"), ("saved-model", "saved_model")):
        for scheme in schemes_of(format):  # type: ignore[arg-type]
            assert f"{name} {scheme}" in names
    assert {baseline.name for baseline in BASELINES} <= set(names)
    assert "onnx int8 head-rank 256" in names
    runtimes = {entry.candidate.runtime for entry in entries}
    assert runtimes >= {"keras-tensorflow", "keras-jax", "litert-no-xnnpack", OPENVINO_RUNTIME}


@pytest.mark.parametrize("length", ["quick", "full"])
def test_ours_stand_beside_a_stock_file_of_the_same_runtime(length: str) -> None:
    entries = {entry.candidate.name: entry.candidate for entry in plan(length)}  # type: ignore[arg-type]
    for candidate in entries.values():
        if candidate.origin == "ours":
            assert candidate.baseline is not None
            baseline = entries[candidate.baseline]
            assert (baseline.origin, baseline.runtime) == ("stock", candidate.runtime)
            assert baseline.baseline is None


def test_quick_run_has_the_baselines_alone_of_the_baselines() -> None:
    stock = {e.candidate.name for e in plan("quick") if e.candidate.origin == "stock"}
    assert stock == {"keras (tensorflow)", *MAIN_BASELINES.values()}


def test_some_can_be_chosen_and_bring_their_baselines() -> None:
    names = [entry.candidate.name for entry in plan("full", only=["ONNX int8"])]
    assert names == [
        "tf2onnx float32",
        "onnx int8",
        "tf2onnx float32 in OpenVINO",
        "onnx int8 in OpenVINO",
    ]
    with pytest.raises(UsageError, match="nonesuch"):
        plan("full", only=["nonesuch"])


def test_file_that_was_not_made_is_a_failed_row_and_no_baseline() -> None:
    entries = plan("quick")
    candidates, lost = make_candidates(
        entries,
        Path("model.keras"),
        *_files("tf2onnx float32", "litert int8"),  # type: ignore[arg-type]
    )
    assert [each.name for each in candidates] == [entry.candidate.name for entry in entries]
    assert {name: row.failure for name, row in lost.items()} == {
        "tf2onnx float32": "crashed",
        "litert int8": "crashed",
    }
    found = {each.name: each for each in candidates}
    assert found["onnx int8"].baseline is None
    assert found["litert float32"].baseline == "tf.lite float32"
    assert found["keras (tensorflow)"].path == "model.keras"
    assert found["onnx int8"].path == "onnx-int8.onnx"
