"""Results made up for tests of what is done with them."""

from vitsd_export.measure.benchmark.results import (
    AccuracyFigures,
    Candidate,
    Interval,
    LatencyFigures,
    Machine,
    ParityFigures,
    Results,
    Row,
    Size,
    Start,
    Work,
    WorstImage,
)


def some_latency(
    threads: int = 1, batch: int = 1, p50: float = 2.0, count: int = 200
) -> LatencyFigures:
    """A setting with a ratio of a half."""
    samples = tuple(p50 * (0.9 + 0.2 * index / (count - 1)) for index in range(count))
    ratio = Interval(0.5, 0.48, 0.52)
    return LatencyFigures(
        batch,
        threads,
        count,
        p50,
        p50 * 1.08,
        p50 * 1.1,
        1e3 * batch / p50,
        samples,
        ratio,
        "faster",
    )


def some_row(name: str = "onnx int8", baseline: str | None = None, path: str | None = None) -> Row:
    """A row with every figure."""
    candidate = Candidate(
        name, "onnxruntime", "onnx", "int8", path=path or "/tmp/file.onnx", baseline=baseline
    )
    worst = WorstImage(3, 0.1, 0.01, "cat", "cat", 0.8, "dog", 0.6, "iVBORw0KGgo=")
    return Row(
        candidate,
        size=Size(2_000_000, 1_000_000),
        start=Start(20.0, 3.0, 50_000_000, 60_000_000, 70_000_000),
        parity=ParityFigures(500, 0.03, 0.001, 0.99, 0.98, 2e-4, (worst,)),
        accuracy=AccuracyFigures(500, Interval(0.8, 0.76, 0.83), Interval(0.99, 0.97, 0.99), ()),
        latencies=(some_latency(1), some_latency(2, p50=1.5), some_latency(2, 32, 30.0)),
        work=Work({"float32": 1_000_000}, 2_000_000, 0.8, 0.4),
    )


def some_results(*rows: Row) -> Results:
    """A run of rows; of a row with every figure and one that failed if none are given."""
    failed = Candidate(
        "keras export onnx", "onnxruntime", "onnx", origin="stock", path="/tmp/file.onnx"
    )
    return Results(
        command="python -m benchmarks --full",
        started="2026-11-22T10:00:00+00:00",
        finished="2026-11-22T11:00:00+00:00",
        machine=Machine("Some Processor", ("avx2",), 2, 8_000_000_000, "Linux 6.1"),
        versions={"python": "3.11.1", "onnxruntime": "1.31.1", "vitsd-export": "0.1.0"},
        model={"name": "vit-tiny-cifar10", "sha256": "0" * 64},
        data={"source": "cifar10", "split": "test", "images": 500},
        settings={"length": "full"},
        rows=rows
        or (
            some_row(),
            Row(failed, failure="/tmp/file.onnx refused: Erfc | is no operator\nof ONNX"),
        ),
    )
