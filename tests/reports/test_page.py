"""The page, opened in a real browser."""

import math
import re
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.support.benchmark_results import (
    HOSTILE,
    hostile,
    latency,
    realistic,
    results,
    row,
    unusual,
)
from vitsd_export.errors import EnvironmentProblem
from vitsd_export.measure.benchmark.results import Results
from vitsd_export.reports.page import render_page, write_page

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

DESKTOP, PHONE = (1280, 900), (375, 800)


@dataclass
class Opened:
    """A page in the browser, with everything that it said and asked for."""

    page: "Page"
    file: str
    messages: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def check_quiet(self) -> None:
        """Checks that it said nothing, and asked for nothing but itself and the pictures inside."""
        assert self.messages == []
        asked = [url for url in self.requests if not url.startswith("data:")]
        assert asked == [self.file]


Open = Callable[..., Opened]


@pytest.fixture(scope="module")
def rendered() -> dict[int, tuple[Results, str]]:
    """Pages by their runs: drawing them takes a while."""
    return {}


@pytest.fixture
def opened(
    browser: "Browser", tmp_path: Path, rendered: dict[int, tuple[Results, str]]
) -> Iterator[Open]:
    contexts = []

    def open_page(run: Results, size: tuple[int, int] = DESKTOP, **options: Any) -> Opened:
        path = tmp_path / f"page {len(contexts)}.html"
        if id(run) not in rendered:
            # With the run itself, whose place no other takes then.
            rendered[id(run)] = run, render_page(run)
        path.write_text(rendered[id(run)][1], encoding="utf-8", newline="\n")
        width, height = size
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        page = context.new_page()
        found = Opened(page, path.as_uri())
        page.on("console", lambda message: found.messages.append(message.text))
        page.on("pageerror", lambda error: found.messages.append(str(error)))
        page.on("dialog", lambda dialog: found.messages.append(dialog.message))
        page.on("request", lambda request: found.requests.append(request.url))
        page.goto(found.file)
        return found

    yield open_page
    for context in contexts:
        context.close()


@pytest.mark.parametrize("name", unusual())
def test_every_run_opens_without_a_sound(name: str, opened: Open) -> None:
    found = opened(unusual()[name], PHONE)
    page = found.page
    for width in (320, 375, 700, 1280):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("window.hacked") is None
    assert page.locator("script").count() == 1
    assert page.locator("h1").count() == 1
    found.check_quiet()


