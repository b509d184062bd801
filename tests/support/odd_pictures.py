"""Pictures that apps meet: every mode, orientation and format, and files that are no pictures."""

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image


def scene(height: int = 90, width: int = 123) -> np.ndarray:
    """A smooth picture [height, width, 3] uint8 that is different in every corner."""
    rows, columns = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    channels = [rows, columns, 0.5 + 0.5 * np.sin(9 * rows + 5 * columns)]
    return np.round(np.stack(channels, axis=-1) * 255).astype(np.uint8)


def write_odd_pictures(folder: Path) -> Iterator[Path]:
    """Writes one picture of each kind; the losslessly stored ones end in .png, .bmp, .gif or .tif."""
    colours = Image.fromarray(scene())
    alpha = Image.fromarray(scene()[:, :, 2])
    rotated = Image.Exif()
    rotated[0x0112] = 6
    frames = [Image.fromarray(np.roll(scene(), 40 * index, axis=1)) for index in range(3)]
    translucent = colours.copy()
    translucent.putalpha(alpha)
    deep = scene()[:, :, 0].astype(np.uint16) * 257 + 100
    grey16 = Image.fromarray(deep)
    palette = colours.quantize(32)
    for name, picture, options in [
        ("rgb.png", colours, {}),
        ("alpha.png", translucent, {}),
        ("grey.png", colours.convert("L"), {}),
        ("grey-alpha.png", translucent.convert("LA"), {}),
        ("grey16.png", grey16, {}),
        ("one-bit.png", colours.convert("1"), {}),
        ("palette.png", palette, {}),
        ("palette-transparent.png", palette, {"transparency": 3}),
        ("rotated.png", colours, {"exif": rotated}),
        ("one-pixel.png", Image.new("RGB", (1, 1), (200, 30, 60)), {}),
        ("line.png", Image.fromarray(scene(1, 300)), {}),
        ("animated.gif", frames[0], {"save_all": True, "append_images": frames[1:]}),
        ("cmyk.tif", colours.convert("CMYK"), {}),
        ("photo.jpg", colours, {"quality": 95}),
        ("grey.jpg", colours.convert("L"), {"quality": 95}),
        ("cmyk.jpg", colours.convert("CMYK"), {"quality": 95}),
        ("rotated.jpg", colours, {"exif": rotated, "quality": 95}),
        ("lossless.webp", colours, {"lossless": True}),
    ]:
        picture.save(folder / name, **options)
        yield folder / name
    (folder / "rgb16.png").write_bytes(png_of_16_bits(scene().astype(np.uint16) * 257))
    yield folder / "rgb16.png"


def png_of_16_bits(pixels: np.ndarray) -> bytes:
    """Encodes [height, width, 3] uint16 as PNG, which Pillow cannot do."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    height, width, _ = pixels.shape
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def write_unusable(folder: Path) -> Iterator[Path]:
    """Writes files that are no pictures, or not whole ones."""
    whole = folder / "whole.jpg"
    Image.fromarray(scene()).save(whole)
    contents = {
        "text.jpg": b"this is no picture\n",
        "empty.png": b"",
        "cut.jpg": whole.read_bytes()[: len(whole.read_bytes()) // 2],
        "drawing.svg": b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"></svg>',
        "bomb.png": _png_header(30000, 30000),
    }
    whole.unlink()
    for name, data in contents.items():
        (folder / name).write_bytes(data)
        yield folder / name
    yield folder / "missing.png"


def _png_header(width: int, height: int) -> bytes:
    small = png_of_16_bits(np.zeros((1, 1, 3), np.uint16))
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return small[:12] + header + struct.pack(">I", zlib.crc32(header)) + small[33:]
