"""The artifacts of ours that are measured."""

import dataclasses

from vitsd_export import __version__
from vitsd_export.artifact.formats import FORMATS
from vitsd_export.artifact.manifest import Format
from vitsd_export.quantization.schemes import BASELINE, DEFAULT_QUANTIZED, schemes_of


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
        return f"{FORMATS[self.format].slug} {self.scheme}{rank}"

    @property
    def file_name(self) -> str:
        """Name of its file or folder."""
        return self.name.replace(" ", "-") + FORMATS[self.format].suffix

    @property
    def runtime(self) -> str:
        """Where it runs."""
        return FORMATS[self.format].runtime

    @property
    def made_by(self) -> str:
        """What makes it, with the version."""
        return f"vitsd-export {__version__}"


# The formats in the order in which tables have them.
_FORMATS = tuple(FORMATS)[::-1]
QUICK = tuple(
    Variant(format, scheme)
    for format in _FORMATS
    for scheme in (BASELINE, DEFAULT_QUANTIZED)
    if scheme in schemes_of(format)
)


def all_variants(head_rank: int | None = None) -> tuple[Variant, ...]:
    """Returns every scheme of every format, and int8 with a head of a rank if there is one."""
    found = []
    for format in _FORMATS:
        schemes = schemes_of(format)
        found += [Variant(format, scheme) for scheme in schemes]
        if head_rank is not None and DEFAULT_QUANTIZED in schemes:
            found.append(Variant(format, DEFAULT_QUANTIZED, head_rank))
    return tuple(found)
