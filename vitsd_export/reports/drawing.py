"""What every picture has in common: style, colours, and writing it as PNG or as SVG inside a page."""

import contextlib
import io
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from vitsd_export._internal.atomic_write import write_file
from vitsd_export.errors import EnvironmentProblem

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Colours that people with any colour vision tell apart (after Wong, 2011, doi:10.1038/nmeth.1618), each with
# a contrast of at least 3 on white and on a dark page.
BLUE, ORANGE, GREEN, GREY = "#0072b2", "#d55e00", "#009e73", "#767676"
COLOURS = (BLUE, ORANGE, GREEN, "#b0558c", "#997700", "#3090c8", "#5b5bd6", GREY)
FONT = 9.0
_DPI = 160
# Of text and axes. A page shows these in the colour of its own text.
_INK = "#1b1f24"
_STYLE = {
    "axes.axisbelow": True,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.size": FONT,
    "grid.alpha": 0.25,
    "grid.color": GREY,
    "legend.frameon": False,
    "legend.labelcolor": _INK,
    "svg.fonttype": "none",
    # The same run gives the same page.
    "svg.hashsalt": "vitsd-export",
    "text.color": _INK,
    # A name with two dollar signs is not a formula.
    "text.parse_math": False,
    "xtick.color": _INK,
    "ytick.color": _INK,
}
_SVG, _LINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"


@contextlib.contextmanager
def drawing() -> Iterator[None]:
    """Pictures are made and written within this.

    Raises:
        EnvironmentProblem: If matplotlib is missing.
    """
    try:
        import matplotlib
    except ImportError as error:
        raise EnvironmentProblem(
            f"Plots need matplotlib, which cannot be imported ({error}). Install it: "
            "pip install 'vitsd-export[report]'; or leave the plots out."
        ) from error
    with matplotlib.rc_context(_STYLE), warnings.catch_warnings():
        # A candidate may be named in a script that the bundled font lacks; its box does no harm.
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        yield


def new_figure(width: float, height: float) -> "tuple[Figure, Axes]":
    """Returns a figure, inches wide and high, that no global state knows, and its panel."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots()


def write_png(figure: "Figure", path: Path) -> None:
    """Writes a picture, atomically."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    write_file(path, buffer.getvalue())


def to_svg(figure: "Figure", key: str, label: str, tips: Mapping[str, str] | None = None) -> str:
    """Returns a picture as an SVG element for a page whose policy allows no style inside elements.

    Args:
        figure: The picture.
        key: Identifier, unique in the page.
        label: What the picture shows, for those who do not see it.
        tips: Texts to show with artists, by their gid.
    """
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    ElementTree.register_namespace("", _SVG)
    ElementTree.register_namespace("xlink", _LINK)
    root = ElementTree.fromstring(buffer.getvalue())
    root.attrib |= {"class": "plot", "role": "group", "aria-label": label}
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in (f"{{{_SVG}}}metadata", f"{{{_SVG}}}style"):
                parent.remove(child)
    for element in root.iter():
        for declaration in element.attrib.pop("style", "").split(";"):
            name, _, value = (part.strip() for part in declaration.partition(":"))
            if name and name != "font-family":
                element.set(name, "currentColor" if value == _INK else value)
        tip = (tips or {}).get(element.get("id", ""))
        if tip is not None:
            element.attrib |= {"tabindex": "0", "role": "img", "aria-label": tip, "data-tip": tip}
        for name, value in element.attrib.items():
            if name == "id":
                element.set(name, f"{key}-{value}")
            elif name == f"{{{_LINK}}}href" or value.startswith("url(#"):
                element.set(name, value.replace("#", f"#{key}-"))
    return ElementTree.tostring(root, encoding="unicode")
