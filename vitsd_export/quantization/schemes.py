"""The numeric schemes: what each stores in fewer bits, which formats have it, and where it runs."""

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from vitsd_export.artifact.manifest import Format
from vitsd_export.errors import UsageError
from vitsd_export.quantization.calibration.histogram import Method

DEFAULT_QUANTIZED = "int8"


@dataclasses.dataclass(frozen=True)
class Scheme:
    """A numeric scheme.

    Attributes:
        name: What users call it.
        weights: How the weights of dense layers and convolutions are stored.
        activations: What these layers compute with.
        runs_on: The formats that have it, each with what its runtime must know.
        calibrated_in: The formats in which images decide how weights and activations are rounded.
        ranged_in: Those of them in which the images give activations their ranges as well.
        method: How ranges follow from the images unless another method is asked for.
    """

    name: str
    weights: str
    activations: str
    runs_on: Mapping[Format, str]
    calibrated_in: frozenset[Format] = frozenset()
    ranged_in: frozenset[Format] = frozenset()
    method: Method = "minmax"

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values for JSON."""
        return {
            "name": self.name,
            "weights": self.weights,
            "activations": self.activations,
            "runs_on": dict(self.runs_on),
            "calibrated_in": sorted(self.calibrated_in),
        }


def _scheme(
    name: str,
    weights: str,
    activations: str,
    runs_on: Mapping[Format, str],
    calibrated_in: tuple[Format, ...] = (),
    ranged_in: tuple[Format, ...] = (),
    method: Method = "minmax",
) -> Scheme:
    return Scheme(
        name,
        weights,
        activations,
        MappingProxyType(dict(runs_on)),
        frozenset(calibrated_in),
        frozenset(ranged_in),
        method,
    )


_ANY_LITERT = "every LiteRT runtime"
_ANY_ONNX = "every ONNX runtime"

SCHEMES: Mapping[str, Scheme] = MappingProxyType(
    {
        scheme.name: scheme
        for scheme in (
            _scheme(
                "float32",
                "float32",
                "float32",
                {
                    "saved_model": "TensorFlow",
                    "tflite": _ANY_LITERT,
                    "onnx": _ANY_ONNX,
                },
            ),
            _scheme(
                "float16",
                "float16",
                "float32",
                {"tflite": _ANY_LITERT, "onnx": _ANY_ONNX},
            ),
            _scheme(
                "weight-only-int8",
                "int8, a scale for each output channel",
                "float32; weights are widened when the file is loaded",
                {"tflite": _ANY_LITERT, "onnx": _ANY_ONNX},
                ("onnx",),
            ),
            _scheme(
                "dynamic-int8",
                "int8, a scale for each output channel",
                "8 bits, ranges taken at run time",
                {"tflite": _ANY_LITERT, "onnx": _ANY_ONNX},
                ("onnx",),
            ),
            _scheme(
                "int8",
                "int8, a scale for each output channel",
                "8 bits, ranges calibrated on training images; the attention core in float32",
                {"tflite": _ANY_LITERT, "onnx": _ANY_ONNX},
                ("tflite", "onnx"),
                ("tflite", "onnx"),
            ),
            _scheme(
                "int4",
                "int4 in blocks for the large layers, or for harmless ones if none is; int8 for the rest",
                "8 bits in these layers",
                {
                    "tflite": "LiteRT with XNNPACK",
                    "onnx": "onnxruntime 1.20 and later (opset 21)",
                },
                ("tflite", "onnx"),
                ("onnx",),
            ),
            _scheme(
                "full-int8",
                "int8",
                "integers throughout, uint8 in and int8 out",
                {"tflite": "LiteRT, for processors without floating point too"},
                ("tflite",),
                ("tflite",),
                "mse",
            ),
        )
    }
)


def schemes_of(format: Format) -> tuple[str, ...]:
    """Returns the names of the schemes that a format can express."""
    return tuple(name for name, scheme in SCHEMES.items() if format in scheme.runs_on)


def find_scheme(name: str, format: Format) -> Scheme:
    """Returns a scheme.

    Raises:
        UsageError: If there is none of the name, or the format cannot express it; with those it can.
    """
    if name not in schemes_of(format):
        has = f"{format} has {', '.join(schemes_of(format))}"
        if name in SCHEMES:
            others = " and ".join(SCHEMES[name].runs_on)
            raise UsageError(f"{format} cannot express {name}, which is for {others}; {has}.")
        raise UsageError(f"There is no scheme {name!r}; {has}.")
    return SCHEMES[name]
