"""The command `python -m training preview`."""

from pathlib import Path
from typing import Annotated

import typer

from training.options import LARGEST_SEED, Changes, DataDir, RecipeName

_SIZE = 32


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
    from rich.console import Console

    from training.datasets import load_split
    from training.train_command import resolve_recipe
    from vitsd_export._internal.atomic_write import check_target
    from vitsd_export.data.sample import load_sample
    from vitsd_export.errors import UsageError

    console = Console(stderr=True)

    def tell(message: object) -> None:
        console.print(str(message), soft_wrap=True, markup=False, highlight=False)

    chosen = resolve_recipe(recipe, set_ or [])
    if out.suffix.lower() != ".png":
        raise UsageError(f"--out writes a PNG; {out} must end in .png.")
    if epoch > chosen.epochs:
        raise UsageError(
            f"The recipe has {chosen.epochs} epochs; --epoch {epoch} is not among them."
        )
    check_target(out, folder=False)
    if data == "sample":
        source = load_sample("calibration")
    else:
        source = load_split(
            data, data_dir, "train", size=_SIZE, seed=seed, on_skipped=tell, on_message=tell
        )
    from training.plots import write_image_grid
    from training.preview import augmented_images

    pixels, captions = augmented_images(chosen, source, images, seed=seed, epoch=epoch - 1)
    write_image_grid(pixels, captions, out)
    tell(f"Wrote {out}.")
