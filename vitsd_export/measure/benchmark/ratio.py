"""Ratios of median times, and how sure they are."""

import itertools
import math
import statistics
from collections.abc import Sequence
from typing import Literal

import numpy as np

from vitsd_export.errors import UsageError
from vitsd_export.measure.benchmark.results import Interval

CONFIDENCE = 0.95
_NORMAL_95 = 1.959964
# What launches of one file in one runtime differ by, as the standard deviation of the logarithm of their
# medians' ratio, and how many launches' worth of trust that deserves. Some launches more are weighed with it
# (a moderated variance: Smyth, 2004, doi:10.2202/1544-6115.1027), because two or three cannot tell their own
# spread, and one not at all.
_LAUNCH_DEVIATION = 0.015
_LAUNCH_TRUST = 4
# 97.5 % quantiles of Student's t from as many degrees of freedom upwards; 1.96 beyond.
_STUDENT = (2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131)


def ratio_of_medians(
    times: Sequence[np.ndarray],
    baseline_times: Sequence[np.ndarray],
    *,
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """Returns the ratio of two medians with its 95 % bootstrap interval.

    Two things vary. From round to round the machine's speed does; it drifts, so that rounds in sequence are
    alike: blocks of them are drawn in each launch (circular block bootstrap: Politis and Romano, 1992), the
    same for both, since what slows one slows the other. From launch to launch the place of a process's
    memory does, which no number of rounds shows: the spread between launches is added, as far as it is
    more than the rounds explain.

    Args:
        times: For each launch [rounds, calls], in any unit; every launch with the same shape.
        baseline_times: The same launches and rounds of the baseline; its number of calls may differ.
        resamples: Number of resamples.
        seed: Of the draws.

    Raises:
        UsageError: If the launches or rounds of the two differ, or there are none.
    """
    ours, baselines = np.stack(list(times)), np.stack(list(baseline_times))
    if ours.shape[:2] != baselines.shape[:2] or not ours.size or not baselines.size:
        raise UsageError(
            f"A ratio needs the same launches and rounds of both; got {list(ours.shape[:2])} and "
            f"{list(baselines.shape[:2])}."
        )
    launches, rounds = ours.shape[:2]
    value = float(np.median(ours) / np.median(baselines))
    rng = np.random.default_rng(seed)
    drawn = _blocks(rng, resamples, launches, rounds)
    pooled = _log_ratios(ours, baselines, drawn)
    low, high = np.quantile(pooled, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    spread = _spread_of_launches(ours, baselines, drawn)
    below = math.hypot(max(math.log(value) - low, 0.0), spread)
    above = math.hypot(max(high - math.log(value), 0.0), spread)
    return Interval(value, value * math.exp(-below), value * math.exp(above))


def _spread_of_launches(ours: np.ndarray, baselines: np.ndarray, drawn: np.ndarray) -> float:
    """Returns half the interval of the logarithm of the ratio that is due to launches alone."""
    launches = len(ours)
    one_by_one = [slice(index, index + 1) for index in range(launches)]
    ratios = [
        math.log(np.median(ours[launch]) / np.median(baselines[launch])) for launch in one_by_one
    ]
    noise = [
        float(np.var(_log_ratios(ours[launch], baselines[launch], drawn[:, launch])))
        for launch in one_by_one
    ]
    freedom = launches - 1
    excess = max(float(np.var(ratios, ddof=1)) - float(np.mean(noise)), 0.0) if freedom else 0.0
    variance = (_LAUNCH_TRUST * _LAUNCH_DEVIATION**2 + freedom * excess) / (_LAUNCH_TRUST + freedom)
    quantile = _STUDENT[freedom] if freedom < len(_STUDENT) else 1.96
    return quantile * math.sqrt(variance / launches)


def _blocks(rng: np.random.Generator, resamples: int, launches: int, rounds: int) -> np.ndarray:
    """Returns rounds drawn in circular blocks, [resamples, launches, rounds]."""
    length = max(1, round(rounds ** (1 / 3)))
    count = -(-rounds // length)
    starts = rng.integers(0, rounds, (resamples, launches, count, 1))
    drawn = (starts + np.arange(length)) % rounds
    return drawn.reshape(resamples, launches, count * length)[:, :, :rounds]


def _log_ratios(ours: np.ndarray, baselines: np.ndarray, rounds: np.ndarray) -> np.ndarray:
    """Returns log(median / median of the baseline) of drawn rounds, [resamples]."""
    launches = np.arange(len(ours))[:, None]
    above, below = (
        np.median(side[launches, rounds].reshape(len(rounds), -1), axis=1)
        for side in (ours, baselines)
    )
    logarithms: np.ndarray = np.log(above / below)
    return logarithms


def judge_ratio(ratio: Interval) -> Literal["faster", "slower", "same"]:
    """Returns what an interval of times says: `same` where it holds 1."""
    if ratio.low <= 1 <= ratio.high:
        return "same"
    return "faster" if ratio.value < 1 else "slower"


def median_interval(samples: tuple[float, ...], median: float, launches: int = 1) -> Interval:
    """Returns a median with its 95 % interval from order statistics, which no distribution underlies.

    The ranks are those of the binomial distribution in its normal approximation; below six samples, which
    cannot give 95 %, the interval is that from the least to the largest.

    Args:
        samples: In sequence, each process's share after the other.
        median: As it was reported.
        launches: Processes that the samples come from. Memory lies elsewhere in each, so that two may
            differ by more than their calls do: the interval holds the median of every one.
    """
    if not samples:
        return Interval(median, median, median)
    ordered, number = sorted(samples), len(samples)
    half = _NORMAL_95 * math.sqrt(number) / 2
    low = max(math.floor(number / 2 - half), 1) - 1
    high = min(math.ceil(number / 2 + half) + 1, number) - 1
    # The median by another definition than ours must not lie outside its own interval.
    inside = [median]
    if 1 < launches <= number:
        bounds = [place * number // launches for place in range(launches + 1)]
        inside += [statistics.median(samples[a:b]) for a, b in itertools.pairwise(bounds)]
    return Interval(median, min(ordered[low], *inside), max(ordered[high], *inside))


def relative_change(old: Interval, new: Interval) -> Interval:
    """Returns new / old - 1 with its 95 % interval; all figures must be positive."""
    change = math.log(new.value / old.value)
    # A bound of zero is as far as can be.
    new_low, new_high = _log_distance(new.low, new.value), _log_distance(new.value, new.high)
    old_low, old_high = _log_distance(old.low, old.value), _log_distance(old.value, old.high)
    low = change - math.hypot(new_low, old_high)
    high = change + math.hypot(new_high, old_low)
    return Interval(math.expm1(change), math.expm1(low), math.expm1(high))


def _log_distance(low: float, high: float) -> float:
    return max(math.log(high / low), 0.0) if low > 0 else math.inf
