"""A benchmark run as one HTML page that needs nothing else: no network, no other file."""

import base64
import hashlib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from vitsd_export._internal.atomic_write import write_file
from vitsd_export.errors import EnvironmentProblem
from vitsd_export.measure.benchmark.results import Results, WorstImage
from vitsd_export.reports import tables
from vitsd_export.reports.drawing import drawing, to_svg
from vitsd_export.reports.findings import findings
from vitsd_export.reports.plots import draw_pareto, draw_times
from vitsd_export.reports.table import Table
from vitsd_export.reports.wording import (
    data_name,
    machine_name,
    percent,
    plain,
    setting_name,
    small,
    versions,
    when,
)


@dataclass(frozen=True)
class _SettingView:
    """What the page shows of a number of threads and images a call."""

    threads: int
    batch: int
    name: str
    summary: Table | None
    latency: Table | None
    pareto: str
    times: str


def write_page(results: Results, path: Path) -> None:
    """Writes the page.

    It loads nothing, and a content security policy forbids it to: its own style and script run by their
    hashes, pictures are inside. Whatever comes from the results is escaped.

    Raises:
        EnvironmentProblem: If the file cannot be written.
    """
    write_file(path, render_page(results))


def render_page(results: Results) -> str:
    """Returns the page."""
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("vitsd_export.reports"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"plain": plain, "small": small, "percent": percent}
    style, script = _asset("page.css"), _asset("page.js")
    found = tables.settings(results)
    no_pictures = ""
    try:
        with drawing():
            views = [_setting_view(results, setting, has_pictures=True) for setting in found]
    except EnvironmentProblem as problem:
        views = [_setting_view(results, setting, has_pictures=False) for setting in found]
        no_pictures = str(problem)
    return environment.get_template("page.html.j2").render(
        results=results,
        name=plain(results.model.get("name", "a model")),
        # These two are ours, and the policy knows them by their hashes.
        style=Markup(style),
        script=Markup(script),
        policy=_policy(style, script),
        findings=findings(results, found[0] if found else None),
        settings=views,
        no_pictures=no_pictures,
        threads=sorted({threads for threads, _ in found}),
        batches=sorted({batch for _, batch in found}),
        # Without a single time the other figures of the candidates are shown.
        summary=None if found else tables.summary(results, None),
        tables={table.key: table for table in tables.all_tables(results)},
        classes=tables.classes(results),
        worst=_worst(results),
        describe=_describe,
        provenance=_provenance(results),
    )


def _setting_view(results: Results, setting: tables.Setting, *, has_pictures: bool) -> _SettingView:
    from markupsafe import Markup

    name = setting_name(*setting)
    pictures = {}
    if has_pictures:
        pictures = {
            f"Accuracy against latency, {name}": draw_pareto(results, setting),
            f"Times of the calls, {name}": draw_times(results, setting),
        }
    key = "plot-{}-{}".format(*setting)
    drawn = [
        Markup(to_svg(picture.figure, f"{key}-{place}", label, picture.tips)) if picture else ""
        for place, (label, picture) in enumerate(pictures.items())
    ]
    pareto, times = drawn or ("", "")
    return _SettingView(
        *setting,
        name,
        tables.summary(results, setting),
        tables.latencies(results, setting),
        pareto,
        times,
    )


def _worst(results: Results) -> list[tuple[str, tuple[WorstImage, ...]]]:
    """Returns the worst images by candidate, the one that strays farthest first."""
    found = [
        (plain(row.candidate.name), row.parity.worst)
        for row in results.rows
        if row.parity is not None and row.parity.worst
    ]
    return sorted(found, key=lambda pair: -pair[1][0].max_abs_difference)


def _asset(name: str) -> str:
    return (resources.files("vitsd_export.reports") / "templates" / name).read_text("utf-8")


def _policy(style: str, script: str) -> str:
    """Returns a content security policy: nothing but this style, this script and pictures inside."""
    allowed = {"script-src": f"'{_hash(script)}'", "style-src": f"'{_hash(style)}'"}
    allowed |= {"default-src": "'none'", "img-src": "data:"}
    allowed |= {"base-uri": "'none'", "form-action": "'none'"}
    return "; ".join(f"{name} {sources}" for name, sources in sorted(allowed.items()))


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


def _describe(image: WorstImage, name: str) -> str:
    """Returns what stands in for a thumbnail that is not seen."""
    what = plain(image.label) if image.label is not None else "without a label"
    return (
        f"Image {image.index}, {what}: the reference says {plain(image.reference_label)}, "
        f"{name} says {plain(image.answer_label)}"
    )


def _provenance(results: Results) -> list[tuple[str, Any]]:
    entries: list[tuple[str, Any]] = [
        ("Started", when(results)),
        ("Finished", plain(results.finished) if results.finished is not None else ""),
        ("Machine", machine_name(results)),
        ("Model", plain(results.model.get("name", ""))),
        ("SHA-256", plain(results.model.get("sha256", ""))),
        ("Images", data_name(results)),
        ("Versions", ", ".join(f"{key} {value}" for key, value in versions(results).items())),
        (
            "Settings",
            ", ".join(f"{plain(key)} {plain(value)}" for key, value in results.settings.items()),
        ),
    ]
    return [(name, value) for name, value in entries if value]