@pytest.fixture
def server() -> Iterator[tuple[str, list[str]]]:
    """The address of a server on this machine, and what it has been asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{listening.server_port}", asked
        listening.shutdown()
        thread.join()


def test_nothing_from_outside_can_be_loaded(opened: Open, server: tuple[str, list[str]]) -> None:
    address, asked = server
    found = opened(realistic())
    load_everything = """async (address) => {
      const violated = [];
      document.addEventListener("securitypolicyviolation", (event) =>
        violated.push(event.effectiveDirective));
      const add = (tag, attributes) =>
        document.body.append(Object.assign(document.createElement(tag), attributes));
      add("img", { src: `${address}/a.png` });
      add("script", { src: `${address}/a.js` });
      add("script", { textContent: "window.hacked = 1" });
      add("link", { rel: "stylesheet", href: `${address}/a.css` });
      add("iframe", { src: `${address}/a.html` });
      await fetch(`${address}/fetched`).catch(() => null);
      await new Promise((resolve) => setTimeout(resolve, 200));
      return [...violated, window.hacked ?? null];
    }"""
    *violated, hacked = found.page.evaluate(load_everything, address)
    expected = {"img-src", "script-src-elem", "style-src-elem", "frame-src", "connect-src"}
    assert set(violated) == expected
    assert hacked is None
    assert asked == []
    # The same from a page without the policy does get through.
    found.page.goto(address)
    found.page.evaluate(load_everything, address)
    assert set(asked) >= {"/a.png", "/a.js", "/a.css", "/a.html", "/fetched"}


def test_hostile_text_is_shown_as_text(opened: Open) -> None:
    found = opened(hostile())
    found.check_quiet()
    names = found.page.locator("table.parity tbody th").all_text_contents()
    assert names[:5] == list(HOSTILE[:5])
    assert found.page.title() == f"Benchmark of {HOSTILE[0]}"
    assert HOSTILE[0] in found.page.locator("pre").inner_text()
    assert found.page.evaluate("window.hacked") is None


def test_figures_are_those_of_the_run(opened: Open) -> None:
    page = opened(realistic()).page
    line = page.locator(".setting:visible table.summary tr", has_text="onnx int8").first
    cells = line.locator("th, td").all_inner_texts()
    assert [cell.strip() for cell in cells] == [
        *("onnx int8", "79.38 %", "99.36 %", "6.34 ms", "0.45", "faster", "22.09 MB", "60 %")
    ]
    failures = page.locator("table.failures").inner_text()
    assert "crashed: SIGSEGV while loading" in failures
    assert "the package openvino is missing" in failures
    assert "avx512_vnni" in page.locator("section", has_text="Where this is from").last.inner_text()


def test_bars_are_as_long_as_their_share(opened: Open) -> None:
    page = opened(realistic()).page
    for line in page.locator("table.roofline tbody tr").all():
        cell = line.locator("td").last
        track = cell.locator(".track").bounding_box()
        fill = cell.locator(".fill").bounding_box()
        assert track is not None
        assert fill is not None
        share = float(cell.inner_text().removesuffix("%")) / 100
        assert fill["width"] / track["width"] == pytest.approx(share, abs=0.011)


def test_chooser_shows_one_choice(opened: Open) -> None:
    run = realistic()
    found = opened(run)
    page = found.page
    for threads, batch in ((2, 8), (1, 8), (1, 1)):
        page.locator("#chooser label", has_text=str(threads)).first.click()
        page.locator("#chooser fieldset").nth(1).locator("label", has_text=str(batch)).click()
        visible = page.locator(".setting:visible")
        assert visible.count() == 1
        assert visible.get_attribute("data-threads") == str(threads)
        assert visible.get_attribute("data-batch") == str(batch)
        times = {
            figures.batch: figures
            for figures in run.rows[2].latencies
            if figures.threads == threads
        }
        median = visible.locator("table.latency tbody tr").nth(2).locator("td").first
        assert float(median.get_attribute("data-sort") or "nan") == times[batch].p50
        status = page.locator("#shown")
        assert status.get_attribute("role") == "status"
        assert f"batch {batch}" in status.inner_text()
    found.check_quiet()


def test_chooser_says_what_was_not_measured(opened: Open) -> None:
    page = opened(unusual()["no common setting"]).page
    assert page.locator("#none").is_hidden()
    page.keyboard.press("Tab")
    page.locator("#chooser input[name=batch]").first.focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("#none").is_visible()
    assert page.locator(".setting:visible").count() == 0
    page.locator("#chooser input[name=threads]").first.focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("#none").is_hidden()
    assert page.locator(".setting:visible th[scope=row]").first.inner_text() == "a"


def test_tables_sort_by_value_and_leave_what_is_missing_last(opened: Open) -> None:
    found = opened(realistic())
    page = found.page
    table = page.locator(".setting:visible table.summary")
    for heading, expected in (
        ("p50", [figure for r in realistic().rows for figure in _p50(r)]),
        ("size", [r.size.bytes for r in realistic().rows if r.size]),
    ):
        cell = table.locator("thead th", has_text=heading).first
        column = cell.evaluate("cell => cell.cellIndex")
        for is_ascending in (True, False):
            button = cell.locator("button")
            button.focus()
            page.keyboard.press("Enter")
            assert cell.get_attribute("aria-sort") == (
                "ascending" if is_ascending else "descending"
            )
            shown = table.locator("tbody tr").evaluate_all(
                "(rows, column) => rows.map(row => row.cells[column].dataset.sort ?? null)", column
            )
            numbers = [float(value) for value in shown if value is not None]
            assert numbers == sorted(expected, reverse=not is_ascending)
            assert shown[len(numbers) :] == [None] * (len(shown) - len(numbers))
    assert table.locator("[aria-sort]").count() == 1
    found.check_quiet()


def _p50(each: Any) -> list[float]:
    return [f.p50 for f in each.latencies if (f.threads, f.batch) == (1, 1)]


def test_names_sort_as_people_read_them(opened: Open) -> None:
    run = results(*(row(name, latencies=(latency(1.0),)) for name in ("int16", "int8", "Int4")))
    page = opened(run).page
    page.locator("table.summary thead button").first.click()
    names = page.locator("table.summary tbody th").all_inner_texts()
    assert names == ["Int4", "int8", "int16"]


def _read_times(svg: Any) -> Callable[[float], float]:
    """Returns from pixels to milliseconds as one reads them off the axis' own ticks."""
    ticks = svg.locator("[id*=xtick] text").evaluate_all(
        """ticks => ticks.map(tick => {
          const box = tick.getBoundingClientRect();
          return [parseFloat(tick.textContent), box.left + box.width / 2];
        })"""
    )
    values, places = np.array(ticks).T
    assert len(values) >= 2
    straight = np.polyfit(places, values, 1)
    if np.abs(np.polyval(straight, places) - values).max() < 0.01 * np.ptp(values):
        return lambda place: float(np.polyval(straight, place))
    curved = np.polyfit(places, np.log(values), 1)
    return lambda place: math.exp(float(np.polyval(curved, place)))


