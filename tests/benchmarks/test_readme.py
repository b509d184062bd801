"""The benchmark tables of README and docs come from stored results and from nothing else."""

import re
from pathlib import Path

import pytest

from benchmarks.suite.readme import BEGIN, END, replace_between_markers, summary, tables
from benchmarks.suite.storing import BENCHMARKS, README, STORED, reduce, store_and_write
from tests.support.stored_results import some_results, some_row
from vitsd_export.errors import InputError
from vitsd_export.measure.benchmark.results import read_results, write_results


def test_pages_hold_what_the_stored_results_give() -> None:
    runs = [read_results(path) for path in STORED if path.exists()]
    assert runs
    for page, content in ((BENCHMARKS, tables(runs)), (README, summary(runs[0], runs[-1]))):
        text = page.read_text(encoding="utf-8")
        assert replace_between_markers(text, content) == text, "run: python -m benchmarks readme"


def test_table_has_every_row_and_its_figures() -> None:
    lines = tables([some_results()]).splitlines()
    heading, *_ = lines
    assert "`python -m benchmarks --full`" in heading
    assert "2026-11-22" in heading
    assert "500 images" in heading
    *table, _, note = lines[2:]
    columns, _, ours, failed = map(_cells, table)
    figures = dict(zip(columns, ours, strict=True))
    assert figures["artifact"] == "**onnx int8**"
    assert figures["top-1 (95 % interval)"] == "80.00 % (76.0–83.0 %)"
    assert figures["agrees with Keras"] == "99.00 %"
    assert figures["size"] == "2.00 MB"
    assert figures["p50, 1 thread"] == "2.00 ms"
    assert figures["p50, 2 threads"] == "1.50 ms"
    assert figures["images/s, 2 threads, batch 32"] == "1067"
    assert figures["peak memory"] == "70.00 MB"
    assert figures["of roofline"] == "40 %"
    assert ours[columns.index("p50, 1 thread") + 1] == "0.500 (0.480–0.520)"
    assert failed[2] == "failed"
    assert note == (
        r"- keras export onnx failed: /tmp/file.onnx refused: Erfc \| is no operator of ONNX"
    )
    assert len(failed) == len(columns)


def test_broken_off_run_says_so() -> None:
    import dataclasses

    assert "broken off" in tables([dataclasses.replace(some_results(), finished=None)])


def test_summary_joins_accuracy_and_times_by_candidate() -> None:
    import dataclasses

    accurate = some_results()
    timed = dataclasses.replace(
        some_results(dataclasses.replace(some_row(), accuracy=None)), model={"name": "large"}
    )
    columns, _, *rows = (_cells(line) for line in summary(accurate, timed).splitlines())
    assert columns[2:4] == [f"top-1, {accurate.model['name']}", "size, large"]
    assert rows == [["onnxruntime", "**onnx int8**", "80.00 %", "2.00 MB", "2.00 ms", "0.50"]]


def test_only_what_is_between_the_markers_changes() -> None:
    text = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    new = replace_between_markers(text, "new")
    assert new == f"before\n{BEGIN}\nnew\n{END}\nafter\n"
    assert replace_between_markers(new, "new") == new


@pytest.mark.parametrize("text", ["nothing", f"{BEGIN} no end", f"{END} before {BEGIN}"])
def test_missing_markers_are_an_error(text: str) -> None:
    with pytest.raises(InputError, match="benchmarks:begin"):
        replace_between_markers(text, "new")


def test_runs_are_stored_without_what_makes_them_large(tmp_path: Path) -> None:
    run = tmp_path / "results.json"
    readme, benchmarks = tmp_path / "README.md", tmp_path / "benchmarks.md"
    stored = (tmp_path / "suite.json", tmp_path / "suite-timed.json")
    for page in (readme, benchmarks):
        page.write_text(f"{BEGIN}\n{END}\n", encoding="utf-8")
    write_results(some_results(), run)
    store_and_write([run], stored, readme=readme, benchmarks=benchmarks)
    assert "thumbnail" not in stored[0].read_text(encoding="utf-8")
    assert "/tmp/file.onnx" not in stored[0].read_text(encoding="utf-8")
    assert not stored[1].exists()
    kept, full = read_results(stored[0]), some_results()
    assert tables([kept]) == tables([full]).replace("/tmp/file.onnx", "file.onnx")
    for small, large in zip(kept.rows[0].latencies, full.rows[0].latencies, strict=True):
        assert len(small.samples) < len(large.samples) == large.calls
        assert (small.calls, small.p50) == (large.calls, large.p50)
        ends = (min(small.samples), max(small.samples))
        assert ends == pytest.approx((min(large.samples), max(large.samples)), abs=1e-3)
    before = [page.read_text(encoding="utf-8") for page in (readme, benchmarks)]
    assert "**onnx int8**" in before[0]
    store_and_write([], stored, readme=readme, benchmarks=benchmarks)
    assert [page.read_text(encoding="utf-8") for page in (readme, benchmarks)] == before


def test_few_samples_are_all_kept(tmp_path: Path) -> None:
    import dataclasses

    from tests.support.stored_results import some_latency

    row = dataclasses.replace(some_row(), latencies=(some_latency(count=7),))
    (kept,) = reduce(some_results(row)).rows
    assert kept.latencies[0].samples == pytest.approx(row.latencies[0].samples, abs=5e-4)


def test_too_many_runs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="At most 1"):
        store_and_write(
            [tmp_path / "a", tmp_path / "b"],
            (tmp_path / "c",),
            readme=tmp_path / "d",
            benchmarks=tmp_path / "e",
        )


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
