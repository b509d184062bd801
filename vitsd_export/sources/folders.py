"""What a folder with a model in it looks like; this module imports nothing heavy."""

from pathlib import Path

SAVED_MODEL_FILE = "saved_model.pb"
# A .keras archive that is not packed, as Keras uploads it.
UNPACKED_FILES = ("config.json", "metadata.json", "model.weights.h5")


def holds_saved_model(folder: Path) -> bool:
    """Whether a folder is a SavedModel."""
    return (folder / SAVED_MODEL_FILE).is_file()


def holds_unpacked(folder: Path) -> bool:
    """Whether a folder holds the members of a .keras archive."""
    return all((folder / name).is_file() for name in UNPACKED_FILES)


def files_of(folder: Path) -> list[Path]:
    """Returns the files that a model's folder consists of, sorted."""
    if holds_saved_model(folder):
        candidates = [folder / SAVED_MODEL_FILE, *(folder / "variables").glob("*")]
        candidates += [folder / "keras_metadata.pb", *(folder / "assets").rglob("*")]
    else:
        candidates = [folder / name for name in UNPACKED_FILES]
    return sorted(path for path in candidates if path.is_file())
