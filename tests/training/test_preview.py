"""Training images as the model sees them, and the command that draws them."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from tests.support.cifar_layouts import write_cifar10_pickles
from tests.support.training_parts import LIVELY, RECIPE, small_data
from training.__main__ import app
from training.augmentation.draws import draw_epoch
from training.plots import write_image_grid
from training.preview import augmented_images
from training.recipes import AugmentationRecipe, MixingRecipe, load_recipe
from vitsd_export.data.dataset import ImageDataset
from vitsd_export.data.sample import load_sample
from vitsd_export.errors import InputError, UsageError

PLAIN = dataclasses.replace(RECIPE, augmentation=AugmentationRecipe(), mixing=MixingRecipe())
CUT = dataclasses.replace(
    PLAIN, epochs=4, mixing=MixingRecipe(probability=1.0, cutmix_share=1.0, off_epochs=1)
)


def coloured(classes: int = 10) -> ImageDataset:
    """An image a class, all of one value: ten times the class."""
    images = np.zeros((classes, 8, 8, 3), np.uint8)
    images += 10 * np.arange(classes, dtype=np.uint8)[:, None, None, None]
    names = tuple(f"class{index}" for index in range(classes))
    return ImageDataset(images, np.arange(classes), names, "colours", "train", "colours")


@pytest.mark.parametrize("count", [1, 7, 8, 16])
def test_without_changes_the_images_are_those_of_the_epoch(count: int) -> None:
    data = small_data(20)
    pixels, captions = augmented_images(PLAIN, data, count, seed=3, epoch=1)
    index = draw_epoch(PLAIN, count=20, size=8, seed=3, epoch=1)["index"].ravel()[:count]
    np.testing.assert_array_equal(pixels, data.images[index])
    assert pixels.dtype == np.float32
    assert data.labels is not None
    assert captions == [data.class_names[data.labels[image]] for image in index]


@pytest.mark.parametrize("count", [3, 8])
def test_captions_tell_the_shares_that_are_seen(count: int) -> None:
    data = coloured()
    pixels, captions = augmented_images(CUT, data, count, seed=0, epoch=0)
    assert len(pixels) == len(captions) == count
    for image, caption in zip(pixels, captions, strict=True):
        seen, pixels_of = np.unique(image[..., 0], return_counts=True)
        shares = {
            f"class{value / 10:.0f}": n / 64 for value, n in zip(seen, pixels_of, strict=True)
        }
        if len(shares) == 1:
            assert caption in shares
            continue
        told = re.findall(r"(\d+)% (\w+)$", caption, re.MULTILINE)
        assert {name: int(percent) for percent, name in told} == pytest.approx(
            {name: 100 * share for name, share in shares.items()}, abs=0.51
        )
        # The greater share comes first.
        assert int(told[0][0]) >= int(told[1][0])
    assert any("%" in caption for caption in captions)


def test_images_of_one_class_have_one_name() -> None:
    data = coloured(2)
    same = data.subset([0] * 8)
    _, captions = augmented_images(CUT, same, 8, seed=0, epoch=0)
    assert captions == ["class0"] * 8


def test_the_last_epoch_is_shown_without_mixing() -> None:
    _, captions = augmented_images(CUT, coloured(), 8, seed=0, epoch=3)
    assert not any("%" in caption for caption in captions)


def test_no_more_are_given_than_the_epoch_has() -> None:
    pixels, captions = augmented_images(LIVELY, small_data(23), 100, seed=0, epoch=0)
    assert pixels.shape == (16, 8, 8, 3)
    assert len(captions) == 16


def test_less_than_a_batch_or_no_labels_fails() -> None:
    with pytest.raises(InputError, match=r"7 images, fewer than a batch of 8\..*batch_size"):
        augmented_images(PLAIN, small_data(7), 4, seed=0, epoch=0)
    unlabelled = dataclasses.replace(small_data(20), labels=None, class_names=())
    with pytest.raises(InputError, match="has no labels"):
        augmented_images(PLAIN, unlabelled, 4, seed=0, epoch=0)


def pixels_of(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB"), float)


def test_the_command_draws_the_bundled_images(tmp_path: Path) -> None:
    out = tmp_path / "preview.png"
    arguments = ["preview", "--images", "4", "--out", str(out), "--recipe", "light"]
    changes = ["--set", "augmentation.flip=false", "--set", "augmentation.crop_padding=0"]
    result = CliRunner().invoke(app, [*arguments, *changes])
    assert result.exit_code == 0, result.output
    assert result.stdout == ""
    assert "".join(result.stderr.split()) == f"Wrote{out}.".replace(" ", "")
    plain = pixels_of(out)
    assert min(plain.shape[:2]) > 300
    assert CliRunner().invoke(app, [*arguments, *changes, "--seed", "1"]).exit_code == 0
    assert (pixels_of(out) != plain).mean() > 0.2
    CliRunner().invoke(app, [*arguments, *changes])
    np.testing.assert_array_equal(pixels_of(out), plain)


@pytest.mark.parametrize("epoch", [1, 2])
def test_epochs_are_counted_from_one(epoch: int, tmp_path: Path) -> None:
    out = tmp_path / "preview.png"
    arguments = ["preview", "--images", "4", "--epoch", str(epoch), "--out", str(out)]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    pixels, captions = augmented_images(
        load_recipe("quick"), load_sample("calibration"), 4, seed=0, epoch=epoch - 1
    )
    write_image_grid(pixels, captions, tmp_path / "expected.png")
    np.testing.assert_array_equal(pixels_of(out), pixels_of(tmp_path / "expected.png"))


def test_the_command_draws_cifar(tmp_path: Path) -> None:
    data = small_data(40, size=32)
    rows = data.images, np.arange(40) % 10
    folder = write_cifar10_pickles(tmp_path, rows, rows)
    out = tmp_path / "preview.png"
    arguments = ["--data", "cifar10", "--data-dir", str(folder), "--set", "batch_size=8"]
    result = CliRunner().invoke(app, ["preview", *arguments, "--images", "9", "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert pixels_of(out).std() > 10


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("--out", "preview.jpg"), UsageError, "must end in .png"),
        (("--epoch", "31"), UsageError, "has 30 epochs; --epoch 31"),
        (("--recipe", "quik"), UsageError, "Did you mean 'quick'"),
        (("--set", "epoch=1"), UsageError, "no field 'epoch'"),
        (("--data", "cifar"), UsageError, "--data must be"),
        (("--set", "batch_size=1024"), InputError, "512 images, fewer than a batch of 1024"),
    ],
)
def test_the_command_fails_and_says_why(
    arguments: tuple[str, ...],
    error: type[Exception],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["preview", *arguments])
    assert type(result.exception) is error
    assert message in str(result.exception)
    assert not list(tmp_path.iterdir())
