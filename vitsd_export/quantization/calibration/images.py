"""The images that set the ranges of quantized activations: training images, never test images."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

from vitsd_export.data.dataset import ImageDataset
from vitsd_export.data.originals import CIFAR_NAMES, Split
from vitsd_export.data.sample import SAMPLE, SAMPLE_SOURCES, choose_images
from vitsd_export.data.sources import load_images
from vitsd_export.errors import InputError, UsageError
from vitsd_export.quantization.calibration.histogram import METHODS, Method

FEWEST_IMAGES = 16
_SIZES_LOOKED_AT = 64
_TEST_FOLDERS = ("test", "testing", "val", "valid", "validation")


@dataclasses.dataclass(frozen=True)
class CalibrationSource:
    """Where the images come from that set the ranges of quantized activations.

    Attributes:
        source: `sample` (bundled training images; see `choose_images`), `cifar10`, `cifar100`, or a
            folder.
        count: Number of images drawn; all that there are when fewer.
        seed: Seed of the draw.
        data_dir: Where CIFAR lies if `source` is its name.
        split: Which of its images; `test` only with `force`.
        method: How a range follows from the values: see `histogram.choose_range`; the scheme's own when
            None.
        force: Whether test images, and fewer than `FEWEST_IMAGES`, are taken as well.
    """

    source: str = SAMPLE
    count: int = 512
    seed: int = 0
    data_dir: Path | None = None
    split: Split = "train"
    method: Method | None = None
    force: bool = False

    def fitting(self, class_names: Sequence[str]) -> Self:
        """Returns the same with `sample` replaced by the sample that fits a model of these classes."""
        return dataclasses.replace(self, source=choose_images(self.source, class_names))


def read_calibration_images(
    source: CalibrationSource, size: int, progress: Callable[[str], None] = lambda _: None
) -> ImageDataset:
    """Reads calibration images in the size a model takes.

    Args:
        source: Where they come from.
        size: Height and width, in pixels; images of another size are cut and resized, which is told.
        progress: Called with what is going on, and with what is dubious.

    Raises:
        UsageError: If they are test images, or there is no such method.
        InputError: If they cannot be read, or are too few.
    """
    return draw_calibration_images(source, read_every_image(source, size, progress), progress)


def read_every_image(
    source: CalibrationSource, size: int, progress: Callable[[str], None] = lambda _: None
) -> ImageDataset:
    """Reads all images of a source, as `read_calibration_images` does those that it draws."""
    if source.method not in (*METHODS, None):
        raise UsageError(
            f"There is no calibration method {source.method!r}. Methods: {', '.join(METHODS)}."
        )
    if source.split == "test" and not source.force:
        raise _is_test(f"The test split of {source.source}")
    progress("reading calibration images")
    return load_images(source.source, split=source.split, size=size, data_dir=source.data_dir)


def draw_calibration_images(
    source: CalibrationSource,
    every: ImageDataset,
    progress: Callable[[str], None] = lambda _: None,
) -> ImageDataset:
    """Draws calibration images from all of their source, as `read_calibration_images` does."""
    data, size = every, every.images.shape[1]
    if len(data) > source.count:
        data = data.sample(source.count, source.seed)
    if not source.force:
        _refuse_test_images(source, data)
    if _other_size(source, data, size):
        progress(
            f"note: the calibration images of {data.source} are not {size}×{size} pixels; they were cut "
            "to their central square and resized"
        )
    if len(data) < FEWEST_IMAGES and not source.force:
        raise InputError(
            f"{data.source} has {len(data)} calibration images, and ranges need at least {FEWEST_IMAGES}. "
            "Give more images, or --force to use these anyway."
        )
    if len(data) < FEWEST_IMAGES:
        progress(f"note: ranges of {len(data)} calibration images will clip others")
    return data


def _other_size(source: CalibrationSource, data: ImageDataset, size: int) -> bool:
    """Whether images of a folder had to be cut or resized; CIFAR's 32 pixels are everybody's."""
    folder = Path(source.source).expanduser()
    if data.name in CIFAR_NAMES or not folder.is_dir():
        return False
    from PIL import Image

    from vitsd_export.data.image_folder import find_image_files, find_split

    files = find_image_files(find_split(folder, source.split) or folder)
    for path in files.spread(_SIZES_LOOKED_AT).paths:
        with Image.open(path) as image:
            if image.size != (size, size):
                return True
    return False


def _refuse_test_images(source: CalibrationSource, data: ImageDataset) -> None:
    name = Path(source.source).name.lower()
    if data.split == "unknown" and name in _TEST_FOLDERS:
        raise _is_test(f"The folder {source.source}")
    # All samples: which of them an artifact is verified on is the model's matter.
    known = {
        image.tobytes()
        for sample in SAMPLE_SOURCES
        for image in load_images(sample, split="test", size=data.images.shape[1]).images
    }
    common = sum(image.tobytes() in known for image in data.images)
    if common:
        raise _is_test(f"{source.source}, of which {common} images are those of the verification,")


def _is_test(what: str) -> UsageError:
    return UsageError(
        f"{what} cannot be used for calibration: accuracy would be measured on the images that set the "
        "ranges. Give training images, or --force to use these anyway."
    )
