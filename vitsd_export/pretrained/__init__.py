"""The bundled checkpoints, each a .keras file with its card inside and beside it."""

from pathlib import Path

DEFAULT_MODEL = "vit-small-ds-cifar100"


def bundled_names() -> list[str]:
    """Returns the names of the bundled models."""
    return sorted(path.stem for path in Path(__file__).parent.glob("*.keras"))


def bundled_path(name: str) -> Path | None:
    """Returns the .keras file of a bundled model, or None if none has that name."""
    return Path(__file__).with_name(f"{name}.keras") if name in bundled_names() else None
