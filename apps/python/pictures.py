"""Pictures from files, folders and cameras as a classifier's input, and its answers on the screen."""

import argparse
import json
import struct
import sys
import warnings
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
SUFFIXES = {
    *(".avif", ".bmp", ".gif", ".jpg", ".jpeg", ".jp2", ".png", ".ppm", ".pgm"),
    *(".tif", ".tiff", ".webp"),
}
# What Pillow's decoders raise on damaged files.
DECODE_ERRORS = (
    *(OSError, SyntaxError, LookupError, ArithmeticError, TypeError, AttributeError, EOFError),
    *(MemoryError, RuntimeError, ValueError, struct.error, zlib.error),
)


def read_picture(path: Path | str) -> Image.Image:
    """Reads a picture upright, the first frame of an animation, transparency over white, as RGB.

    Raises:
        ValueError: If it is no picture, is damaged or has more than 178 million pixels.
    """
    try:
        with warnings.catch_warnings():
            # Pillow warns of odd metadata and of 90 million pixels, and refuses twice as many.
            warnings.simplefilter("ignore")
            with Image.open(path, formats=FORMATS) as file:
                file.load()
                picture, form = _upright(file), file.format
    except FileNotFoundError:
        raise ValueError("there is no such file") from None
    except Image.UnidentifiedImageError:
        raise ValueError(f"it is none of {', '.join(FORMATS)}") from None
    except Image.DecompressionBombError:
        raise ValueError("it has too many pixels to be read safely; scale it down") from None
    except DECODE_ERRORS as error:
        raise ValueError(f"it is truncated or damaged ({error})") from None
    if picture.mode == "F" or (picture.mode == "I" and form not in ("PPM", "PNG")):
        raise ValueError("its pixels have 32 bits, and nothing says which value is white")
    if picture.mode.startswith("I"):
        # 16-bit grey: 65535 is white, 255 · 257.
        grey = (np.asarray(picture).astype(np.int64).clip(0, 65535) + 128) // 257
        return Image.fromarray(grey.astype(np.uint8)).convert("RGB")
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture)
    return picture.convert("RGB")


def _upright(file: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(file)
    except DECODE_ERRORS:
        # Damaged metadata; the pixels are whole.
        return file.copy()


def to_input(picture: Image.Image, size: int) -> np.ndarray:
    """Returns the largest square in the centre, scaled: [size, size, 3] uint8."""
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    square = picture.crop((left, top, left + side, top + side))
    return np.array(square.resize((size, size), Image.Resampling.BILINEAR))


def softmax(logits: np.ndarray) -> np.ndarray:
    """Returns probabilities [classes] of logits [classes]."""
    powers = np.exp(logits - logits.max())
    return powers / powers.sum()


def camera_frames(source: str) -> Iterator[Image.Image]:
    """Yields the frames of a camera (0 is the first one) or a video file until it ends.

    Raises:
        ValueError: If it cannot be opened.
    """
    import cv2

    camera = cv2.VideoCapture(int(source) if source.isdecimal() else source)
    if not camera.isOpened():
        raise ValueError("it cannot be opened")
    try:
        while (frame := camera.read())[0]:
            yield Image.fromarray(frame[1][:, :, ::-1])
    finally:
        camera.release()


def main(open_classifier: Callable[[str], Any], damaged: tuple[type[Exception], ...]) -> None:
    """Runs the command line; exits with 2 for usage, 3 for unusable input, 5 for a missing package."""
    parser = argparse.ArgumentParser(description="Says what is on pictures.")
    parser.add_argument("model")
    parser.add_argument("pictures", nargs="*", type=Path, help="files and folders")
    parser.add_argument("--camera", metavar="N", help="a camera's number; needs opencv-python")
    parser.add_argument("--top", type=int, default=5, help="classes to name")
    parser.add_argument("--json", action="store_true", help="one JSON object a line, all classes")
    options = parser.parse_args()
    if bool(options.pictures) == (options.camera is not None) or options.top < 1:
        parser.error("name pictures or a --camera, and --top from 1")
    if not Path(options.model).is_file():
        sys.exit(_fail(f"{options.model}: there is no such file"))
    try:
        classify = open_classifier(options.model)
    except KeyError:
        sys.exit(
            _fail(f"{options.model}: it was not written by vitsd-export: it carries no labels")
        )
    except (OSError, *damaged) as error:
        reason = str(error).splitlines()[0]
        sys.exit(
            _fail(
                f"{options.model}: the model is cut short, damaged, too new or of another tool ({reason})"
            )
        )
    try:
        sys.exit(_run(classify, options))
    except ImportError as error:
        sys.exit(_fail(f"--camera needs opencv-python: pip install opencv-python ({error})", 5))
    except KeyboardInterrupt:
        sys.exit(130)


def _run(classify: Any, options: argparse.Namespace) -> int:
    size, status = classify.about["input"]["shape"][1], 0
    sources = _listed(options.pictures) if options.camera is None else [options.camera]
    for source in sources:
        try:
            camera = options.camera is not None
            for picture in camera_frames(source) if camera else [read_picture(source)]:
                _show(
                    str(source),
                    classify(to_input(picture, size)),
                    classify.about["labels"],
                    options,
                )
        except ValueError as error:
            status = _fail(f"{source}: {error}")
    return status


def _listed(paths: list[Path]) -> Iterator[Path]:
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        yield from sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES)


def _show(
    name: str, probabilities: np.ndarray, labels: list[str], options: argparse.Namespace
) -> None:
    order = np.argsort(-probabilities, kind="stable")
    if options.json:
        classes = {labels[index]: float(probabilities[index]) for index in order}
        print(json.dumps({"image": name, "classes": classes}, ensure_ascii=False), flush=True)
        return
    print(name)
    for index in order[: options.top]:
        print(f"  {probabilities[index]:7.2%}  {labels[index]}", flush=True)


def _fail(message: str, status: int = 3) -> int:
    print(f"error: {message}", file=sys.stderr)
    return status
