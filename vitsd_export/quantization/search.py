"""Searches for the artifact that is fastest, or smallest, within an allowed loss of accuracy.

A configuration is a scheme, a rank of the head, and a number of layers that stay in float32, the most
sensitive first. Every scheme is tried at every rank; one that loses too much is tried again with 1, 2, 4 …
layers in float32 until it keeps the accuracy, or is no longer better than a configuration that does.
Measurements are saved after each trial and not made again: which one is next follows from them alone.
"""

import dataclasses
import functools
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from vitsd_export._internal.atomic_write import write_file
from vitsd_export._internal.pareto import pareto_front
from vitsd_export.errors import InputError, UsageError
from vitsd_export.quantization.schemes import BASELINE

Objective = Literal["latency", "size"]

_STATE_VERSION = 2


@dataclasses.dataclass(frozen=True)
class Configuration:
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


_FLOAT32 = Configuration(BASELINE)


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
    """A configuration that was tried.

    Attributes:
        candidate: The configuration.
        figures: What was measured; None if it could not be made.
        reason: Why it could not be made; None if it was.
    """

    candidate: Configuration
    figures: Figures | None
    reason: str | None = None


@dataclasses.dataclass(frozen=True)
class SearchSpace:
    """What is tried, and what the best is.

    Attributes:
        schemes: Schemes to try.
        head_ranks: Ranks of the head to try; None for the head as it is.
        layers: Number of layers that can stay in float32.
        max_drop: Allowed loss of top-1 accuracy in percentage points; without labels, what the model expects.
        objective: What is to be least.

    Raises:
        UsageError: If `max_drop` is negative or no number, or there is nothing to try.
    """

    schemes: Sequence[str]
    head_ranks: Sequence[int | None]
    layers: int
    max_drop: float
    objective: Objective

    def __post_init__(self) -> None:
        if not self.max_drop >= 0:
            raise UsageError(f"The allowed drop must be at least 0 points, not {self.max_drop:g}.")
        if not self.schemes or not self.head_ranks:
            raise UsageError("There is no scheme to try. Name at least one.")


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a search has found so far.

    Attributes:
        trials: In the order in which they were made, the float32 artifact first.
        space: What is searched.
    """

    trials: tuple[Trial, ...]
    space: SearchSpace

    @functools.cached_property
    def measured(self) -> dict[Configuration, Figures]:
        """The figures of the artifacts that could be made."""
        return {
            trial.candidate: trial.figures for trial in self.trials if trial.figures is not None
        }

    def drop(self, candidate: Configuration) -> float:
        """Returns the loss against float32 in points: of top-1 accuracy, expected without labels."""
        figures, baseline = self.measured[candidate], self.measured[_FLOAT32]
        if figures.correct is None or baseline.correct is None:
            return 100 * figures.expected_loss
        return 100 * (baseline.correct - figures.correct) / figures.images

    def keeps(self, candidate: Configuration) -> bool:
        """Returns whether the loss is allowed."""
        # A thousandth of a point is far less than an image.
        return self.drop(candidate) <= self.space.max_drop + 1e-3

    @property
    def best(self) -> Configuration:
        """The best that keeps the accuracy; the float32 artifact if no other is better."""

        def rank(candidate: Configuration) -> tuple[float, ...]:
            figures = self.measured[candidate]
            return self._cost(candidate), figures.latency_ratio, figures.bytes, self.drop(candidate)

        return min(filter(self.keeps, self.measured), key=rank)

    @functools.cached_property
    def pareto(self) -> tuple[Configuration, ...]:
        """Configurations that no other equals or beats in accuracy, latency and size, least loss first."""
        points = {
            candidate: (self.drop(candidate), figures.latency_ratio, float(figures.bytes))
            for candidate, figures in self.measured.items()
        }
        front = pareto_front(points.values())
        return tuple(
            sorted(
                (candidate for candidate, point in points.items() if point in front),
                key=points.__getitem__,
            )
        )

    def next_candidate(self) -> Configuration | None:
        """Returns what to try next; None at the end."""
        space = self.space
        tried = {trial.candidate for trial in self.trials}
        plain = [
            Configuration(scheme, rank) for rank in space.head_ranks for scheme in space.schemes
        ]
        for candidate in (_FLOAT32, *plain):
            if candidate not in tried:
                return candidate
        for candidate in plain:
            # Layers in float32 cost time and room: without a gain left there is nothing to be had.
            while (
                candidate in self.measured
                and not self.keeps(candidate)
                and self._cost(candidate) < self._cost(self.best)
            ):
                count = 2 * candidate.float_layers or 1
                if count > space.layers // 2:
                    break
                candidate = dataclasses.replace(candidate, float_layers=count)
                if candidate not in tried:
                    return candidate
        return None

    def _cost(self, candidate: Configuration) -> float:
        figures = self.measured[candidate]
        return figures.latency_ratio if self.space.objective == "latency" else figures.bytes

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values for JSON."""
        rows = [
            {
                "name": trial.candidate.name,
                **dataclasses.asdict(trial.candidate),
                **(dataclasses.asdict(trial.figures) if trial.figures else {}),
                "agreement": trial.figures.agreement if trial.figures else None,
                "drop": self.drop(trial.candidate) if trial.figures else None,
                "reason": trial.reason,
                "pareto": trial.candidate in self.pareto,
                "best": trial.candidate == self.best,
            }
            for trial in self.trials
        ]
        return {
            "max_drop": self.space.max_drop,
            "objective": self.space.objective,
            "candidates": rows,
        }


