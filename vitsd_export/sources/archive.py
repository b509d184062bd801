"""Reading .keras files and whole models in HDF5, which may come from anywhere."""

import contextlib
import json
import math
import re
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras

# The layers are registered with Keras by importing them.
import vitsd_export.model.layers  # noqa: F401
from vitsd_export._internal.damaged_files import UNREADABLE_ERRORS, reason, unreadable_errors
from vitsd_export.errors import InputError
from vitsd_export.sources.archive_safety import check_archive
from vitsd_export.sources.reading import Reading

CARD_FILE = "vitsd_export.json"
# Weights that layers may hold beside what is stored of them.
_SLACK = 1 << 20

_UNKNOWN = re.compile(r"Could not locate (\w+) '([^']*)'")


def load_archive(reading: Reading) -> Any:
    """Returns what Keras makes of a .keras file; nothing in the file is executed unless it is trusted.

    Raises:
        InputError: If the file is damaged, contains code, or needs a layer that is not known here.
    """
    path = reading.path
    if path.suffix != ".keras":
        # Keras goes by the name.
        raise InputError(
            f"{path} is an archive. If Keras saved it, rename it to {path.stem}.keras."
        )
    return load_with_keras(reading, check_archive(path, reading.shown))


def load_with_keras(reading: Reading, stored: int) -> Any:
    """Returns what Keras makes of a .keras or .h5 file that has been checked and stores so many numbers.

    Raises:
        InputError: If the file is damaged, contains code, or needs a layer that is not known here.
    """
    try:
        with warnings.catch_warnings(), _limited_weights(stored):
            # Of habits of old files that matter no more.
            warnings.simplefilter("ignore")
            # So Keras tells that layers keep the random weights they were made with.
            warnings.filterwarnings("error", "Skipping nested container", UserWarning)
            # safe_mode refuses Lambda layers, which would run code from the file.
            return keras.saving.load_model(
                reading.path,
                custom_objects=reading.custom_objects,
                compile=False,
                safe_mode=not reading.trust,
            )
    except unreadable_errors() as error:
        raise InputError(_explain(error, reading.shown)) from error


@contextlib.contextmanager
def _limited_weights(stored: int) -> Iterator[None]:
    """Lets layers make as many weights, while the block runs, as a file holds; else raises ValueError.

    Keras allocates the weights of an architecture before it looks whether the file has numbers for them:
    a damaged or hostile one would fill the memory.
    """
    add_weight = keras.layers.Layer.add_weight
    left = stored + _SLACK

    def add_counted(self: Any, shape: Any = None, *arguments: Any, **options: Any) -> Any:
        nonlocal left
        left -= math.prod(shape) if isinstance(shape, list | tuple) else shape or 1
        if left < 0:
            raise ValueError(
                f"the layer {self.name} wants a weight of shape {shape}; the file holds {stored} numbers"
            )
        return add_weight(self, shape, *arguments, **options)

    keras.layers.Layer.add_weight = add_counted
    try:
        yield
    finally:
        keras.layers.Layer.add_weight = add_weight


def _explain(error: Exception, path: Path) -> str:
    if "safe_mode=False" in str(error):
        return (
            f"The model {path} contains code (a Lambda layer or similar) and is refused: loading it would "
            "run that code with all your rights. Replace it by a registered layer and save the model "
            "again; or, if you trust whoever made the file, add --trust."
        )
    unknown = _UNKNOWN.search(str(error))
    if unknown:
        return (
            f"The model {path} uses the {unknown[1]} {unknown[2]!r}, which is not known here. Give "
            "the Python file that defines it: --custom-objects module:file."
        )
    return (
        f"The model {path} cannot be loaded; the file may be damaged. Save or copy it again. Keras "
        f"says: {reason(error)}"
    )


def read_card(reading: Reading) -> dict[str, Any]:
    """Returns the card inside a .keras file; empty if it has none.

    Raises:
        InputError: If the card is damaged or no card.
    """
    shown = reading.shown
    try:
        with zipfile.ZipFile(reading.path) as archive:
            if CARD_FILE not in archive.namelist():
                return {}
            card = json.loads(archive.read(CARD_FILE))
    except UNREADABLE_ERRORS as error:
        raise InputError(
            f"The card inside {shown} cannot be read: {reason(error)}. Save or copy the model again."
        ) from error
    labels = card.get("labels", []) if isinstance(card, dict) else None
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise InputError(f"The card inside {shown} is not one that vitsd-export wrote.")
    return dict(card)
