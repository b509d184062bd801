"""The page in people's hands: mouse, keyboard, clipboard, phones, no network, bad models."""

import base64
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.command_line import Artifacts
from tests.support.web_pages import choose, open_page, png, shown, wait_until_kept, wait_until_ready
from tests.support.web_servers import Serve

_PHONE: dict[str, Any] = {
    "viewport": {"width": 375, "height": 667},
    "device_scale_factor": 2,
    "is_mobile": True,
    "has_touch": True,
}

# A transfer as the mouse or the clipboard would bring it; scripts cannot use the real ones.
_TRANSFER = """
(content) => {
  const transfer = new DataTransfer();
  if (content === null) transfer.setData("text/plain", "words");
  else {
    const bytes = Uint8Array.from(atob(content), (character) => character.charCodeAt(0));
    transfer.items.add(new File([bytes], "dropped.png", { type: "image/png" }));
  }
  const options = { bubbles: true, cancelable: true };
  const event = KIND === "paste"
    ? new ClipboardEvent("paste", { ...options, clipboardData: transfer })
    : new DragEvent(KIND, { ...options, dataTransfer: transfer });
  return document.getElementById("drop").dispatchEvent(event);
}
"""


def give(page: Page, kind: str, image: np.ndarray | None) -> bool:
    """Drops or pastes a picture, or words; returns whether the browser would act on its own."""
    content = None if image is None else base64.b64encode(png(image)).decode()
    return page.evaluate(_TRANSFER.replace("KIND", f'"{kind}"'), content)


def test_drop_and_paste(browser: Browser, url: str, images: np.ndarray) -> None:
    with open_page(browser, url) as page:
        choose(page, images[0])
        first = shown(page)
        for kind in ("drop", "paste"):
            choose(page, images[1])
            assert shown(page) != first
            give(page, kind, images[0])
            expect(page.locator("#classes .name").first).to_have_text(first[0])
            expect(page.locator("#preview")).to_have_attribute("alt", "Your picture, dropped.png")
            assert shown(page) == first
        # Else the browser would leave the page for the picture.
        assert give(page, "dragover", images[0]) is False
        assert give(page, "drop", images[0]) is False
        give(page, "paste", None)
        expect(page.locator("#error")).to_have_text("There is no picture in what you gave.")


def test_the_last_of_several_pictures_is_shown(
    browser: Browser, url: str, images: np.ndarray
) -> None:
    with open_page(browser, url) as page:
        choose(page, images[1])
        expected = shown(page)
        files = [base64.b64encode(png(images[index])).decode() for index in (0, 2, 3, 1)]
        page.evaluate(
            """async (files) => {
              const { classify } = await import("./app.mjs");
              const blobs = files.map((file) =>
                new Blob([Uint8Array.from(atob(file), (letter) => letter.charCodeAt(0))]));
              await Promise.all(blobs.map(classify));
            }""",
            files,
        )
        assert shown(page) == expected


def test_keyboard_alone(browser: Browser, url: str, images: np.ndarray) -> None:
    with open_page(browser, url) as page:
        # Listening begins some time after it is asked for, and a dialog before that is never seen.
        page.on("filechooser", lambda _: None)
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.id") == "file"
        outline = page.locator("#drop").evaluate("drop => getComputedStyle(drop).outlineStyle")
        assert outline == "solid"
        with page.expect_file_chooser() as chosen:
            page.keyboard.press("Enter")
        upload: Any = {"name": "a.png", "mimeType": "image/png", "buffer": png(images[0])}
        chosen.value.set_files(upload)
        expect(page.locator("#status")).to_contain_text("most likely")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.tagName") == "SUMMARY"
        page.keyboard.press("Enter")
        expect(page.locator("#labels")).to_be_hidden()
        page.keyboard.press("Enter")
        expect(page.locator("#labels")).to_be_visible()
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.id") == "device"


