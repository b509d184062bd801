"""Decisions about two runs."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.support.benchmark_results import (
    accuracy,
    latency,
    machine,
    realistic,
    results,
    row,
    unusual,
)
from vitsd_export.errors import InputError, UsageError
from vitsd_export.measure.benchmark.results import ParityFigures, Results, Size
from vitsd_export.reports.compare import (
    Change,
    Comparison,
    compare_results,
)

OTHER = machine(processor="another")


def with_ratio(value: float, *, half: float = 0.01, p50: float = 2.0, **changes: Any) -> Results:
    """A run of a candidate with a baseline, its ratio with an interval of so much to each side."""
    figures = latency(p50, ratio=(value, value * (1 - half), value * (1 + half)))
    return results(row("a", baseline="stock", latencies=(figures,)), **changes)


def with_median(p50: float, **changes: Any) -> Results:
    return results(row("a", latencies=(latency(p50),)), **changes)


def with_top1(top1: float, *, agreement: float = 1.0, **changes: Any) -> Results:
    parity = ParityFigures(500, 0.0, 0.0, agreement, None, 0.0)
    return results(row("a", accuracy=accuracy(top1), parity=parity), **changes)


def changes_of(comparison: Comparison, *figures: str) -> list[Change]:
    """Returns the changes of some figures; of times without any."""
    return [each for each in comparison.changes if each.figure in (figures or ("ratio", "p50"))]


def test_a_run_beside_itself_has_not_changed() -> None:
    for run in unusual().values():
        comparison = compare_results(run, run)
        assert not comparison.regressed
        assert {change.verdict for change in comparison.changes} <= {"same"}


@pytest.mark.parametrize(
    ("new", "verdict"),
    [(0.5, "same"), (0.54, "same"), (0.56, "slower"), (0.46, "same"), (0.45, "faster")],
)
def test_ratios_decide_beyond_the_tolerance(new: float, verdict: str) -> None:
    comparison = compare_results(with_ratio(0.5), with_ratio(new), tolerance=0.1)
    (change,) = changes_of(comparison)
    assert (change.figure, change.verdict) == ("ratio", verdict)
    assert change.change is not None
    assert change.change.value == pytest.approx(new / 0.5 - 1)
    assert comparison.regressed == (verdict == "slower")


def test_the_tolerance_is_an_option() -> None:
    pair = with_ratio(0.5), with_ratio(0.56)
    assert compare_results(*pair, tolerance=0.1).regressed
    assert not compare_results(*pair, tolerance=0.2).regressed


def test_a_change_within_the_noise_is_none() -> None:
    noisy = compare_results(with_ratio(0.5, half=0.2), with_ratio(0.6, half=0.2))
    assert changes_of(noisy)[0].verdict == "same"
    assert compare_results(with_ratio(0.5), with_ratio(0.6)).regressed


def test_ratios_hold_across_machines_and_medians_do_not_count() -> None:
    old, new = with_ratio(0.5, p50=2.0), with_ratio(0.5, p50=9.0, machine=OTHER)
    comparison = compare_results(old, new)
    assert changes_of(comparison)[0].verdict == "same"
    assert any("machines differ" in note for note in comparison.notes)


def test_medians_are_compared_on_one_machine_alone() -> None:
    old, new = with_median(2.0), with_median(3.0)
    (change,) = changes_of(compare_results(old, new))
    assert (change.figure, change.verdict) == ("p50", "slower")
    refused = compare_results(old, replace(new, machine=OTHER))
    assert not changes_of(refused)
    assert not refused.regressed
    assert any("1 of the times" in note for note in refused.notes)


@pytest.mark.parametrize(
    "changes", [{"processor": "x"}, {"cores": 3}, {"features": ("avx2",)}, {"memory": 1}]
)
def test_a_machine_is_its_processor_cores_and_instructions(changes: dict[str, Any]) -> None:
    other = replace(with_median(3.0), machine=machine(**changes))
    assert bool(changes_of(compare_results(with_median(2.0), other))) == ("memory" in changes)


def test_another_baseline_gives_no_ratio() -> None:
    new = with_ratio(0.9, p50=2.0)
    moved = replace(new.rows[0], candidate=replace(new.rows[0].candidate, baseline="another"))
    (change,) = changes_of(compare_results(with_ratio(0.5, p50=2.0), replace(new, rows=(moved,))))
    assert (change.figure, change.verdict) == ("p50", "same")


def test_settings_are_paired() -> None:
    def run(*settings: tuple[int, int, float]) -> Results:
        figures = tuple(latency(p50, threads=t, batch=b) for t, b, p50 in settings)
        return results(row("a", latencies=figures))

    old = run((1, 1, 2.0), (2, 8, 5.0))
    comparison = compare_results(old, run((2, 8, 10.0), (1, 8, 3.0), (1, 1, 1.0)))
    found = {change.setting: change.verdict for change in changes_of(comparison)}
    assert found == {(1, 1): "faster", (2, 8): "slower"}


@pytest.mark.parametrize(
    ("new", "verdict"), [(0.795, "same"), (0.794, "less"), (0.805, "same"), (0.806, "more")]
)
def test_accuracy_in_points(new: float, verdict: str) -> None:
    comparison = compare_results(with_top1(0.8), with_top1(new), accuracy_tolerance=0.5)
    found = {change.figure: change.verdict for change in comparison.changes}
    assert found["top-1"] == verdict
    assert comparison.regressed == (verdict == "less")


def test_agreement_counts() -> None:
    comparison = compare_results(with_top1(0.8), with_top1(0.8, agreement=0.98))
    (change,) = (each for each in comparison.changes if each.verdict == "less")
    assert change.old is not None
    assert change.new is not None
    assert (change.figure, round(change.new - change.old, 6)) == ("agreement", -0.02)
    assert comparison.regressed


def test_other_images_give_no_accuracy() -> None:
    new = with_top1(0.5, data={"source": "CIFAR-10", "split": "test", "images": 500})
    comparison = compare_results(with_top1(0.8), new)
    assert not changes_of(comparison, "top-1", "top-5", "agreement")
    assert any("images differ" in note for note in comparison.notes)


def test_other_weights_are_said() -> None:
    new = with_top1(0.5, model={"name": "vit-tiny-cifar10", "sha256": "cd" * 32})
    comparison = compare_results(with_top1(0.8), new)
    assert comparison.regressed
    assert any("weights differ" in note for note in comparison.notes)


@pytest.mark.parametrize(
    ("new", "verdict"), [(1099, "same"), (1101, "larger"), (910, "same"), (908, "smaller")]
)
def test_sizes(new: int, verdict: str) -> None:
    old = results(row("a", size=Size(1000, 900)))
    comparison = compare_results(old, results(row("a", size=Size(new, 900))), tolerance=0.1)
    assert changes_of(comparison, "size")[0].verdict == verdict
    assert comparison.regressed == (verdict == "larger")


@pytest.mark.parametrize(
    ("old", "new", "what", "regressed"),
    [
        ("measured", "failed", "failing", True),
        ("failed", "measured", "recovered", False),
        ("measured", "skipped", "skipped", False),
        ("skipped", "measured", "new", False),
        ("skipped", "failed", "new", False),
        ("measured", None, "vanished", False),
        (None, "measured", "new", False),
        (None, "failed", "new", False),
        ("failed", "failed", None, False),
        ("failed", "skipped", None, False),
        ("failed", None, None, False),
    ],
)
def test_what_became_of_a_candidate(
    old: str | None, new: str | None, what: str | None, regressed: bool
) -> None:
    def run(state: str | None) -> Results:
        if state is None:
            return results()
        reasons = {"failed": {"failure": "crashed"}, "skipped": {"skipped": "missing"}}
        return results(row("a", **reasons.get(state, {})))

    comparison = compare_results(run(old), run(new))
    assert [change.verdict for change in changes_of(comparison, "state")] == (
        [what] if what else []
    )
    assert comparison.regressed == regressed


@pytest.mark.parametrize("changes", [{"origin": "stock"}, {"format": "keras"}])
def test_what_is_not_ours_is_shown_and_not_counted(changes: dict[str, Any]) -> None:
    old = results(row("a", size=Size(10, 1), latencies=(latency(1.0),), **changes))
    new = results(row("a", size=Size(99, 1), latencies=(latency(9.0),), **changes))
    comparison = compare_results(old, new)
    assert {change.verdict for change in comparison.changes} == {"slower", "larger"}
    assert not comparison.regressed
    assert not compare_results(old, results(row("a", failure="crashed", **changes))).regressed


def test_figures_of_a_failed_row_are_not_compared() -> None:
    old = with_median(2.0)
    new = results(replace(with_median(9.0).rows[0], failure="crashed"))
    comparison = compare_results(old, new)
    assert not changes_of(comparison)
    assert changes_of(comparison, "state")[0].row.failure == "crashed"


def test_models_of_other_names_are_refused() -> None:
    with pytest.raises(InputError, match="vit-small-ds"):
        compare_results(realistic(), results(model={"name": "vit-small-ds"}))


@pytest.mark.parametrize("value", [-0.1, math.nan, math.inf])
def test_bad_tolerances_are_refused(value: float) -> None:
    with pytest.raises(UsageError, match="tolerance"):
        compare_results(realistic(), realistic(), tolerance=value)
    with pytest.raises(UsageError, match="tolerance"):
        compare_results(realistic(), realistic(), accuracy_tolerance=value)


def test_a_zero_time_is_left_out() -> None:
    run = unusual()["a time of zero"]
    comparison = compare_results(run, with_median(2.0))
    assert not changes_of(comparison)
    zero_baseline = with_ratio(0.0)
    assert not changes_of(compare_results(zero_baseline, with_ratio(0.5)))


def test_false_alarms_are_rare_and_real_changes_are_found() -> None:
    """Two runs of the same program, and of one that is a fifth slower, on a noisy machine."""
    generator = np.random.default_rng(1)

    def run(p50: float) -> Results:
        samples = tuple(map(float, p50 * generator.lognormal(0, 0.15, 60)))
        figures = replace(latency(p50), samples=samples, p50=float(np.median(samples)))
        return results(row("a", latencies=(figures,)))

    alarms = sum(compare_results(run(2.0), run(2.0), tolerance=0.02).regressed for _ in range(400))
    found = sum(compare_results(run(2.0), run(2.4), tolerance=0.02).regressed for _ in range(400))
    assert alarms / 400 <= 0.05
    assert found / 400 >= 0.99
