"""Pictures of runs and models."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.support.processes import run_python
from training import plots
from training.plots import write_confusion_matrix, write_curves, write_image_grid
from training.report import Report, report_logits
from vitsd_export.errors import EnvironmentProblem

BLUE, ORANGE = (0, 114, 178), (213, 94, 0)


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB"))


def count_of(colour: tuple[int, int, int], picture: np.ndarray) -> int:
    """Number of pixels of one colour; lines are antialiased, so that their edges do not count."""
    return int((np.abs(picture.astype(int) - colour).max(axis=-1) <= 2).sum())


def report_of(classes: int, *, wrong: bool = False, class_names: list[str] | None = None) -> Report:
    """Four images a class, all right, or all taken for the next class."""
    labels = np.arange(4 * classes) % classes
    answers = (labels + 1) % classes if wrong else labels
    names = class_names or [f"class {index}" for index in range(classes)]
    return report_logits(np.eye(classes)[answers], labels, names)


def log(epochs: int, *columns: str) -> list[dict[str, float]]:
    rows = []
    for epoch in range(1, epochs + 1):
        row = {"epoch": epoch, "loss": 2 / epoch, "top1": 1 - 0.8 / epoch, "learning_rate": 1e-3}
        rows.append(row | dict.fromkeys(columns, 0.9 - 0.6 / epoch))
    return rows


@pytest.mark.parametrize("classes", [2, 10, 100])
def test_right_answers_lie_on_the_diagonal(classes: int, tmp_path: Path) -> None:
    correlations = []
    for wrong in (False, True):
        path = tmp_path / f"{wrong}.png"
        write_confusion_matrix(report_of(classes, wrong=wrong), path)
        picture = pixels(path).astype(int)
        # The dark end of the colour map, without the colour bar at the right.
        dark = (picture.sum(axis=-1) < 200) & (picture[..., 2] > picture[..., 0] + 60)
        rows, columns = np.nonzero(dark[:, : int(0.85 * picture.shape[1])])
        correlations.append(np.corrcoef(rows, columns)[0, 1])
    right, off_by_one = correlations
    # Two squares correlate by 3/4, a line by 1.
    assert right > 0.7
    assert off_by_one < right - 0.01


def test_a_hundred_classes_can_be_read(tmp_path: Path) -> None:
    write_confusion_matrix(report_of(100), tmp_path / "confusion.png")
    height, width, _ = pixels(tmp_path / "confusion.png").shape
    # 20 pixels a class, which letters of 9 points (19 pixels at 150 dots an inch) fit into.
    assert min(height, width) > 100 * 20
    assert max(height, width) < 4000


def test_more_classes_make_no_larger_picture(tmp_path: Path) -> None:
    write_confusion_matrix(report_of(400), tmp_path / "confusion.png")
    assert max(pixels(tmp_path / "confusion.png").shape) < 4500


def test_names_of_any_kind_are_drawn(tmp_path: Path) -> None:
    names = ["$x_{", "猫", "a" * 200]
    write_confusion_matrix(report_of(3, class_names=names), tmp_path / "confusion.png")
    assert max(pixels(tmp_path / "confusion.png").shape) < 3000
    titles = [f"{name}\n0.5" for name in names]
    write_image_grid(np.zeros((3, 4, 4, 3), np.uint8), titles, tmp_path / "grid.png")
    assert (tmp_path / "grid.png").exists()


def test_classes_without_images_and_answers_are_drawn(tmp_path: Path) -> None:
    report = report_logits(np.full((2, 3), np.nan), np.zeros(2, np.int64), ["a", "b", "c"])
    write_confusion_matrix(report, tmp_path / "confusion.png")
    assert (tmp_path / "confusion.png").exists()


@pytest.mark.parametrize("epochs", [1, 2, 30])
def test_curves_have_the_columns_of_the_log(epochs: int, tmp_path: Path) -> None:
    pictures = []
    for number, columns in enumerate([(), ("validation_loss", "validation_top1")]):
        path = tmp_path / f"{number}.png"
        write_curves(log(epochs, *columns), path)
        pictures.append(pixels(path))
    plain, validated = pictures
    for picture in pictures:
        assert count_of(BLUE, picture) > 20
    assert not count_of(ORANGE, plain)
    assert count_of(ORANGE, validated) > 20


def test_losses_that_are_no_numbers_leave_a_gap(tmp_path: Path) -> None:
    rows = log(5, "validation_top1")
    rows[2]["loss"] = rows[2]["validation_top1"] = float("nan")
    write_curves(rows, tmp_path / "curves.png")
    assert count_of(ORANGE, pixels(tmp_path / "curves.png")) > 20


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_a_grid_shows_every_image_once(dtype: type, tmp_path: Path) -> None:
    colours = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0], [255, 0, 255]])
    images = np.broadcast_to(colours[:, None, None], (5, 6, 8, 3)).astype(dtype)
    if dtype is np.float32:
        # Out of range, as augmentation may leave them.
        images = images * 1.2 - 20
    write_image_grid(images, list("abcde"), tmp_path / "grid.png")
    picture = pixels(tmp_path / "grid.png")
    areas = [(picture == colour).all(axis=-1) for colour in colours]
    assert min(area.sum() for area in areas) > 10_000
    places = [tuple(np.argwhere(area).mean(axis=0) / picture.shape[:2]) for area in areas]
    # Three across: the first row left to right, then the second.
    assert places[0][1] < places[1][1] < places[2][1]
    assert places[3][0] > places[0][0] + 0.2
    assert places[3][1] < places[4][1]


def test_the_old_picture_stays_when_writing_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "curves.png"
    path.write_bytes(b"old")

    def fail(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(plots, "publish", fail)
    with pytest.raises(EnvironmentProblem, match="disk is full"):
        write_curves(log(2), path)
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["curves.png"]


def test_a_folder_that_is_not_there_is_an_environment_problem(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentProblem, match="cannot be written"):
        write_curves(log(2), tmp_path / "missing" / "curves.png")


def test_drawing_needs_no_pyplot_and_no_keras(tmp_path: Path) -> None:
    code = (
        "import sys, numpy as np\n"
        "from pathlib import Path\n"
        "from training.plots import write_confusion_matrix, write_curves, write_image_grid\n"
        "assert 'matplotlib' not in sys.modules\n"
        "from training.report import report_logits\n"
        "folder = Path(sys.argv[1])\n"
        "report = report_logits(np.eye(2), np.arange(2), ['a', 'b'])\n"
        "write_confusion_matrix(report, folder / 'a.png')\n"
        "row = {'epoch': 1, 'loss': 1.0, 'top1': 0.5, 'learning_rate': 0.1}\n"
        "write_curves([row], folder / 'b.png')\n"
        "write_image_grid(np.zeros((1, 2, 2, 3), np.uint8), ['x'], folder / 'c.png')\n"
        "heavy = ('matplotlib.pyplot', 'keras', 'tensorflow', 'jax', 'torch')\n"
        "print([name for name in heavy if name in sys.modules])\n"
    )
    assert run_python(code, tmp_path).strip() == "[]"