def test_screen_readers_hear_the_answer(browser: Browser, url: str, images: np.ndarray) -> None:
    with open_page(browser, url) as page:
        expect(page.get_by_label("Choose a picture")).to_be_enabled()
        choose(page, images[0], "cat.png")
        best = shown(page)[0]
        expect(page.get_by_role("status").first).to_contain_text(f"most likely: {best}, ")
        expect(page.get_by_role("img", name="Your picture, cat.png")).to_be_visible()
        items = page.get_by_role("list", name="Most probable classes").get_by_role("listitem")
        expect(items).to_have_count(5)
        give(page, "paste", None)
        expect(page.get_by_role("alert")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_accessibility_as_axe_judges(
    browser: Browser, url: str, axe: str, images: np.ndarray, scheme: str
) -> None:
    options: Any = {"color_scheme": scheme, **_PHONE}
    with open_page(browser, url, **options) as page:
        page.evaluate(axe)
        states = [lambda: None, lambda: choose(page, images[0]), lambda: give(page, "drop", None)]
        for reach in states:
            reach()
            found = page.evaluate("axe.run()")
            # It has looked at something.
            assert len(found["passes"]) > 10
            assert [
                (rule["id"], [node["html"] for node in rule["nodes"]])
                for rule in found["violations"]
            ] == []


@pytest.mark.parametrize("width", [320, 375])
def test_phones(browser: Browser, url: str, images: np.ndarray, width: int) -> None:
    options = {**_PHONE, "viewport": {"width": width, "height": 667}}
    with open_page(browser, url, **options) as page:
        for _ in range(2):
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            choose(page, images[0], "a-name-that-is-longer-than-the-screen-is-wide" * 3 + ".png")
        # Large enough for a thumb (WCAG 2.2, 2.5.8), and it opens the camera.
        camera = page.locator("#take").bounding_box()
        assert camera is not None
        assert min(camera["width"], camera["height"]) >= 44
        expect(page.get_by_label("Take a photo")).to_have_attribute("capture", "environment")
    with open_page(browser, url) as page:
        expect(page.locator("#take")).to_be_hidden()


def test_offline_after_the_first_load(
    browser: Browser, site: Path, serve: Serve, images: np.ndarray
) -> None:
    with serve(site) as url:
        context = browser.new_context()
        page = context.new_page()
        page.goto(url)
        wait_until_kept(page)
        choose(page, images[0])
        expected = shown(page)
    # The server is gone.
    page.reload()
    wait_until_ready(page)
    choose(page, images[0])
    assert shown(page) == expected
    context.set_offline(True)
    page.goto(f"{url}?device=wasm")
    wait_until_ready(page)
    choose(page, images[0])
    assert shown(page) == expected
    context.close()


def test_a_new_export_replaces_what_the_browser_kept(
    browser: Browser, site: Path, site_int8: Path, serve: Serve, tmp_path: Path
) -> None:
    folder = tmp_path / "site"
    shutil.copytree(site, folder)
    with serve(folder) as url, open_page(browser, url) as page:
        wait_until_kept(page)
        shutil.rmtree(folder)
        # With new times of change, by which servers tell what is new.
        shutil.copytree(site_int8, folder, copy_function=shutil.copyfile)
        # The old page comes from the browser at once, finds the new one, and makes way for it.
        page.reload()
        expect(page.locator("#scheme")).to_have_text("int8")
        wait_until_kept(page)
        assert len(page.evaluate("caches.keys()")) == 1
        page.context.set_offline(True)
        page.reload()
        expect(page.locator("#scheme")).to_have_text("int8")


def test_a_model_put_there_by_hand_is_noticed(
    browser: Browser, site: Path, serve: Serve, exported: Artifacts, tmp_path: Path
) -> None:
    folder = tmp_path / "site"
    shutil.copytree(site, folder)
    with serve(folder) as url, open_page(browser, url) as page:
        wait_until_kept(page)
        shutil.copy(exported.onnx_int8, folder / "model.onnx")
        page.reload()
        page.get_by_role("button", name="Load it").click()
        # Its own metadata are read.
        expect(page.locator("#scheme")).to_have_text("int8")


def cut(size: int) -> Callable[[Path], None]:
    def damage(model: Path) -> None:
        content = model.read_bytes()
        model.write_bytes(content[:size])

    return damage


def without_manifest(model: Path) -> None:
    import onnx

    loaded = onnx.load(model)
    del loaded.metadata_props[:]
    onnx.save(loaded, model)


def with_broken_graph(model: Path) -> None:
    import onnx

    loaded = onnx.load(model)
    del loaded.graph.initializer[:]
    onnx.save(loaded, model)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (Path.unlink, "There is no model at model.onnx (HTTP 404)."),
        (cut(0), "cut short"),
        (cut(1000), "cut short"),
        (cut(500_000), "cut short"),
        (cut(-1), "cut short"),
        (lambda model: model.write_text("<!doctype html>"), "not an ONNX file"),
        (without_manifest, "no manifest"),
        (with_broken_graph, "The model cannot be run: "),
    ],
    ids=["missing", "empty", "start", "middle", "end", "a page", "no manifest", "no weights"],
)
def test_a_bad_model_is_told(
    browser: Browser,
    site: Path,
    serve: Serve,
    tmp_path: Path,
    damage: Callable[[Path], None],
    message: str,
) -> None:
    folder = tmp_path / "site"
    shutil.copytree(site, folder)
    damage(folder / "model.onnx")
    with serve(folder) as url, open_page(browser, url) as page:
        expect(page.get_by_role("alert")).to_contain_text(message)
        expect(page.locator("#file")).to_be_disabled()


def test_too_little_memory_is_told(browser: Browser, url: str) -> None:
    full = """
        Response.prototype.arrayBuffer = () =>
          Promise.reject(new RangeError("Array buffer allocation failed"));
    """
    with open_page(browser, url, full) as page:
        expect(page.get_by_role("alert")).to_contain_text("not enough memory")


def test_screenshots(browser: Browser, url: str, images: np.ndarray, screenshots: Path) -> None:
    views: dict[str, dict[str, Any]] = {
        "desktop": {"viewport": {"width": 1100, "height": 800}},
        "desktop-dark": {"viewport": {"width": 1100, "height": 800}, "color_scheme": "dark"},
        "phone": _PHONE,
        "phone-dark": {**_PHONE, "color_scheme": "dark"},
    }
    for name, options in views.items():
        with open_page(browser, url, **options) as page:
            wait_until_kept(page)
            page.screenshot(path=screenshots / f"{name}-empty.png", full_page=True)
            choose(page, images[0])
            page.screenshot(path=screenshots / f"{name}.png", full_page=True)
            assert (screenshots / f"{name}.png").stat().st_size > 10_000
