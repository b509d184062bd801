"""What tests do with the page: open it, show it pictures, read what it says."""

import base64
import contextlib
import io
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from PIL import Image
from playwright.sync_api import Browser, Page, expect

# A page that takes this long hangs; processors of test machines are slow and shared.
PATIENCE = 60_000
expect.set_options(timeout=PATIENCE)

_CLASSIFY = """
async (files) => {
  const { classify } = await import("./app.mjs");
  const answers = [];
  for (const [name, content] of files) {
    const bytes = Uint8Array.from(atob(content), (character) => character.charCodeAt(0));
    const probabilities = await classify(new File([bytes], name));
    answers.push(probabilities ? [...probabilities] : document.getElementById("error").textContent);
  }
  return answers;
}
"""


@contextlib.contextmanager
def open_page(browser: Browser, url: str, script: str = "", **options: Any) -> Iterator[Page]:
    """Yields the page in a new profile, when its model is ready or a message tells why it is not.

    No script may fail meanwhile, and nothing may run into the page's content security policy.

    Args:
        browser: The browser.
        url: Where the page is.
        script: Run in the page before its own scripts.
        options: Of playwright's `new_context`.
    """
    context = browser.new_context(**options)
    context.set_default_timeout(PATIENCE)
    try:
        page = context.new_page()
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda told: errors.append(told.text) if _is_policy(told.text) else None)
        if script:
            page.add_init_script(script)
        page.goto(url)
        wait_until_ready(page)
        yield page
        assert errors == []
    finally:
        context.close()


def wait_until_ready(page: Page) -> None:
    """Waits for the model, or for the message that it cannot be had."""
    page.locator("#status:text('Ready'), #error:visible").first.wait_for(timeout=PATIENCE)


def wait_until_kept(page: Page) -> None:
    """Waits until the page can do without a network."""
    expect(page.locator("#offline")).to_have_text("ready")


def classify(page: Page, files: Sequence[tuple[str, bytes]]) -> list[Any]:
    """Gives the page files one by one, by the way a chosen file goes.

    Args:
        page: The page.
        files: Name and content of each.

    Returns:
        For each a list of probabilities, or the message that the page shows.
    """
    return page.evaluate(
        _CLASSIFY, [[name, base64.b64encode(content).decode()] for name, content in files]
    )


def png(image: np.ndarray) -> bytes:
    """Encodes [height, width, 3] uint8 RGB pixels."""
    with io.BytesIO() as file:
        Image.fromarray(image).save(file, "PNG")
        return file.getvalue()


def choose(page: Page, image: np.ndarray, name: str = "picture.png") -> None:
    """Chooses a picture with the file input, and waits for the answer."""
    upload: Any = {"name": name, "mimeType": "image/png", "buffer": png(image)}
    page.set_input_files("#file", upload)
    expect(page.locator("#status")).to_contain_text("most likely")


def shown(page: Page) -> list[str]:
    """Returns the names of the classes that the page shows, the most probable first."""
    return page.locator("#classes .name").all_inner_texts()


def _is_policy(text: str) -> bool:
    return "Content Security Policy" in text
