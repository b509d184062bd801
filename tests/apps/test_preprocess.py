"""The JavaScript apps see the very pixels that Pillow makes of a picture."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.node_process import NODE_APP, run_script
from vitsd_export.data.images import resize_image

MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}

# Pictures come one after another on standard input; the answers go out the same way.
SCRIPT = f"""
import fs from "node:fs";
import {{ toInput }} from {json.dumps((NODE_APP / "preprocess.mjs").as_uri())};

const bytes = fs.readFileSync(0);
const answers = [];
let at = 0;
for (const {{ width, height, channels, size }} of JSON.parse(process.argv[2])) {{
  const end = at + width * height * channels;
  answers.push(toInput({{ data: bytes.subarray(at, end), width, height, channels }}, size));
  at = end;
}}
fs.writeFileSync(1, Buffer.concat(answers));
"""


def in_javascript(pictures: list[np.ndarray], sizes: list[int], folder: Path) -> list[np.ndarray]:
    described = [
        {
            "width": picture.shape[1],
            "height": picture.shape[0],
            "channels": picture.shape[2],
            "size": size,
        }
        for picture, size in zip(pictures, sizes, strict=True)
    ]
    stdin = b"".join(picture.tobytes() for picture in pictures)
    out = np.frombuffer(run_script(SCRIPT, folder, json.dumps(described), stdin=stdin), np.uint8)
    ends = np.cumsum([size * size * 3 for size in sizes])
    assert len(out) == ends[-1]
    return [
        part.reshape(size, size, 3)
        for part, size in zip(np.split(out, ends[:-1]), sizes, strict=True)
    ]


def in_pillow(picture: np.ndarray, size: int) -> np.ndarray:
    height, width, channels = picture.shape
    image = Image.frombytes(MODES[channels], (width, height), picture.tobytes())
    if channels % 2 == 0:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return resize_image(np.array(image.convert("RGB")), size)


@pytest.mark.parametrize("channels", MODES)
def test_every_pixel_equals_pillows(channels: int, tmp_path: Path) -> None:
    random = np.random.default_rng(channels)
    pictures, sizes = [], []
    for index in range(60):
        height, width = random.integers(1, 40 if index % 3 else 500, 2)
        picture = random.integers(0, 256, (height, width, channels), np.uint8)
        # Edges between black and white are where rounding and clipping show.
        pictures.append(np.where(picture > 127, 255, 0).astype(np.uint8) if index % 4 else picture)
        sizes.append(int(random.choice([1, 2, 31, 32, 33, 72])))
    answers = in_javascript(pictures, sizes, tmp_path)
    for picture, size, answer in zip(pictures, sizes, answers, strict=True):
        np.testing.assert_array_equal(answer, in_pillow(picture, size), f"{picture.shape} → {size}")


def test_a_picture_of_the_right_size_stays_as_it_is(tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    np.testing.assert_array_equal(in_javascript([picture], [32], tmp_path)[0], picture)


def test_every_alpha_over_white_equals_pillows(tmp_path: Path) -> None:
    values, alphas = np.meshgrid(*[np.arange(256, dtype=np.uint8)] * 2)
    picture = np.stack([values, values, values, alphas], axis=-1)
    answer = in_javascript([picture], [256], tmp_path)[0]
    np.testing.assert_array_equal(answer, in_pillow(picture, 256))


def test_values_that_are_not_the_stated_size_are_refused(tmp_path: Path) -> None:
    script = f"""
import {{ toInput }} from {json.dumps((NODE_APP / "preprocess.mjs").as_uri())};
for (const picture of [
  {{ data: new Uint8Array(11), width: 2, height: 2, channels: 3 }},
  {{ data: new Uint8Array(0), width: 0, height: 0, channels: 3 }},
  {{ data: new Uint8Array(20), width: 2, height: 2, channels: 5 }},
]) {{
  try {{
    toInput(picture, 32);
    console.log("accepted");
  }} catch (error) {{
    console.log(error.name);
  }}
}}
"""
    assert run_script(script, tmp_path).decode().split() == ["RangeError"] * 3
