"""The gates an artifact has to pass, by numeric scheme."""

import dataclasses
import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any, Literal

from vitsd_export.errors import UsageError
from vitsd_export.measure.parity import Parity


@dataclasses.dataclass(frozen=True)
class Gate:
    """Limits for one scheme; None where there is none.

    Attributes:
        max_abs_difference: Largest allowed absolute difference of two probabilities.
        top1_agreement: Smallest allowed share of images on which both name the same class first. A
            fraction: a float 0.995 is a little less than 199 of 200.
        top1_loss: Largest allowed loss of top-1 accuracy, as a share of the images. A gain is no
            failure.
    """

    max_abs_difference: float | None
    top1_agreement: Fraction
    top1_loss: Fraction | None


_FEW_BITS = Gate(
    max_abs_difference=None, top1_agreement=Fraction(98, 100), top1_loss=Fraction(1, 100)
)

GATES: dict[str, Gate] = {
    "float32": Gate(max_abs_difference=1e-4, top1_agreement=Fraction(1), top1_loss=None),
    "float16": Gate(max_abs_difference=5e-3, top1_agreement=Fraction(995, 1000), top1_loss=None),
    "weight-only-int8": _FEW_BITS,
    "dynamic-int8": _FEW_BITS,
    "int8": _FEW_BITS,
    "int4": _FEW_BITS,
    "full-int8": _FEW_BITS,
}


@dataclasses.dataclass(frozen=True)
class Check:
    """One figure held against its limit.

    Attributes:
        name: What is measured.
        value: The figure, in `unit`.
        limit: The limit, in `unit`.
        passed: Whether the figure keeps the limit; decided on exact counts and not on the rounded
            `value`.
        unit: `%`, `points` (percentage points), or empty for plain numbers.
        relation: Whether the figure must be at most (`<=`) or at least (`>=`) the limit.
    """

    name: str
    value: float
    limit: float
    passed: bool
    unit: str
    relation: Literal["<=", ">="]

    def __str__(self) -> str:
        space = " " if self.unit == "points" else ""
        return (
            f"{self.name} {self.value:.4g}{space}{self.unit} "
            f"(must be {self.relation} {self.limit:.4g}{space}{self.unit})"
        )


@dataclasses.dataclass(frozen=True)
class Verification:
    """Outcome of all checks of an artifact.

    Attributes:
        scheme: Numeric scheme whose gate applied.
        images: Number of images.
        checks: Every check that was made, in the order to show them.
        parity: The figures the checks were made on.
        skipped: Checks of the gate that could not be made, each with the reason.
        data: What the images are, as `ImageDataset.describe` tells it.
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
            checks.append({**dataclasses.asdict(check), "value": value})
        return {
            "passed": self.passed,
            "scheme": self.scheme,
            "images": self.images,
            "data": dict(self.data),
            "checks": checks,
            "skipped": list(self.skipped),
            "parity": self.parity.to_dict(),
        }


def gate_for(scheme: str) -> Gate:
    """Returns the gate of a numeric scheme.

    Raises:
        UsageError: If no gate is known for it.
    """
    if scheme not in GATES:
        raise UsageError(
            f"There is no gate for the scheme {scheme!r}. Schemes: {', '.join(GATES)}."
        )
    return GATES[scheme]


def check_parity(parity: Parity, scheme: str) -> Verification:
    """Holds a comparison against the gate of a numeric scheme.

    Every check is made, also after one has failed. All numbers must be finite whatever the scheme.

    Args:
        parity: The comparison.
        scheme: One of `GATES`.

    Raises:
        UsageError: If no gate is known for the scheme.
    """
    gate = gate_for(scheme)
    checks = [Check("non-finite probabilities", parity.non_finite, 0, parity.finite, "", "<=")]
    skipped = []
    if gate.max_abs_difference is not None:
        value = parity.max_abs_difference
        limit = gate.max_abs_difference
        # Not `not value > limit`: NaN has to fail.
        checks.append(Check("max abs difference", value, limit, value <= limit, "", "<="))
    checks.append(
        Check(
            "top-1 agreement",
            100 * parity.top1_agreement,
            float(100 * gate.top1_agreement),
            parity.top1_agreeing >= gate.top1_agreement * parity.images,
            "%",
            ">=",
        )
    )
    if gate.top1_loss is not None:
        if parity.reference_correct is None or parity.artifact_correct is None:
            skipped.append("top-1 accuracy loss: the images have no labels of these classes")
        else:
            loss = parity.reference_correct - parity.artifact_correct
            checks.append(
                Check(
                    "top-1 accuracy loss",
                    100 * loss / parity.images,
                    float(100 * gate.top1_loss),
                    loss <= gate.top1_loss * parity.images,
                    "points",
                    "<=",
                )
            )
    return Verification(scheme, parity.images, tuple(checks), parity, tuple(skipped))
