"""Tests of reading and resizing images."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as numpy_strategies
from PIL import Image, ImageCms

from tests.support.cifar_layouts import encode, random_images
from vitsd_export.data.images import decode_image, read_image, resize_image
from vitsd_export.errors import InputError, UsageError

RANDOM = np.random.default_rng(5).integers(0, 256, (10, 14, 4), dtype=np.uint8)
RGB, ALPHA = RANDOM[..., :3], RANDOM[..., 3:]
GREY = RANDOM[..., 0]


def grey(values: np.ndarray) -> np.ndarray:
    return np.stack([values] * 3, axis=-1)


def over_white(colours: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    share = alpha / 255.0
    return colours * share + 255 * (1 - share)


def read(data: bytes) -> np.ndarray:
    image = decode_image(data, "test image")
    assert image.dtype == np.uint8
    assert image.ndim == 3
    assert image.shape[2] == 3
    return image


@pytest.mark.parametrize(
    ("file_format", "options"),
    [
        ("PNG", {}),
        ("BMP", {}),
        ("PPM", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("WEBP", {"lossless": True}),
    ],
)
def test_rgb_is_read_exactly(file_format: str, options: dict[str, Any]) -> None:
    np.testing.assert_array_equal(read(encode(RGB, file_format, **options)), RGB)


def test_jpeg_is_read_closely() -> None:
    smooth = np.linspace(0, 255, 32 * 32 * 3).reshape(32, 32, 3).astype(np.uint8)
    difference = read(encode(smooth, "JPEG", quality=95)).astype(int) - smooth
    assert np.abs(difference).mean() < 4


def test_grey_becomes_three_equal_channels() -> None:
    np.testing.assert_array_equal(read(encode(GREY)), grey(GREY))


def test_black_and_white_becomes_0_and_255() -> None:
    bits = GREY > 127
    np.testing.assert_array_equal(read(encode(Image.fromarray(bits))), grey(bits * 255))


def test_grey_with_alpha_lies_over_white() -> None:
    image = Image.fromarray(RANDOM[..., :2], "LA")
    expected = over_white(grey(GREY), RANDOM[..., 1:2])
    np.testing.assert_allclose(read(encode(image)), expected, atol=1)


def test_rgba_lies_over_white() -> None:
    np.testing.assert_allclose(read(encode(RANDOM)), over_white(RGB, ALPHA), atol=1)
    transparent = np.dstack([RGB, np.zeros_like(GREY)])
    np.testing.assert_array_equal(read(encode(transparent)), np.full_like(RGB, 255))
    opaque = np.dstack([RGB, np.full_like(GREY, 255)])
    np.testing.assert_array_equal(read(encode(opaque)), RGB)


def palette_image() -> tuple[Image.Image, np.ndarray, np.ndarray]:
    palette = np.random.default_rng(1).integers(0, 256, (256, 3), dtype=np.uint8)
    image = Image.fromarray(GREY, "P")
    image.putpalette(palette.tobytes())
    return image, palette[GREY], GREY


def test_palette_is_looked_up() -> None:
    image, colours, _ = palette_image()
    np.testing.assert_array_equal(read(encode(image)), colours)


def test_palette_with_one_transparent_colour_lies_over_white() -> None:
    image, colours, indices = palette_image()
    expected = np.where(grey(indices == indices[3, 4]), 255, colours)
    data = encode(image, transparency=int(indices[3, 4]))
    np.testing.assert_array_equal(read(data), expected)


def test_palette_with_transparency_for_each_colour_lies_over_white() -> None:
    image, colours, indices = palette_image()
    data = encode(image, transparency=bytes(range(256)))
    np.testing.assert_allclose(read(data), over_white(colours, indices[..., None]), atol=1)


def test_palette_with_alpha_lies_over_white() -> None:
    image, colours, _ = palette_image()
    with_alpha = image.convert("PA")
    with_alpha.putalpha(Image.fromarray(RANDOM[..., 3]))
    assert with_alpha.mode == "PA"
    expected = over_white(colours, ALPHA)
    np.testing.assert_allclose(read(encode(with_alpha, "TIFF")), expected, atol=1)


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_transparent_colour_lies_over_white(mode: str) -> None:
    image = Image.fromarray(RGB if mode == "RGB" else GREY)
    chosen = tuple(RGB[2, 2].tolist()) if mode == "RGB" else int(GREY[2, 2])
    pixels = RGB if mode == "RGB" else grey(GREY)
    expected = np.where((pixels == pixels[2, 2]).all(-1, keepdims=True), 255, pixels)
    np.testing.assert_array_equal(read(encode(image, transparency=chosen)), expected)


@pytest.mark.parametrize("file_format", ["PNG", "TIFF", "PPM"])
def test_16_bit_grey_is_scaled_to_the_nearest_8_bit_value(file_format: str) -> None:
    values = np.linspace(0, 65535, 300).round().astype(np.uint16).reshape(15, 20)
    data = encode(Image.fromarray(values), file_format)
    np.testing.assert_array_equal(read(data), grey(np.rint(values / 65535 * 255)))


def test_big_endian_16_bit_grey_is_scaled() -> None:
    values = np.array([[0, 257, 32768, 65535]], np.uint16)
    image = Image.frombytes("I;16B", (4, 1), values.astype(">u2").tobytes())
    np.testing.assert_array_equal(read(encode(image, "TIFF")), grey(np.array([[0, 1, 128, 255]])))


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_32_bit_pixels_are_refused(dtype: type) -> None:
    data = encode(Image.fromarray(GREY.astype(dtype)), "TIFF")
    with pytest.raises(InputError, match="test image has pixels of 32 bits"):
        decode_image(data, "test image")


@pytest.mark.parametrize("file_format", ["TIFF", "JPEG"])
def test_cmyk_is_converted(file_format: str) -> None:
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0)]
    blocks = np.repeat(np.array([colours], np.uint8), 16, axis=0).repeat(16, axis=1)
    data = encode(Image.fromarray(blocks).convert("CMYK"), file_format)
    assert Image.open(io.BytesIO(data)).mode == "CMYK"
    np.testing.assert_allclose(read(data)[8, 8::16], colours, atol=10)


def test_ycbcr_is_converted() -> None:
    data = encode(Image.fromarray(RGB).convert("YCbCr"), "TIFF")
    assert Image.open(io.BytesIO(data)).mode == "YCbCr"
    np.testing.assert_allclose(read(data), RGB, atol=3)


def test_lab_is_converted() -> None:
    colours = np.array([[[255, 0, 0], [0, 128, 0], [40, 60, 200], [255, 255, 255], [0, 0, 0]]])
    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    source = Image.fromarray(colours.astype(np.uint8))
    image = ImageCms.profileToProfile(source, srgb, lab, outputMode="LAB")
    assert image is not None
    np.testing.assert_allclose(read(encode(image, "TIFF")), colours, atol=8)


@pytest.mark.parametrize("file_format", ["GIF", "PNG", "WEBP", "TIFF"])
def test_first_frame_of_an_animation_is_read(file_format: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ((255, 0, 0), (0, 255, 0))]
    options = {"lossless": True} if file_format == "WEBP" else {}
    data = encode(frames[0], file_format, save_all=True, append_images=frames[1:], **options)
    assert getattr(Image.open(io.BytesIO(data)), "n_frames", 1) == 2
    np.testing.assert_array_equal(read(data), np.full((8, 8, 3), (255, 0, 0)))


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


# What the EXIF standard says is to be done to see the picture upright.
UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda pixels: pixels,
    2: np.fliplr,
    3: lambda pixels: np.rot90(pixels, 2),
    4: np.flipud,
    5: lambda pixels: pixels.transpose(1, 0, 2),
    6: lambda pixels: np.rot90(pixels, -1),
    7: lambda pixels: np.rot90(pixels, 2).transpose(1, 0, 2),
    8: lambda pixels: np.rot90(pixels, 1),
}


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_exif_orientation_is_applied(orientation: int, mode: str) -> None:
    pixels = RGB if mode == "RGB" else GREY
    data = encode(Image.fromarray(pixels), exif=exif(orientation))
    whole = RGB if mode == "RGB" else grey(GREY)
    np.testing.assert_array_equal(read(data), UPRIGHT[orientation](whole))


def test_exif_orientation_of_a_jpeg_is_applied() -> None:
    left_half_white = np.zeros((16, 32, 3), np.uint8)
    left_half_white[:, :16] = 255
    image = read(encode(left_half_white, "JPEG", exif=exif(6)))
    assert image.shape == (32, 16, 3)
    assert image[:16].min() > 240
    assert image[16:].max() < 15


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("tags", [b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\xff", b"xx"])
def test_damaged_exif_is_ignored(file_format: str, tags: bytes) -> None:
    assert read(encode(RGB, file_format, exif=tags)).shape == RGB.shape


def test_image_is_read_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "picture.png"
    file.write_bytes(encode(RGB))
    np.testing.assert_array_equal(read_image(file), RGB)
    np.testing.assert_array_equal(read_image(str(file)), RGB)


def test_file_extension_does_not_matter(tmp_path: Path) -> None:
    file = tmp_path / "picture.jpg"
    file.write_bytes(encode(RGB, "PNG"))
    np.testing.assert_array_equal(read_image(file), RGB)


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"\x89PNG\r\n\x1a\n", b"%!PS-Adobe-3.0 EPSF-3.0\n", b"\xff\xd8\xff"]
)
def test_file_that_is_no_image_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "picture.png"
    file.write_bytes(content)
    with pytest.raises(InputError, match=r"picture\.png is in none of the formats"):
        read_image(file)


def test_postscript_is_refused_without_running_ghostscript(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encode(RGB, "EPS")
    started: list[object] = []
    monkeypatch.setattr("subprocess.check_call", lambda *call, **_: started.append(call))
    with pytest.raises(InputError, match="in none of the formats"):
        decode_image(data, "test image")
    assert not started


def test_missing_file_and_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.png cannot be read: No such file"):
        read_image(tmp_path / "nowhere.png")
    with pytest.raises(InputError, match="cannot be read"):
        read_image(tmp_path)


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM"])
def test_half_a_file_is_refused(tmp_path: Path, file_format: str) -> None:
    content = encode(random_images(1, 0)[0], file_format)
    file = tmp_path / "picture"
    file.write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=r"The image .*picture is"):
        read_image(file)


SMALL = {
    name: encode(random_images(1, 0, size=6)[0], name)
    for name in ("PNG", "JPEG", "GIF", "BMP", "WEBP", "PPM")
}


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(name=st.sampled_from(sorted(SMALL)), data=st.data())
def test_damaged_file_is_read_or_refused_and_never_crashes(name: str, data: st.DataObject) -> None:
    content = bytearray(SMALL[name])
    places = st.integers(0, len(content) - 1)
    for place, value in data.draw(st.dictionaries(places, st.integers(0, 255), max_size=3)).items():
        content[place] = value
    try:
        image = decode_image(bytes(content[: data.draw(places)]), "test image")
    except InputError:
        return
    assert image.dtype == np.uint8
    assert image.shape[2:] == (3,)


def test_decompression_bomb_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encode(Image.new("L", (100, 100)))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 4999)
    with pytest.raises(InputError, match="test image is too large to be decoded safely"):
        decode_image(data, "test image")
    # Up to twice the limit pillow only warns: large photographs are read.
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 5001)
    assert read(data).shape == (100, 100, 3)


def test_image_of_the_right_size_passes_unchanged() -> None:
    image = random_images(1, 0)[0]
    np.testing.assert_array_equal(resize_image(image, 32), image)


@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    size=st.integers(1, 40),
    colour=numpy_strategies.arrays(np.uint8, 3),
)
def test_plain_image_stays_plain_at_every_size(
    height: int, width: int, size: int, colour: np.ndarray
) -> None:
    image = np.broadcast_to(colour, (height, width, 3))
    expected = np.broadcast_to(colour, (size, size, 3))
    np.testing.assert_array_equal(resize_image(image, size), expected)


@pytest.mark.parametrize("upright", [False, True])
def test_the_central_square_is_taken(upright: bool) -> None:
    image = np.zeros((8, 24, 3), np.uint8)
    image[:, 8:16] = 200
    if upright:
        image = image.transpose(1, 0, 2)
    np.testing.assert_array_equal(resize_image(image, 8), np.full((8, 8, 3), 200))
    np.testing.assert_array_equal(resize_image(image, 4), np.full((4, 4, 3), 200))


def test_reduction_is_antialiased() -> None:
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    inner = resize_image(stripes, 8)[:, 1:-1].astype(int)
    assert np.abs(inner - 127).max() <= 3


def test_enlargement_is_bilinear() -> None:
    image = np.zeros((2, 2, 3), np.uint8)
    image[:, 1] = 100
    np.testing.assert_array_equal(resize_image(image, 4)[0, :, 0], [0, 25, 75, 100])


@pytest.mark.parametrize("size", [0, -3])
def test_resizing_to_nothing_is_a_usage_error(size: int) -> None:
    with pytest.raises(UsageError):
        resize_image(RGB, size)
