"""Which layers of an artifact lose most to quantization.

A layer's signal-to-quantization-noise ratio compares what it answers in the artifact with what it answers in
float32, on the same images:

    SQNR = 10 · log₁₀(Σ y² / Σ (ŷ - y)²)  decibels.

Noise adds up from layer to layer, so a low ratio may come from before; a fall from one layer to the next is
that layer's own.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from vitsd_export.errors import InputError
from vitsd_export.measure.tensor_readers import TensorReader, match_names

_BATCH = 32


@dataclasses.dataclass(frozen=True)
class LayerSensitivity:
    """A layer in an artifact.

    Attributes:
        name: Name of the layer in the reference.
        tensor: Name of its output in the artifact.
        position: Its place in the order of computation, from 0.
        sqnr: Signal-to-quantization-noise ratio in decibels; infinite if both are equal, -infinite if the
            artifact answers NaN or infinity.
        max_abs_difference: Largest absolute difference of two numbers; infinite if any is not finite.
    """

    name: str
    tensor: str
    position: int
    sqnr: float
    max_abs_difference: float


@dataclasses.dataclass(frozen=True)
class Sensitivity:
    """The layers of an artifact beside those of its reference.

    Attributes:
        images: Number of images.
        layers: The layers that both have, the lowest ratio first.
        missing: Layers of the reference that the artifact does not have.
    """

    images: int
    layers: tuple[LayerSensitivity, ...]
    missing: tuple[str, ...]

    @property
    def in_order(self) -> tuple[LayerSensitivity, ...]:
        """The layers in the order of computation."""
        return tuple(sorted(self.layers, key=lambda layer: layer.position))

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values for JSON; a figure that is not finite is None."""
        layers = []
        for layer in self.layers:
            entry = dataclasses.asdict(layer)
            for figure in ("sqnr", "max_abs_difference"):
                entry[figure] = entry[figure] if math.isfinite(entry[figure]) else None
            layers.append(entry)
        return {"images": self.images, "layers": layers, "missing": list(self.missing)}


def measure_sensitivity(
    reference: TensorReader,
    artifact: TensorReader,
    images: np.ndarray,
    progress: Callable[[int], None] = lambda _: None,
) -> Sensitivity:
    """Compares the layers of an artifact with those of the float32 network that it was made from.

    Args:
        reference: The network in float32.
        artifact: The artifact.
        images: [N, size, size, 3] uint8 pixels, as both take them.
        progress: Called with the number of images done.

    Raises:
        InputError: If there are no images, or the two have no layer in common.
    """
    if not len(images):
        raise InputError("There are no images to compare layers on. Give at least one.")
    partners = match_names(reference.names, artifact.candidates)
    if not partners:
        raise InputError(
            "The artifact has no layer of the reference's: "
            f"{', '.join(artifact.candidates[:3]) or 'no layers'} against "
            f"{', '.join(reference.names[:3]) or 'no layers'}. Give the model that it was made from; if it "
            "was exported with --no-lowering, give its float32 artifact of the same format."
        )
    expected_of = reference.reading(tuple(partners))
    found_of = artifact.reading(tuple(partners.values()))
    noises = {name: _Noise() for name in partners}
    for start in range(0, len(images), _BATCH):
        batch = images[start : start + _BATCH]
        expected, found = expected_of(batch), found_of(batch)
        for name, tensor in partners.items():
            if expected[name].size != found[tensor].size:
                raise InputError(
                    f"The layer {name} answers {len(batch)} images with {expected[name].size} numbers in "
                    f"the reference and {found[tensor].size} in the artifact. Give the model that the "
                    "artifact was made from."
                )
            noises[name].add(expected[name], found[tensor])
        progress(start + len(batch))
    layers = [
        LayerSensitivity(name, partners[name], position, noise.sqnr, noise.largest)
        for position, (name, noise) in enumerate(
            (name, noises[name]) for name in reference.names if name in noises
        )
    ]
    layers.sort(key=lambda layer: (layer.sqnr, layer.position))
    missing = tuple(name for name in reference.names if name not in partners)
    return Sensitivity(len(images), tuple(layers), missing)


class _Noise:
    """Signal and noise of a layer, batch by batch."""

    def __init__(self) -> None:
        self._signal = self._noise = 0.0
        self.largest = 0.0

    def add(self, expected: np.ndarray, found: np.ndarray) -> None:
        wide = expected.astype(np.float64).ravel()
        difference = found.astype(np.float64).ravel() - wide
        if not np.isfinite(difference).all():
            self._noise = self.largest = math.inf
            return
        self._signal += float(np.square(wide).sum())
        self._noise += float(np.square(difference).sum())
        self.largest = max(self.largest, float(np.abs(difference).max(initial=0)))

    @property
    def sqnr(self) -> float:
        if not self._noise:
            return math.inf
        ratio = self._signal / self._noise
        return 10 * math.log10(ratio) if ratio else -math.inf
