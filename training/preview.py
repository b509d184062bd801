"""The command `python -m training preview`: training images as the model sees them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from training.options import LARGEST_SEED, Changes, DataDir, RecipeName, check_png, tell
from training.recipes import Recipe, load_recipe, with_changes
from vitsd_export.errors import InputError, UsageError

if TYPE_CHECKING:
    # At run time --help of every command would wait for NumPy.
    import numpy as np

    from vitsd_export.data.dataset import ImageDataset

# A smaller share would be shown as 0 %.
_SMALLEST_SHARE = 0.005


def register(app: typer.Typer) -> None:
    """Adds the command to an application."""
    app.command(name="preview")(preview)


def preview(
    out: Annotated[Path, typer.Option("--out", help="PNG file to write.")] = Path("preview.png"),
    recipe: RecipeName = "quick",
    set_: Changes = None,
    data: Annotated[
        str, typer.Option(help="sample (bundled), cifar10, cifar100, or folder:PATH.")
    ] = "sample",
    data_dir: DataDir = None,
    images: Annotated[int, typer.Option(min=1, max=256, help="Number of images.")] = 40,
    epoch: Annotated[
        int, typer.Option(min=1, help="Epoch to show; images are not mixed in the last epochs.")
    ] = 1,
    seed: Annotated[
        int, typer.Option(min=0, max=LARGEST_SEED, help="Seed of the augmentation.")
    ] = 0,
) -> None:
    """Writes a picture of augmented training images with their labels."""
    from training.datasets import INPUT_SIZE, load_split
    from vitsd_export.data.sample import load_sample

    chosen = with_changes(load_recipe(recipe), set_ or [])
    if epoch > chosen.epochs:
        raise UsageError(
            f"The recipe has {chosen.epochs} epochs; --epoch {epoch} is not among them."
        )
    check_png("--out", out)
    if data == "sample":
        source = load_sample("calibration")
    else:
        source = load_split(data, data_dir, "train", size=INPUT_SIZE, seed=seed, tell=tell)
    from training.plots import write_image_grid

    pixels, captions = augmented_images(chosen, source, images, seed=seed, epoch=epoch - 1)
    write_image_grid(pixels, captions, out)
    tell(f"Wrote {out}.")


def augmented_images(
    recipe: Recipe, data: "ImageDataset", count: int, *, seed: int, epoch: int
) -> tuple["np.ndarray", list[str]]:
    """Augments and mixes the first `count` images, or fewer if there are fewer, of an epoch from 0.

    Returns:
        Images [count, size, size, 3] float32, 0–255, and for each a caption: its label, or a line for each
        of two with its share.

    Raises:
        InputError: If the data has no labels, or fewer images than a batch of the recipe.
    """
    import numpy as np

    from training.augmentation.draws import draw_epoch
    from training.augmentation.pipeline import augment

    if data.labels is None:
        raise InputError(f"{data.source} has no labels, which a preview shows.")
    if len(data) < recipe.batch_size:
        raise InputError(
            f"{data.source} has {len(data)} images, fewer than a batch of {recipe.batch_size}. Lower it "
            "with --set batch_size=…"
        )
    size = data.images.shape[1]
    drawn = draw_epoch(recipe, count=len(data), size=size, seed=seed, epoch=epoch)
    # For an odd count one image more: they are mixed in pairs.
    flat = {
        name: array.reshape(-1, *array.shape[2:])[: count + count % 2]
        for name, array in drawn.items()
    }
    index = flat.pop("index")
    one_hot = np.eye(len(data.class_names), dtype=np.float32)[data.labels[index]]
    pixels, labels = augment(data.images[index], one_hot, flat)
    captions = [_caption(row, data.class_names) for row in labels[:count]]
    return pixels[:count], captions


def _caption(shares: "np.ndarray", names: tuple[str, ...]) -> str:
    present = [index for index in (-shares).argsort() if shares[index] > _SMALLEST_SHARE]
    if len(present) == 1:
        return names[present[0]]
    return "\n".join(f"{shares[index]:.0%} {names[index]}" for index in present)
