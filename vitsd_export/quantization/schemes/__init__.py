"""The numeric schemes. A new one is a file here and a line in the registry."""

from collections.abc import Mapping

from vitsd_export.artifact.manifest import Format
from vitsd_export.errors import UsageError
from vitsd_export.quantization.schemes.float16 import FLOAT16
from vitsd_export.quantization.schemes.float32 import FLOAT32
from vitsd_export.quantization.schemes.full_int8 import FULL_INT8
from vitsd_export.quantization.schemes.int4 import INT4
from vitsd_export.quantization.schemes.int8 import DYNAMIC_INT8, INT8, WEIGHT_ONLY_INT8
from vitsd_export.quantization.schemes.scheme import Scheme

# What an artifact has unless another scheme is asked for, and what others are compared with.
BASELINE = FLOAT32.name
DEFAULT_QUANTIZED = INT8.name

# By name, in the order in which they are listed.
SCHEMES: Mapping[str, Scheme] = {
    scheme.name: scheme
    for scheme in (
        FLOAT32,
        FLOAT16,
        WEIGHT_ONLY_INT8,
        DYNAMIC_INT8,
        INT8,
        INT4,
        FULL_INT8,
    )
}


def schemes_of(form: Format) -> tuple[str, ...]:
    """Returns the names of the schemes that a format can express."""
    return tuple(name for name, scheme in SCHEMES.items() if form in scheme.recipes)


def find_scheme(name: str, form: Format) -> Scheme:
    """Returns a scheme.

    Raises:
        UsageError: If there is none of the name, or the format cannot express it; with those it can.
    """
    if name not in schemes_of(form):
        has = f"{form} has {', '.join(schemes_of(form))}"
        if name in SCHEMES:
            others = " and ".join(SCHEMES[name].recipes)
            raise UsageError(f"{form} cannot express {name}, which is for {others}; {has}.")
        raise UsageError(f"There is no scheme {name!r}; {has}.")
    return SCHEMES[name]
