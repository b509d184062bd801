"""How figures and names are written in every report."""

import math
import unicodedata
from collections.abc import Mapping
from typing import Literal

from rich.text import Text

from vitsd_export.measure.benchmark.results import Interval, Results

NOTHING = "–"
VERDICTS: Mapping[Literal["faster", "slower", "same"], str] = {
    "faster": "faster",
    "slower": "slower",
    "same": "cannot be told apart",
}
# Characters that could steer a terminal, hide text or turn its direction; and halves of surrogate pairs,
# which UTF-8 does not hold. Zero-width joiners stay: emoji and some scripts need them.
_HIDDEN = {"Cc", "Cs"}
_TURNING = set("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u2028\u2029")


def plain(text: object) -> str:
    """Returns text of results in one line, without characters that could steer what shows it."""
    return "".join(
        " "
        if letter in "\n\t"
        else "\N{REPLACEMENT CHARACTER}"
        if letter in _TURNING or unicodedata.category(letter) in _HIDDEN
        else letter
        for letter in str(text)
    )


def runtime_name(key: str) -> str:
    """Returns the short name of a runtime: its key, or of `module:NameRunner` the name."""
    return plain(key.rpartition(":")[2]).removesuffix("Runner") or plain(key)


def shorten(text: str, width: int) -> str:
    """Cuts text to a width in columns of a terminal, and says so with an ellipsis."""
    shortened = Text(text)
    shortened.truncate(width, overflow="ellipsis")
    return shortened.plain


def significant(value: float, digits: int = 3) -> str:
    """Returns a number with so many significant digits and no exponent where it can be read without."""
    if not math.isfinite(value):
        return str(value)
    if value == 0:
        return "0"
    size = math.floor(math.log10(abs(value)))
    # 9.996 rounds up to a further digit.
    if abs(round(value, digits - 1 - size)) >= 10 ** (size + 1):
        size += 1
    if size < -4 or size > 8:
        return f"{value:.{digits - 1}e}"
    return f"{value:.{max(digits - 1 - size, 0)}f}"


def milliseconds(value: float | None) -> str:
    return NOTHING if value is None else f"{significant(value)} ms"


def percent(share: float | None, digits: int = 2) -> str:
    return NOTHING if share is None else f"{100 * share:.{digits}f} %"


def small(value: float | None) -> str:
    """Returns a difference or a divergence."""
    if value is None:
        return NOTHING
    return significant(value) if value == 0 or abs(value) >= 1e-3 else f"{value:.1e}"


def data_size(count: float | None) -> str:
    """Returns bytes in decimal units, as files and downloads are given."""
    if count is None:
        return NOTHING
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if abs(count) >= size:
            return f"{count / size:.{2 if unit != 'kB' else 1}f} {unit}"
    return f"{count:.0f} B"


def rate(value: float | None, unit: str) -> str:
    """Returns a rate with its SI prefix, such as `82.1 GFLOP/s`."""
    if value is None:
        return NOTHING
    for prefix, size in (("T", 1e12), ("G", 1e9), ("M", 1e6)):
        if abs(value) >= size:
            return f"{significant(value / size)} {prefix}{unit}"
    return f"{significant(value)} {unit}"


def count(number: int, one: str) -> str:
    return f"{number:,} {one if number == 1 else one + 's'}"


def interval(figure: Interval | None) -> str:
    """Returns a ratio with its 95 % interval, such as `0.45 (0.44–0.47)`."""
    if figure is None:
        return NOTHING
    return f"{figure.value:.3f} ({figure.low:.3f}–{figure.high:.3f})"


def setting_name(threads: int, batch: int) -> str:
    return f"{count(threads, 'thread')}, batch {batch}"


def headline(results: Results) -> str:
    """Returns what was compared, in a line."""
    name = plain(results.model.get("name", "a model"))
    return f"{name}: {count(len(results.rows), 'candidate')}"


def data_name(results: Results) -> str:
    """Returns source, split and number of the images."""
    known = [plain(results.data[key]) for key in ("source", "split") if results.data.get(key)]
    images = results.data.get("images")
    if isinstance(images, int):
        known.append(count(images, "image"))
    if results.data.get("labels") == "others":
        known.append("labels of other classes")
    return ", ".join(known) or NOTHING


def when(results: Results) -> str:
    """Returns the day and time of the run, and whether it was broken off."""
    text = plain(results.started).replace("T", " ")
    return text if results.finished is not None else f"{text} (broken off: not all was measured)"


def machine_name(results: Results) -> str:
    machine = results.machine
    parts = [
        plain(machine.processor),
        count(machine.cores, "core"),
        data_size(machine.memory),
        plain(machine.system),
    ]
    if machine.features:
        parts.insert(1, " ".join(map(plain, machine.features)))
    return ", ".join(parts)


def versions(results: Results) -> dict[str, str]:
    """Returns the versions of the run and of each runtime, by name; one that differs says where."""
    found = {plain(name): plain(version) for name, version in results.versions.items()}
    for row in results.rows:
        for name, version in row.versions.items():
            name, version = plain(name), plain(version)
            if found.setdefault(name, version) != version:
                found[f"{name} ({plain(row.candidate.name)})"] = version
    return found
