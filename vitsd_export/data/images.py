"""Images of any format, mode and size as RGB pixels."""

import io
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from vitsd_export._internal.damaged_files import UNREADABLE_ERRORS
from vitsd_export.errors import InputError, UsageError

# Named, because of others pillow may start programs: Ghostscript for EPS.
_FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
_GREY_16_MODES = ("I;16", "I;16L", "I;16B", "I;16N", "I")


def read_image(path: Path | str) -> np.ndarray:
    """Reads an image file of any usual format, mode and size.

    The EXIF orientation is applied, transparency is laid over white, 16-bit grey is scaled to 8
    bits, and of an animation the first frame is taken.

    Returns:
        [height, width, 3] uint8 RGB pixels.

    Raises:
        InputError: If the file is missing, is not an image, is truncated, or is unreasonably large.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"The image {path} cannot be read: {error.strerror or error}.") from error
    return decode_image(data, str(path))


def decode_image(data: bytes, where: str) -> np.ndarray:
    """Decodes an image file's bytes as `read_image` does; messages call the file `where`.

    Raises:
        InputError: If the bytes are not an image, are truncated, or hold an unreasonably large one.
    """
    with warnings.catch_warnings():
        # Pillow warns of odd metadata, which does not concern the pixels, and of large photographs,
        # which are welcome; what is twice as large it refuses.
        warnings.simplefilter("ignore")
        try:
            with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
                return image_pixels(image, where)
        except Image.DecompressionBombError as error:
            raise InputError(
                f"The image {where} is too large to be decoded safely ({error}). Scale it down."
            ) from error
        except UnidentifiedImageError as error:
            raise InputError(
                f"The image {where} is in none of the formats that can be read: "
                f"{', '.join(_FORMATS)}. Convert it."
            ) from error
        except UNREADABLE_ERRORS as error:
            raise _damaged(where, error) from error


def image_pixels(image: Image.Image, where: str = "in memory") -> np.ndarray:
    """Returns the pixels of a Pillow image of any mode as `read_image` does; messages call it `where`.

    Raises:
        InputError: If its file is damaged, or nothing says which of its values is white.
    """
    _check_white_is_known(image, where)
    try:
        image.load()
        return _to_rgb(_upright(image))
    except UNREADABLE_ERRORS as error:
        raise _damaged(where, error) from error


def _damaged(where: str, error: Exception) -> InputError:
    return InputError(f"The image {where} is truncated or damaged ({error}). Replace it.")


def resize_image(image: np.ndarray, size: int) -> np.ndarray:
    """Cuts the largest square out of the centre and scales it, bilinearly with antialiasing.

    [height, width, 3] uint8 RGB pixels become [size, size, 3]; those of that size already are returned.

    Raises:
        UsageError: If `size` is less than 1.
    """
    check_size(size)
    height, width = image.shape[:2]
    if height == width == size:
        return image
    side = min(height, width)
    left, top = (width - side) // 2, (height - side) // 2
    # Cut, and not given to pillow as a box: its filter would reach beyond the box's edges.
    square = np.ascontiguousarray(image[top : top + side, left : left + side])
    scaled = Image.fromarray(square).resize((size, size), Image.Resampling.BILINEAR)
    return np.array(scaled)


def check_size(size: int) -> None:
    """Raises UsageError unless images can have a height and width, in pixels."""
    if size < 1:
        raise UsageError(f"Images cannot be resized to {size} pixels.")


def _check_white_is_known(image: Image.Image, where: str) -> None:
    # Pillow scales the grey of a PGM to 16 bits, whatever its largest value.
    if image.mode == "F" or (image.mode == "I" and image.format not in ("PPM", "PNG")):
        raise InputError(
            f"The image {where} has pixels of 32 bits, and the file does not say which value is "
            "white. Convert it to an 8-bit image."
        )


def _upright(image: Image.Image) -> Image.Image:
    """Applies the EXIF orientation; damaged EXIF is ignored, since the pixels are whole."""
    try:
        return ImageOps.exif_transpose(image)
    except UNREADABLE_ERRORS:
        return image


def _to_rgb(image: Image.Image) -> np.ndarray:
    if image.mode in _GREY_16_MODES:
        # 65535 = 255 · 257: white stays white, and rounding is to nearest.
        grey = (np.asarray(image).astype(np.int64).clip(0, 65535) + 128) // 257
        return np.stack([grey.astype(np.uint8)] * 3, axis=-1)
    if image.mode == "LAB":
        image = _lab_to_rgb(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, image)
    return np.array(image.convert("RGB"))


def _lab_to_rgb(image: Image.Image) -> Image.Image:
    from PIL import ImageCms

    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    try:
        converted = ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB")
    except ImageCms.PyCMSError as error:
        raise ValueError(f"its Lab colours cannot be converted: {error}") from error
    if converted is None:
        raise ValueError("its Lab colours cannot be converted")
    return converted
