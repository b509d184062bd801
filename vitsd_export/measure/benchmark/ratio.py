"""The ratio of two median times, and how sure it is."""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np

from vitsd_export.errors import UsageError
from vitsd_export.measure.benchmark.results import Interval

CONFIDENCE = 0.95
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
