"""The artifacts of ours that are measured."""

import dataclasses

from vitsd_export.artifact.manifest import Format

_RUNTIMES: dict[Format, str] = {
    "onnx": "onnxruntime",
    "tflite": "litert",
    "saved_model": "saved_model",
}
_SUFFIXES: dict[Format, str] = {"onnx": ".onnx", "tflite": ".tflite", "saved_model": "-saved-model"}
_NAMES: dict[Format, str] = {"onnx": "onnx", "tflite": "litert", "saved_model": "saved-model"}


@dataclasses.dataclass(frozen=True)
class Variant:
    """A way to export.

    Attributes:
        format: Format of the artifact.
        scheme: Numeric scheme.
        head_rank: Rank of the head's wide layers; None for the layers as they are.
    """

    format: Format
    scheme: str
    head_rank: int | None = None

    @property
    def name(self) -> str:
        """What tables call it."""
        rank = "" if self.head_rank is None else f" head-rank {self.head_rank}"
        return f"{_NAMES[self.format]} {self.scheme}{rank}"

    @property
    def file_name(self) -> str:
        """Name of its file or folder."""
        return self.name.replace(" ", "-") + _SUFFIXES[self.format]

    @property
    def runtime(self) -> str:
        """Where it runs."""
        return _RUNTIMES[self.format]

    @property
    def made_by(self) -> str:
        """What makes it, with the version."""
        from vitsd_export import __version__

        return f"vitsd-export {__version__}"


def all_variants(head_rank: int | None = None) -> tuple[Variant, ...]:
    """Returns every scheme of every format.

    Args:
        head_rank: Adds int8 with a head of this rank.
    """
    from vitsd_export.quantization.schemes import schemes_of

    formats: tuple[Format, ...] = ("onnx", "tflite", "saved_model")
    found = []
    for format in formats:
        found += [Variant(format, scheme) for scheme in schemes_of(format)]
        if head_rank is not None and format != "saved_model":
            found.append(Variant(format, "int8", head_rank))
    return tuple(found)


QUICK = (
    Variant("onnx", "float32"),
    Variant("onnx", "int8"),
    Variant("tflite", "float32"),
    Variant("tflite", "int8"),
    Variant("saved_model", "float32"),
)