Try = Callable[[Configuration], Figures]


def search(
    try_candidate: Try,
    space: SearchSpace,
    *,
    state: Path | None = None,
    identity: Mapping[str, Any] | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Outcome:
    """Tries configurations until none is left that could be better.

    Args:
        try_candidate: Makes and measures a configuration; `float32` is the first. Raises UsageError or
            InputError for one that cannot be made, which is noted.
        space: What is searched.
        state: File that trials are saved in after each, and read from if it is there.
        identity: What else the trials depend on; trials of another identity are not taken from `state`.
        progress: Called with what is going on.

    Raises:
        InputError: If the state's file is damaged, or the float32 artifact cannot be made.
        EnvironmentProblem: If the state cannot be saved.
    """
    described = {
        "version": _STATE_VERSION,
        # As JSON gives it back.
        "identity": json.loads(json.dumps(dict(identity or {}), default=str)),
    }
    trials = _read_state(state, described, progress) if state is not None else []
    known = {trial.candidate: trial for trial in trials}
    outcome = Outcome((), space)
    while (candidate := outcome.next_candidate()) is not None:
        if candidate not in known:
            progress(f"{len(outcome.trials) + 1}: {candidate.name}")
            known[candidate] = _tried(try_candidate, candidate)
            if state is not None:
                _write_state(state, described, list(known.values()))
        outcome = dataclasses.replace(outcome, trials=(*outcome.trials, known[candidate]))
    return outcome


def _tried(try_candidate: Try, candidate: Configuration) -> Trial:
    try:
        return Trial(candidate, try_candidate(candidate))
    except (InputError, UsageError) as error:
        if candidate == _FLOAT32:
            raise
        return Trial(candidate, None, str(error))


def _read_state(
    path: Path, described: Mapping[str, Any], progress: Callable[[str], None]
) -> list[Trial]:
    if not path.is_file():
        return []
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if {key: document[key] for key in described} != described:
            progress(f"{path} is of another search and is not used")
            return []
        trials = [
            Trial(
                Configuration(**entry["candidate"]),
                Figures(**entry["figures"]) if entry["figures"] is not None else None,
                entry["reason"],
            )
            for entry in document["trials"]
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"The state of the search in {path} cannot be read ({error}). Delete it to start over."
        ) from error
    progress(f"{len(trials)} candidates were measured before")
    return trials


def _write_state(path: Path, described: Mapping[str, Any], trials: Sequence[Trial]) -> None:
    document = {**described, "trials": [dataclasses.asdict(trial) for trial in trials]}
    write_file(path, json.dumps(document, indent=1, ensure_ascii=False))
