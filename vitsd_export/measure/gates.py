"""The gates an artifact has to pass, by numeric scheme."""

import dataclasses
import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any, Literal

from vitsd_export.errors import UsageError
from vitsd_export.measure.accuracy import paired_interval
from vitsd_export.measure.parity import Parity
from vitsd_export.quantization.schemes import SCHEMES
from vitsd_export.quantization.schemes.scheme import Gate, few_bits_gate

LOSS_CONFIDENCE = 0.95


# Of a head of low rank, beside that of the scheme.
LOW_RANK_KL = 0.005


@dataclasses.dataclass(frozen=True)
class Check:
    """One figure held against its limit.

    Attributes:
        name: What is measured.
        value: The figure, in `unit`.
        limit: The limit, in `unit`.
        passed: Whether the figure keeps the limit; decided on exact counts and not on the rounded
            `value`.
        unit: `%`, `points` (percentage points), `nats`, or empty for plain numbers.
        relation: Whether the figure must be at most (`<=`) or at least (`>=`) the limit.
        interval: Confidence interval of the figure, in `unit`, if it was judged by that: the check fails
            only where all of it lies on the wrong side of the limit.
    """

    name: str
    value: float
    limit: float
    passed: bool
    unit: str
    relation: Literal["<=", ">="]
    interval: tuple[float, float] | None = None

    @property
    def measured(self) -> str:
        """The figure as people read it, with its interval if it has one."""
        text = f"{self.value:.4g}{self._suffix}"
        if self.interval is None:
            return text
        low, high = self.interval
        return f"{text} ({LOSS_CONFIDENCE:.0%}: {low:.2f} to {high:.2f})"

    @property
    def allowed(self) -> str:
        """The limit as people read it."""
        return f"{self.relation} {self.limit:.4g}{self._suffix}"

    @property
    def _suffix(self) -> str:
        return f" {self.unit}" if self.unit else ""

    def __str__(self) -> str:
        lower = "" if self.interval is None else "the interval's lower end "
        return f"{self.name} {self.measured} ({lower}must be {self.allowed})"


@dataclasses.dataclass(frozen=True)
class Verification:
    """Outcome of all checks of an artifact.

    Attributes:
        scheme: Numeric scheme whose gate applied.
        images: Number of images.
        checks: Every check that was made, in the order to show them.
        parity: The figures the checks were made on.
        skipped: Checks of the gate that could not be made, each with the reason.
        data: What the images are: see `ImageDataset.describe`.
    """

    scheme: str
    images: int
    checks: tuple[Check, ...]
    parity: Parity
    skipped: tuple[str, ...] = ()
    data: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether every check passed, and there were any."""
        return bool(self.checks) and all(check.passed for check in self.checks)

    @property
    def failures(self) -> tuple[Check, ...]:
        """The checks that did not pass."""
        return tuple(check for check in self.checks if not check.passed)

    def to_dict(self) -> dict[str, Any]:
        """Returns the outcome as plain data for JSON; a figure that is not finite is None."""
        checks = []
        for check in self.checks:
            value = check.value if math.isfinite(check.value) else None
            # As JSON gives it back: manifests are compared with what is read from the file.
            interval = None if check.interval is None else list(check.interval)
            checks.append({**dataclasses.asdict(check), "value": value, "interval": interval})
        return {
            "passed": self.passed,
            "scheme": self.scheme,
            "images": self.images,
            "data": dict(self.data),
            "checks": checks,
            "skipped": list(self.skipped),
            "parity": self.parity.to_dict(),
        }


def gate_for(scheme: str, *, low_rank: bool = False) -> Gate:
    """Returns the gate of a numeric scheme.

    Args:
        scheme: One of `SCHEMES`.
        low_rank: Whether the head is of low rank, which may diverge by `LOW_RANK_KL` more.

    Raises:
        UsageError: If no gate is known for it.
    """
    if scheme not in SCHEMES:
        raise UsageError(
            f"There is no gate for the scheme {scheme!r}. Schemes: {', '.join(SCHEMES)}."
        )
    gate = SCHEMES[scheme].gate
    if low_rank and gate.kl is not None:
        return dataclasses.replace(gate, kl=gate.kl + LOW_RANK_KL)
    return gate


def keeps_low_rank(parity: Parity) -> bool:
    """Whether a head of low rank, in float32, leaves the schemes of few bits their own share of the gate."""
    return all(check.passed for check in _checks(parity, few_bits_gate(LOW_RANK_KL))[0])


def check_parity(parity: Parity, scheme: str, *, low_rank: bool = False) -> Verification:
    """Holds a comparison against the gate of a numeric scheme; see `gate_for`.

    Every check is made, also after one has failed. All numbers must be finite whatever the scheme.
    """
    checks, skipped = _checks(parity, gate_for(scheme, low_rank=low_rank))
    return Verification(scheme, parity.images, tuple(checks), parity, tuple(skipped))


def _checks(parity: Parity, gate: Gate) -> tuple[list[Check], list[str]]:
    """Returns the checks of a gate, and those that could not be made."""
    checks = [Check("non-finite probabilities", parity.non_finite, 0, parity.finite, "", "<=")]
    skipped = []
    for name, value, highest, unit in (
        ("max abs difference", parity.max_abs_difference, gate.max_abs_difference, ""),
        ("mean KL divergence", parity.kl, gate.kl, "nats"),
    ):
        if highest is not None:
            # Not `not value > highest`: NaN has to fail.
            checks.append(Check(name, value, highest, value <= highest, unit, "<="))
    for name, agreeing, images, least in (
        ("top-1 agreement", parity.top1_agreeing, parity.images, gate.top1_agreement),
        ("top-1 agreement where sure", parity.sure_agreeing, parity.sure, gate.sure_agreement),
    ):
        if least is not None and not images:
            skipped.append(f"{name}: the reference is sure of none of the images")
        elif least is not None:
            share, limit = 100 * agreeing / images, float(100 * least)
            checks.append(Check(name, share, limit, agreeing >= least * images, "%", ">="))
    if gate.top1_loss is not None:
        if parity.lost is None or parity.gained is None:
            skipped.append("top-1 accuracy loss: the images have no labels of these classes")
        else:
            checks.append(_loss_check(parity.lost, parity.gained, parity.images, gate.top1_loss))
    return checks, skipped


def _loss_check(lost: int, gained: int, images: int, limit: Fraction) -> Check:
    low, high = paired_interval(lost, gained, images, LOSS_CONFIDENCE)
    return Check(
        "top-1 accuracy loss",
        100 * (lost - gained) / images,
        float(100 * limit),
        low <= limit,
        "points",
        "<=",
        (100 * low, 100 * high),
    )
