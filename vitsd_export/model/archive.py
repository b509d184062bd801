"""Reading .keras files, which may come from anywhere."""

import json
import re
import warnings
import zipfile
from pathlib import Path
from typing import Any

import keras

# The layers are registered with Keras by importing them.
import vitsd_export.model.layers  # noqa: F401
from vitsd_export.errors import InputError
from vitsd_export.model.damage import UNREADABLE_ERRORS, reason

CARD_FILE = "vitsd_export.json"

_UNKNOWN = re.compile(r"Could not locate (\w+) '([^']*)'")


def load_archive(path: Path) -> Any:
    """Returns what Keras makes of a .keras file; nothing in the file is executed.

    Raises:
        InputError: If the file is damaged, contains code, or needs a layer that is not known here.
    """
    if path.suffix != ".keras":
        # Keras goes by the name.
        raise InputError(
            f"{path} is an archive. If Keras saved it, rename it to {path.stem}.keras."
        )
    try:
        with warnings.catch_warnings():
            # So Keras tells that layers keep the random weights they were made with.
            warnings.filterwarnings("error", "Skipping nested container", UserWarning)
            # safe_mode refuses Lambda layers, which would run code from the file.
            return keras.saving.load_model(path, compile=False, safe_mode=True)
    except UNREADABLE_ERRORS as error:
        raise InputError(_explain(error, path)) from error


def _explain(error: Exception, path: Path) -> str:
    if "safe_mode=False" in str(error):
        return (
            f"The model {path} contains code (a Lambda layer or similar) and is refused. Replace it by "
            "a registered layer and save the model again."
        )
    unknown = _UNKNOWN.search(str(error))
    if unknown:
        return (
            f"The model {path} uses the {unknown[1]} {unknown[2]!r}, which is not known here. Only "
            "layers of Keras and of vitsd-export can be loaded: build the model of these and save it "
            "again."
        )
    return (
        f"The model {path} cannot be loaded; the file may be damaged. Save or copy it again. Keras "
        f"says: {reason(error)}"
    )


def read_card(path: Path) -> dict[str, Any]:
    """Returns the card inside a .keras file; empty if it has none.

    Raises:
        InputError: If the card is damaged or no card.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if CARD_FILE not in archive.namelist():
                return {}
            card = json.loads(archive.read(CARD_FILE))
    except UNREADABLE_ERRORS as error:
        raise InputError(
            f"The card inside {path} cannot be read: {reason(error)}. Save or copy the model again."
        ) from error
    labels = card.get("labels", []) if isinstance(card, dict) else None
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise InputError(f"The card inside {path} is not one that vitsd-export wrote.")
    return card
