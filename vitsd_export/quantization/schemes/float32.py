"""`float32`: what the exporters write, in every format."""

from collections.abc import Iterator, Mapping
from fractions import Fraction

from vitsd_export.artifact.manifest import Format
from vitsd_export.exporters.registry import EXPORTERS
from vitsd_export.quantization.making import Making
from vitsd_export.quantization.schemes.scheme import Gate, Recipe, Scheme


class _EveryFormat(Mapping[Format, Recipe]):
    """A recipe for each exporter there is."""

    def __getitem__(self, form: Format) -> Recipe:
        return Recipe(EXPORTERS[form].runs_on, _make)

    def __iter__(self) -> Iterator[Format]:
        return iter(EXPORTERS)

    def __len__(self) -> int:
        return len(EXPORTERS)


def _make(making: Making) -> None:
    making.write_float32()


FLOAT32 = Scheme(
    name="float32",
    weights="float32",
    activations="float32",
    gate=Gate(max_abs_difference=1e-4, top1_agreement=Fraction(1)),
    recipes=_EveryFormat(),
    few_bits=False,
    remedy="This is a fault of the conversion: please report it with the model's architecture.",
)