def _box(mark: Any) -> tuple[float, float, float]:
    """Returns left, right and width in pixels."""
    return tuple(
        mark.evaluate(
            "mark => { const b = mark.getBBox(), m = mark.getScreenCTM();"
            " return [m.a * b.x + m.e, m.a * (b.x + b.width) + m.e, m.a * b.width]; }"
        )
    )


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
@pytest.mark.parametrize("spread", ["logarithmic", "linear"])
def test_points_of_the_plot_are_where_the_data_says(
    spread: str, size: tuple[int, int], opened: Open
) -> None:
    run = realistic()
    if spread == "linear":
        rows = [each for each in run.rows if each.latencies and 5 < each.latencies[0].p50 < 15]
        run = results(*rows)
    svg = opened(run, size).page.locator(".setting:visible svg.plot").first
    time_at = _read_times(svg)
    rows_by_name = {each.candidate.name: each for each in run.rows if each.latencies}
    discs = svg.locator("[data-tip]").all()
    areas = []
    for disc in discs:
        each = rows_by_name.pop((disc.get_attribute("aria-label") or "").rpartition(":")[0])
        assert each.size is not None
        left, right, width = _box(disc.locator("use, :scope > path"))
        assert time_at((left + right) / 2) == pytest.approx(each.latencies[0].p50, rel=0.02)
        areas.append((width**2, each.size.bytes))
    assert not rows_by_name
    ratios = np.array([area / count for area, count in areas])
    assert ratios.max() / ratios.min() < 1.02


@pytest.mark.parametrize("name", ["realistic", "all equal", "hostile", "agreement alone"])
def test_labels_of_the_plot_cover_nothing(name: str, opened: Open) -> None:
    svg = opened(unusual()[name]).page.locator(".setting:visible svg.plot").first
    labels = svg.locator("text[transform*='rotate(-60']").evaluate_all(
        "labels => labels.map(label => { const m = label.getScreenCTM(), x = +label.getAttribute('x'),"
        " y = +label.getAttribute('y'); return [m.a * x + m.c * y + m.e, m.b * x + m.d * y + m.f,"
        " Math.hypot(m.a, m.b) * parseFloat(getComputedStyle(label).fontSize)]; })"
    )
    assert len(labels) == svg.locator("[data-tip]").count() >= 1
    for one, other in pairwise(sorted(labels)):
        assert one[1] == pytest.approx(other[1], abs=1)
        # Lines of text side by side, at this angle.
        assert (other[0] - one[0]) * math.sin(math.pi / 3) >= one[2]
        assert one[2] >= 9.5


def test_boxes_lie_where_the_samples_are(opened: Open) -> None:
    run = realistic()
    svg = opened(run).page.locator(".setting:visible svg.plot").nth(1)
    time_at = _read_times(svg)
    rows = [each for each in run.rows if each.latencies]
    boxes = svg.locator("[data-tip] path").all()
    assert len(boxes) == len(rows)
    for box, each in zip(boxes, rows, strict=True):
        left, right, _ = _box(box)
        quarters = np.percentile(each.latencies[0].samples, (25, 75))
        assert [time_at(left), time_at(right)] == pytest.approx(quarters, rel=0.02)


