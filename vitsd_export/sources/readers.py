"""Reads each form of source."""

import contextlib
import dataclasses
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras

from vitsd_export.data.labels import read_labels_file
from vitsd_export.errors import InputError
from vitsd_export.model.config import PRESETS
from vitsd_export.sources.archive import load_archive, load_with_keras, read_card
from vitsd_export.sources.folders import UNPACKED_FILES
from vitsd_export.sources.hdf5 import (
    input_size,
    is_keras_2_weights,
    is_whole_model,
    open_hdf5,
    read_layers,
)
from vitsd_export.sources.published_architecture import (
    OtherWeights,
    Tensors,
    map_weights,
    read_config,
)
from vitsd_export.sources.reading import Content, Reading
from vitsd_export.sources.weights_file import load_weights


def read_archive(reading: Reading) -> Content:
    """Reads a .keras file.

    Raises:
        UsageError: If a preset was given.
        InputError: If it cannot be used.
    """
    reading.refuse_preset()
    return Content(load_archive(reading), ".keras file", read_card(reading))


def read_unpacked(reading: Reading) -> Content:
    """Reads a folder with the members of a .keras file, as Keras uploads them to the Hugging Face hub.

    Raises:
        UsageError: If a preset was given.
        InputError: If it cannot be used.
    """
    folder = reading.path
    with tempfile.TemporaryDirectory(prefix="vitsd-export-") as scratch:
        path = Path(scratch) / f"{folder.resolve().name}.keras"
        with zipfile.ZipFile(path, "w") as archive:
            for name in UNPACKED_FILES:
                archive.write(folder / name, name)
        return read_archive(dataclasses.replace(reading, path=path, copied_from=folder))


def read_saved_model(reading: Reading) -> Content:
    """Reads a SavedModel folder.

    Raises:
        UsageError: If a preset was given.
        InputError: If it cannot be used.
        EnvironmentProblem: If TensorFlow is missing, or Keras runs on another backend.
    """
    reading.refuse_preset()
    from vitsd_export._internal.tensorflow import use_tensorflow

    use_tensorflow()
    from vitsd_export.sources.saved_model import load_saved_model

    return dataclasses.replace(load_saved_model(reading.path), card=_labels_beside(reading.path))


def _labels_beside(folder: Path) -> dict[str, Any]:
    """Returns the labels that `vitsd-export saved-model` has put into a folder, as a card."""
    path = folder / "assets.extra" / "labels.txt"
    return {"labels": list(read_labels_file(path))} if path.is_file() else {}


def read_hdf5(reading: Reading) -> Content:
    """Reads an .h5 file: weights of Keras 3 or Keras 2, or a whole model.

    Raises:
        UsageError: If it holds weights and no preset was given, or an unknown one.
        InputError: If it cannot be used.
    """
    path = reading.path
    with open_hdf5(path) as (file, stored):
        whole = is_whole_model(file)
        tensors = read_layers(file) if whole or is_keras_2_weights(file) else []
        size = input_size(file) if whole else None
    if whole and reading.preset is None:
        return _read_whole(reading, tensors, size, stored)
    if tensors:
        return Content(_mapped(tensors, reading), "weights of Keras 2")
    with _named(reading, ".weights.h5") as named:
        return Content(load_weights(named), "weights of Keras 3")


def _read_whole(reading: Reading, tensors: Tensors, size: int | None, stored: int) -> Content:
    form = "whole model in HDF5"
    if size is not None:
        # Layers of the published model's own are not known to Keras; its weights are all that is needed.
        with contextlib.suppress(OtherWeights):
            return Content(map_weights(tensors, size), f"{form}, weights mapped")
    with _named(reading, ".h5") as named:
        return Content(load_with_keras(named, stored), form)


def _mapped(tensors: Tensors, reading: Reading) -> keras.Model:
    wanted = reading.wanted_config()
    try:
        found = read_config(tensors, wanted.input_size)
        # Weights do not tell the rates of dropout.
        wanted = dataclasses.replace(
            wanted,
            num_classes=found.num_classes,
            attention_dropout=found.attention_dropout,
            mlp_dropout=found.mlp_dropout,
            head_dropout=found.head_dropout,
        )
        if found != wanted:
            raise OtherWeights(f"they are of {found}")
        return map_weights(tensors, wanted.input_size)
    except OtherWeights as difference:
        raise InputError(
            f"The weights in {reading.path} do not fit the preset {reading.preset}: {difference}. Give the "
            f"preset they were trained with ({', '.join(PRESETS)})."
        ) from difference


@contextlib.contextmanager
def _named(reading: Reading, suffix: str) -> Iterator[Reading]:
    """Yields the file, or a copy of it, whose name ends in a suffix, because Keras goes by the name."""
    path = reading.path
    if path.name.endswith(suffix):
        yield reading
        return
    with tempfile.TemporaryDirectory(prefix="vitsd-export-") as folder:
        copy = Path(folder) / f"{path.stem}{suffix}"
        shutil.copyfile(path, copy)
        yield dataclasses.replace(reading, path=copy, copied_from=path)
