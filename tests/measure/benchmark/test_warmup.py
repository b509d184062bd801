"""Tests of warming up, on times of the test's own."""

from collections.abc import Callable, Iterator

from vitsd_export.measure.benchmark.warmup import warm_up


def playing(times: Iterator[float]) -> Callable[[], float]:
    return lambda: next(times)


def falling(start: float, steady: float, factor: float) -> Iterator[float]:
    time = start
    while True:
        yield max(time, steady)
        time *= factor


def test_it_goes_on_until_the_times_are_steady() -> None:
    outcome = warm_up(playing(falling(500, 10, 0.7)), change=0.05, group=3, limit=1e6)
    assert outcome.steady
    assert outcome.median == 10
    # 500 · 0.7ⁿ is below 10 from the 12th call on; two groups of three must lie after that, or one
    # reach into it.
    assert 12 <= outcome.calls <= 19


def test_a_first_call_that_compiles_counts_in_no_group() -> None:
    times = iter([9000.0, *[5.0] * 100])
    outcome = warm_up(playing(times), change=0.01, group=4, limit=1e6)
    assert (outcome.calls, outcome.median, outcome.steady) == (9, 5.0, True)


def test_it_ends_at_its_limit_and_says_so() -> None:
    times = (float(100 * (index % 7 + 1)) for index in range(10_000))
    outcome = warm_up(playing(times), change=0.001, group=2, limit=3000)
    assert not outcome.steady
    assert outcome.calls < 20
    assert outcome.median > 0


def test_a_slow_one_is_called_twice_all_the_same() -> None:
    outcome = warm_up(playing(iter([60.0] * 9)), change=0.1, group=5, limit=10)
    assert (outcome.calls, outcome.median, outcome.steady) == (2, 60.0, False)
