"""What a numeric scheme is: how it stores numbers, its gate, and how each format's artifacts are made."""

import dataclasses
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

from vitsd_export.artifact.manifest import Format
from vitsd_export.quantization.calibration.histogram import Method
from vitsd_export.quantization.making import FittedLayers, Making

ANY_LITERT = "every LiteRT runtime"
ANY_ONNX = "every ONNX runtime"
INT8_BY_CHANNEL = "int8, a scale for each output channel"


@dataclasses.dataclass(frozen=True)
class Gate:
    """Limits for one scheme; None where there is none. `measure.gates` applies them.

    Attributes:
        max_abs_difference: Largest allowed absolute difference of two probabilities.
        kl: Largest allowed mean Kullback–Leibler divergence from the reference's answers, in nats.
        top1_agreement: Smallest allowed share of images on which both name the same class first. A
            fraction: a float 0.995 is a little less than 199 of 200.
        sure_agreement: Smallest allowed share of the same among the images on which the reference is sure.
        top1_loss: Largest allowed loss of top-1 accuracy, as a share of the images. It is passed where the
            whole `LOSS_CONFIDENCE` interval of the loss lies above it: some hundred images cannot tell a
            loss of one point from none.
    """

    max_abs_difference: float | None = None
    kl: float | None = None
    top1_agreement: Fraction | None = None
    sure_agreement: Fraction | None = None
    top1_loss: Fraction | None = None


def few_bits_gate(kl: float) -> Gate:
    """Returns what schemes of 8 bits and below have to keep.

    The agreement of all images is no measure of them: where a model is unsure of its answers, rounding turns
    near ties in either direction, and the accuracy stays. The limits of the divergence were set on training
    images, several times above the files of a sure and of an unsure model; docs/guides/verify.md has them.
    """
    return Gate(kl=kl, sure_agreement=Fraction(98, 100), top1_loss=Fraction(1, 100))


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How a scheme is made in one format.

    Attributes:
        runs_on: What its runtime must know.
        make: Makes an artifact; returns what calibration images decided, None without any.
        calibrated: Whether images decide how weights and activations are rounded.
        ranged: Whether these give activations their ranges as well.
        options: Fields of `Making` that its artifacts differ by, for the manifest.
        tools: Distributions that take part, beside those of the exporter.
        left_out: Rewrites of the inference graph that it does without.
    """

    runs_on: str
    make: Callable[[Making], FittedLayers | None]
    calibrated: bool = False
    ranged: bool = False
    options: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    left_out: frozenset[str] = frozenset()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scheme:
    """A numeric scheme.

    Attributes:
        name: What users call it.
        weights: How the weights of dense layers and convolutions are stored.
        activations: What these layers compute with.
        gate: What its artifacts have to keep.
        recipes: How it is made, for each format that has it.
        few_bits: Whether weights have 8 bits or fewer, so that it is worth a search, and a head of low rank.
        levels: Largest integer of the weights of few bits.
        output_dtype: NumPy name of the type that its artifacts answer in.
        transformers_suffix: How transformers.js names files of such numbers: `model` + suffix.
        method: How ranges follow from the images unless another method is asked for.
        remedy: What to do if an artifact misses the gate.
    """

    name: str
    weights: str
    activations: str
    gate: Gate
    recipes: Mapping[Format, Recipe]
    few_bits: bool = True
    levels: int = 127
    output_dtype: str = "float32"
    transformers_suffix: str = ""
    method: Method = "minmax"
    remedy: str = (
        "Calibrate on images like those it will see (--calibration-data), or use a scheme with more "
        "bits: --scheme dynamic-int8, float16 or float32."
    )

    @property
    def runs_on(self) -> dict[Format, str]:
        """The formats that have it, each with what its runtime must know."""
        return {form: recipe.runs_on for form, recipe in self.recipes.items()}

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values for JSON."""
        return {
            "name": self.name,
            "weights": self.weights,
            "activations": self.activations,
            "runs_on": self.runs_on,
            "calibrated_in": sorted(
                form for form, recipe in self.recipes.items() if recipe.calibrated
            ),
        }
