"""The bundled checkpoints, each a .keras file with its card inside and beside it."""

from pathlib import Path

from vitsd_export.errors import InputError

DEFAULT_MODEL = "vit-tiny-cifar10"


def bundled_names() -> list[str]:
    """Returns the names of the bundled models."""
    return sorted(path.stem for path in Path(__file__).parent.glob("*.keras"))


def bundled_path(name: str) -> Path | None:
    """Returns the .keras file of a bundled model, or None if none has that name."""
    return Path(__file__).with_name(f"{name}.keras") if name in bundled_names() else None


def find_model(source: str | Path) -> Path:
    """Returns the file of a model; this module needs no Keras to say that there is none.

    Args:
        source: Name of a bundled model, or a path.

    Raises:
        InputError: If there is no such file.
    """
    path = bundled_path(str(source)) or Path(source)
    try:
        if path.is_file():
            return path
        what = "is not a file" if path.exists() else "does not exist"
    except OSError as error:
        raise InputError(f"The model {path} cannot be read: {error}.") from error
    raise InputError(
        f"The model {path} {what}. Give a .keras file, a .weights.h5 file with --preset, or the name "
        f"of a bundled model ({', '.join(bundled_names())})."
    )
