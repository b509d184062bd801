"""The ratio of two median times, and how sure it is."""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np

from vitsd_export.errors import UsageError
from vitsd_export.measure.results import Interval

CONFIDENCE = 0.95
# Factor by which the spread between few launches is widened: Student's t over the normal quantile, for 95 %,
# by degrees of freedom. Beyond these it is near 1.
_STUDENT = {1: 6.48, 2: 2.20, 3: 1.62, 4: 1.42, 5: 1.31, 6: 1.25, 7: 1.21, 8: 1.18, 9: 1.15}


def ratio_of_medians(
    times: Sequence[np.ndarray],
    peer_times: Sequence[np.ndarray],
    *,
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """Returns the ratio of two medians with its 95 % bootstrap interval.

    Two things vary: from round to round the machine's speed, which drifts, so that rounds in sequence are
    alike; and from launch to launch the place of a process's memory, which no number of rounds shows. So
    launches are drawn, and in each of them blocks of rounds in sequence (circular block bootstrap: Politis
    and Romano, 1992); a round is drawn for both alike, since what slows one slows the other. An interval
    from few launches is too narrow: it is widened by the factor between the spread of a sample and that of
    what it was drawn from, and by Student's t.

    Args:
        times: For each launch [rounds, calls], in any unit; every launch with the same shape.
        peer_times: The same launches and rounds of the peer; its number of calls may differ.
        resamples: Number of resamples.
        seed: Of the draws.

    Raises:
        UsageError: If the launches or rounds of the two differ, or there are none.
    """
    ours, peers = np.stack(list(times)), np.stack(list(peer_times))
    if ours.shape[:2] != peers.shape[:2] or not ours.size or not peers.size:
        raise UsageError(
            f"A ratio needs the same launches and rounds of both; got {list(ours.shape[:2])} and "
            f"{list(peers.shape[:2])}."
        )
    launches, rounds = ours.shape[:2]
    value = float(np.median(ours) / np.median(peers))
    rng = np.random.default_rng(seed)
    drawn_rounds = _blocks(rng, resamples, launches, rounds)
    fixed = np.broadcast_to(np.arange(launches), (resamples, launches))
    within = _log_ratios(ours, peers, fixed, drawn_rounds)
    low, high = np.quantile(within, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    low, high = math.log(value) - low, high - math.log(value)
    if launches > 1:
        drawn = rng.integers(0, launches, (resamples, launches))
        both = _log_ratios(ours, peers, drawn, drawn_rounds)
        between = max(float(np.var(both) - np.var(within)), 0.0)
        widening = _STUDENT.get(launches - 1, 1.0) * math.sqrt(launches / (launches - 1))
        spread = 1.96 * widening * math.sqrt(between)
        low, high = math.hypot(low, spread), math.hypot(high, spread)
    low, high = max(low, 0.0), max(high, 0.0)
    return Interval(value, value * math.exp(-low), value * math.exp(high))


def _blocks(rng: np.random.Generator, resamples: int, launches: int, rounds: int) -> np.ndarray:
    """Returns rounds drawn in circular blocks, [resamples, launches, rounds]."""
    length = max(1, round(rounds ** (1 / 3)))
    count = -(-rounds // length)
    starts = rng.integers(0, rounds, (resamples, launches, count, 1))
    drawn = (starts + np.arange(length)) % rounds
    return drawn.reshape(resamples, launches, count * length)[:, :, :rounds]


def _log_ratios(
    ours: np.ndarray, peers: np.ndarray, launches: np.ndarray, rounds: np.ndarray
) -> np.ndarray:
    """Returns log(median / median of the peer), [resamples]."""
    chosen = launches[:, :, None], rounds
    medians = (np.median(side[chosen].reshape(len(launches), -1), axis=1) for side in (ours, peers))
    above, below = medians
    return np.log(above / below)


def judge_ratio(ratio: Interval) -> Literal["faster", "slower", "same"]:
    """Returns what an interval of times says: `same` where it holds 1."""
    if ratio.low <= 1 <= ratio.high:
        return "same"
    return "faster" if ratio.value < 1 else "slower"
