"""Searches the artifact that is fastest, or smallest, at a loss of accuracy that is still allowed.

A candidate is a scheme, a rank of the head, and a number of layers that stay in float32, the most sensitive
first. Every scheme is tried at every rank; one that loses too much is tried again with 1, 2, 4 … layers in
float32 until it keeps the accuracy, or is no longer better than a candidate that does. Measurements are saved
after each candidate and not made again: which one is next follows from them alone.
"""

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from vitsd_export._internal.atomic_write import publish, staging
from vitsd_export.errors import InputError, UsageError
from vitsd_export.quantization.schemes import BASELINE

Objective = Literal["latency", "size"]

_STATE_VERSION = 2


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A way to make an artifact.

    Attributes:
        scheme: Numeric scheme.
        head_rank: Rank of the head's wide layers; None to leave them whole.
        float_layers: How many of the most sensitive layers stay in float32.
    """

    scheme: str
    head_rank: int | None = None
    float_layers: int = 0

    @property
    def name(self) -> str:
        """What people read: `int8, head rank 64, 2 layers in float32`."""
        parts = [self.scheme]
        if self.head_rank is not None:
            parts.append(f"head rank {self.head_rank}")
        if self.float_layers:
            layers = "layer" if self.float_layers == 1 else "layers"
            parts.append(f"{self.float_layers} {layers} in float32")
        return ", ".join(parts)


@dataclasses.dataclass(frozen=True)
class Figures:
    """What an artifact does on the held-out images.

    Attributes:
        images: Number of images.
        correct: Images it names the label of; None without labels of these classes.
        agreeing: Images of which it names the class that the model in float32 names.
        expected_loss: Accuracy that the model in float32 expects to lose by the classes that it names, as a
            share of the images: the mean difference between its largest probability and that of the class
            named. A near tie that is turned costs next to nothing.
        latency_ratio: Median time of a call, by that of the float32 artifact in the same run.
        bytes: Size of the file.
    """

    images: int
    correct: int | None
    agreeing: int
    expected_loss: float
    latency_ratio: float
    bytes: int

    @property
    def agreement(self) -> float:
        """Share of images of which both name the same class, 0–1."""
        return self.agreeing / self.images


@dataclasses.dataclass(frozen=True)
class Trial:
    """A candidate that was tried.

    Attributes:
        candidate: The candidate.
        figures: What was measured; None if it could not be made.
        reason: Why it could not be made; None if it was.
    """

    candidate: Candidate
    figures: Figures | None
    reason: str | None = None


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a search has found.

    Attributes:
        trials: In the order in which they were tried, the float32 artifact first.
        max_drop: Allowed loss of top-1 accuracy in percentage points.
        objective: What is to be least among those that keep it.
        best: The best that keeps it; the float32 artifact if no other is better.
        pareto: Candidates that no other equals or beats in accuracy, latency and size at once.
    """

    trials: tuple[Trial, ...]
    max_drop: float
    objective: Objective
    best: Candidate
    pareto: tuple[Candidate, ...]

    def drop(self, trial: Trial) -> float | None:
        """Returns the loss against float32 in points: of top-1 accuracy, expected without labels."""
        return _drop(trial.figures, _baseline(self.trials))

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values for JSON."""
        rows = []
        for trial in self.trials:
            figures = trial.figures
            rows.append(
                {
                    "name": trial.candidate.name,
                    **dataclasses.asdict(trial.candidate),
                    **(dataclasses.asdict(figures) if figures else {}),
                    "agreement": figures.agreement if figures else None,
                    "drop": self.drop(trial),
                    "reason": trial.reason,
                    "pareto": trial.candidate in self.pareto,
                    "best": trial.candidate == self.best,
                }
            )
        return {"max_drop": self.max_drop, "objective": self.objective, "candidates": rows}


Try = Callable[[Candidate], Figures]


def search(
    try_candidate: Try,
    *,
    schemes: Sequence[str],
    head_ranks: Sequence[int | None],
    layers: int,
    max_drop: float,
    objective: Objective,
    state: Path | None = None,
    identity: Mapping[str, Any] | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Outcome:
    """Tries candidates and chooses among them.

    Args:
        try_candidate: Makes and measures a candidate; `float32` is the first. Raises UsageError or
            InputError for one that cannot be made, which is noted.
        schemes: Schemes to try.
        head_ranks: Ranks of the head to try; None for the head as it is.
        layers: Number of layers that can stay in float32.
        max_drop: Allowed loss of top-1 accuracy in percentage points; without labels, what the model expects.
        objective: What is to be least.
        state: File that trials are saved in after each, and read from if it is there.
        identity: What else the trials depend on; trials of another identity are not taken from `state`.
        progress: Called with what is going on.

    Raises:
        UsageError: If `max_drop` is negative or no number, or there is nothing to try.
        InputError: If the state's file is damaged, or the float32 artifact cannot be made.
        EnvironmentProblem: If the state cannot be saved.
    """
    if not max_drop >= 0:
        raise UsageError(f"The allowed drop must be at least 0 points, not {max_drop:g}.")
    if not schemes or not head_ranks:
        raise UsageError("There is no scheme to try. Name at least one.")
    described = {
        "version": _STATE_VERSION,
        # As JSON gives it back.
        "identity": json.loads(json.dumps(dict(identity or {}), default=str)),
    }
    trials = _read_state(state, described, progress) if state is not None else []
    known = {trial.candidate: trial for trial in trials}
    taken: list[Trial] = []
    while True:
        candidate = next_candidate(
            taken,
            schemes=schemes,
            head_ranks=head_ranks,
            layers=layers,
            max_drop=max_drop,
            objective=objective,
        )
        if candidate is None:
            break
        if candidate in known:
            taken.append(known[candidate])
            continue
        progress(f"{len(taken) + 1}: {candidate.name}")
        taken.append(_tried(try_candidate, candidate))
        known[candidate] = taken[-1]
        if state is not None:
            _write_state(state, described, list(known.values()))
    return Outcome(
        tuple(taken), max_drop, objective, _best(taken, max_drop, objective), pareto(taken)
    )


def next_candidate(
    trials: Sequence[Trial],
    *,
    schemes: Sequence[str],
    head_ranks: Sequence[int | None],
    layers: int,
    max_drop: float,
    objective: Objective,
) -> Candidate | None:
    """Returns what to try after some trials; None at the end.

    Args:
        trials: What has been tried.
        schemes: As in `search`.
        head_ranks: As in `search`.
        layers: As in `search`.
        max_drop: As in `search`.
        objective: As in `search`.
    """
    tried = {trial.candidate: trial for trial in trials}
    plain = [Candidate(BASELINE)]
    plain += [Candidate(scheme, rank) for rank in head_ranks for scheme in schemes]
    for candidate in plain:
        if candidate not in tried:
            return candidate
    for candidate in plain[1:]:
        count = 0
        while (trial := tried.get(dataclasses.replace(candidate, float_layers=count))) is not None:
            if trial.figures is None or _keeps(trial, trials, max_drop):
                break
            # Layers in float32 cost time and room: without a gain left there is nothing to be had.
            best = _figures_of(_best(trials, max_drop, objective), trials)
            if _cost(trial.figures, objective) >= _cost(best, objective):
                break
            count = 2 * count or 1
            if count > layers // 2:
                break
            if (following := dataclasses.replace(candidate, float_layers=count)) not in tried:
                return following
    return None


def pareto(trials: Sequence[Trial]) -> tuple[Candidate, ...]:
    """Returns the candidates that no other equals or beats in everything, the smallest loss first."""
    points = {
        trial.candidate: (
            float(_drop(trial.figures, _baseline(trials)) or 0.0),
            trial.figures.latency_ratio,
            float(trial.figures.bytes),
        )
        for trial in trials
        if trial.figures is not None
    }
    front = [
        candidate
        for candidate, point in points.items()
        if not any(
            other != point and all(a <= b for a, b in zip(other, point, strict=True))
            for other in points.values()
        )
    ]
    return tuple(sorted(front, key=lambda candidate: points[candidate]))


def _tried(try_candidate: Try, candidate: Candidate) -> Trial:
    try:
        return Trial(candidate, try_candidate(candidate))
    except (InputError, UsageError) as error:
        if candidate.scheme == BASELINE and candidate.head_rank is None:
            raise
        return Trial(candidate, None, str(error))


def _best(trials: Sequence[Trial], max_drop: float, objective: Objective) -> Candidate:
    allowed = [trial for trial in trials if _keeps(trial, trials, max_drop)]

    def rank(trial: Trial) -> tuple[float, float, float]:
        figures = trial.figures
        if figures is None:
            raise ValueError("A candidate that was not made keeps nothing.")
        other: Objective = "size" if objective == "latency" else "latency"
        drop = _drop(figures, _baseline(trials)) or 0.0
        return _cost(figures, objective), _cost(figures, other), drop

    return min(allowed, key=rank).candidate


def _keeps(trial: Trial, trials: Sequence[Trial], max_drop: float) -> bool:
    drop = _drop(trial.figures, _baseline(trials))
    # A thousandth of a point is far less than an image.
    return drop is not None and drop <= max_drop + 1e-3


def _drop(figures: Figures | None, baseline: Figures) -> float | None:
    if figures is None:
        return None
    if figures.correct is None or baseline.correct is None:
        return 100 * figures.expected_loss
    return 100 * (baseline.correct - figures.correct) / figures.images


def _cost(figures: Figures, objective: Objective) -> float:
    return figures.latency_ratio if objective == "latency" else float(figures.bytes)


def _baseline(trials: Sequence[Trial]) -> Figures:
    return _figures_of(Candidate(BASELINE), trials)


def _figures_of(candidate: Candidate, trials: Sequence[Trial]) -> Figures:
    for trial in trials:
        if trial.candidate == candidate and trial.figures is not None:
            return trial.figures
    raise ValueError(f"{candidate.name} has not been measured.")


def _read_state(
    path: Path, described: Mapping[str, Any], progress: Callable[[str], None]
) -> list[Trial]:
    if not path.is_file():
        return []
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if {key: document[key] for key in described} != described:
            progress(f"{path} is of another search, and starts anew")
            return []
        trials = [
            Trial(
                Candidate(**entry["candidate"]),
                Figures(**entry["figures"]) if entry["figures"] is not None else None,
                entry["reason"],
            )
            for entry in document["trials"]
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"The state of the search in {path} cannot be read ({error}). Delete it to start anew."
        ) from error
    progress(f"{len(trials)} candidates were measured before")
    return trials


def _write_state(path: Path, described: Mapping[str, Any], trials: Sequence[Trial]) -> None:
    document = {**described, "trials": [dataclasses.asdict(trial) for trial in trials]}
    with staging(path) as staged:
        staged.write_text(json.dumps(document, indent=1, ensure_ascii=False), encoding="utf-8")
        publish(staged, path)