def test_without_matplotlib_the_page_says_what_is_missing(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    found = opened(replace(realistic()))
    assert found.page.locator("svg.plot").count() == 0
    assert "vitsd-export[report]" in found.page.locator(".note:visible").all_inner_texts()[1]
    assert found.page.locator("table.summary:visible").count() == 1
    found.check_quiet()


@pytest.mark.parametrize("how", ["pointer", "keyboard"])
def test_tips_tell_the_figures(how: str, opened: Open) -> None:
    found = opened(realistic())
    page = found.page
    disc = page.locator(".setting:visible svg.plot [data-tip^='tflite int4: p50']")
    tip = page.locator("#tip")
    assert tip.is_hidden()
    if how == "pointer":
        disc.hover()
    else:
        disc.focus()
    assert tip.is_visible()
    assert tip.inner_text() == disc.get_attribute("aria-label")
    assert "tflite int4: p50 4.40 ms" in tip.inner_text()
    box = tip.bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= DESKTOP[0]
    page.keyboard.press("Escape")
    assert tip.is_hidden()
    found.check_quiet()


def test_thumbnails_are_pictures(opened: Open) -> None:
    page = opened(realistic()).page
    pictures = page.locator(".images img")
    assert pictures.count() == 6 * sum(
        bool(each.parity and each.parity.worst) for each in realistic().rows
    )
    widths = pictures.evaluate_all("pictures => pictures.map(picture => picture.naturalWidth)")
    assert set(widths) == {32}
    alternative = pictures.first.get_attribute("alt") or ""
    assert "the reference says airplane" in alternative
    assert "onnx float16 says automobile" in alternative


def _luminance(colour: str) -> float:
    channels = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_in_both_modes(scheme: str, opened: Open) -> None:
    """Contrast as WCAG 2.2 defines it, at least 4.5 for text."""
    page = opened(realistic(), color_scheme=scheme).page
    ground = _luminance(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert ground > 0.8 if scheme == "light" else ground < 0.05
    for selector in ("body", ".note", ".good", ".bad", "thead th", ".when", "dt", "td"):
        colour = page.locator(f"{selector}:visible").first.evaluate(
            "e => getComputedStyle(e).color"
        )
        dark, bright = sorted((ground, _luminance(colour)))
        assert (bright + 0.05) / (dark + 0.05) >= 4.5, (selector, colour)
    discs = page.locator(".setting:visible svg.plot [data-tip] path").all()
    for colour in {disc.evaluate("e => getComputedStyle(e).stroke") for disc in discs}:
        dark, bright = sorted((ground, _luminance(colour)))
        # Graphics need 3.
        assert (bright + 0.05) / (dark + 0.05) >= 3.0, colour
    text = page.locator(".setting:visible svg.plot text").first
    assert text.evaluate("e => getComputedStyle(e).fill") == page.evaluate(
        "getComputedStyle(document.body).color"
    )


@pytest.mark.parametrize("name", unusual())
def test_screen_readers_find_their_way(name: str, opened: Open) -> None:
    page = opened(unusual()[name]).page
    faults = page.evaluate(
        """() => {
          const faults = [];
          const ids = [...document.querySelectorAll("[id]")].map(element => element.id);
          if (new Set(ids).size !== ids.length) faults.push("an id twice");
          for (const table of document.querySelectorAll("table")) {
            if (!table.caption || !table.caption.textContent.trim()) faults.push("no caption");
            for (const th of table.querySelectorAll("th"))
              if (!["col", "row"].includes(th.scope)) faults.push("a heading without scope");
            for (const line of table.tBodies[0].rows)
              if (line.cells.length !== table.tHead.rows[0].cells.length) faults.push("ragged");
          }
          for (const element of document.querySelectorAll("[aria-labelledby]"))
            if (!document.getElementById(element.getAttribute("aria-labelledby")))
              faults.push(`nothing named ${element.getAttribute("aria-labelledby")}`);
          for (const image of document.querySelectorAll("img")) if (!image.alt) faults.push("no alt");
          for (const drawn of document.querySelectorAll("svg"))
            if (!drawn.hasAttribute("aria-label") && !drawn.closest("[aria-hidden=true]"))
              faults.push("a picture without a name");
          for (const focusable of document.querySelectorAll("[aria-hidden=true] [tabindex]"))
            faults.push("focus on what is hidden");
          let level = 0;
          for (const heading of document.querySelectorAll("h1, h2, h3")) {
            const own = Number(heading.tagName[1]);
            if (own > level + 1) faults.push("a level of headings left out");
            level = own;
          }
          if (!document.documentElement.lang || !document.title) faults.push("no language or title");
          return faults;
        }"""
    )
    assert faults == []


def test_without_a_script_everything_is_shown(opened: Open) -> None:
    page = opened(realistic(), java_script_enabled=False).page
    assert page.locator(".setting:visible").count() == 4
    assert page.locator("#chooser").is_hidden()
    assert page.locator("thead button").count() == 0


def test_many_classes_are_folded(opened: Open) -> None:
    page = opened(unusual()["100 classes"]).page
    table = page.locator("table.classes")
    assert table.is_hidden()
    page.locator("details summary", has_text="100 classes").click()
    assert table.is_visible()
    assert table.locator("tbody tr").count() == 100
    assert "(-1.0)" in table.locator("tbody tr").nth(50).inner_text()


def test_a_run_broken_off_is_marked(opened: Open) -> None:
    page = opened(replace(realistic(), finished=None)).page
    assert page.locator(".warning:visible").count() == 1


def test_the_same_run_gives_the_same_page() -> None:
    assert render_page(realistic()) == render_page(realistic())


def test_missing_folder_is_an_environment_problem(tmp_path: Path) -> None:
    target = tmp_path / "page.html"
    target.mkdir()
    (target / "x").touch()
    with pytest.raises((EnvironmentProblem, OSError)):
        write_page(results(), target)
