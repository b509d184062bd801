"""Reading .weights.h5 files, which hold numbers and no architecture."""

import contextlib
import dataclasses
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import h5py
import keras

from vitsd_export._internal.damaged_files import reason, unreadable_errors
from vitsd_export.errors import InputError
from vitsd_export.model.classifier import build_classifier
from vitsd_export.model.config import PRESETS, ModelConfig
from vitsd_export.sources.reading import Reading

# Keras names the groups of a file after the layers' classes. Checkpoints of `python -m training` may hold
# another class for the attention, with the same weights in the same order.
_FOLDED_ATTENTION, _ATTENTION = "folded_self_attention", "locality_self_attention"


def load_weights(reading: Reading) -> keras.Model:
    """Builds a preset's architecture with the weights and the number of classes of a file.

    Args:
        reading: What `keras.Model.save_weights` wrote; an optimizer in it is passed over.

    Raises:
        UsageError: If there is no preset, or none of that name.
        InputError: If the file is damaged or of another architecture.
    """
    config, path = reading.wanted_config(), reading.path
    try:
        config = dataclasses.replace(config, num_classes=_stored_classes(path, config))
        model = build_classifier(config)
        with warnings.catch_warnings(), _plain_attention(path) as readable:
            # The error that comes after it says more.
            warnings.filterwarnings("ignore", "Skipping nested container", UserWarning)
            model.load_weights(readable)
        # Keras takes what it needs by position and does not mind what is left over.
        stored = _count_stored(path)
        if stored != len(model.weights):
            raise ValueError(f"the file holds {stored} weights, not {len(model.weights)}")
    except unreadable_errors() as error:
        raise InputError(
            f"The weights in {reading.shown} do not fit the preset {reading.preset}, or the file is damaged. "
            f"Give the preset they were trained with ({', '.join(PRESETS)}). Reason: {reason(error)}"
        ) from error
    return model


@contextlib.contextmanager
def _plain_attention(path: Path) -> Iterator[Path]:
    """Yields the file, or a copy in which folded attention layers have the plain ones' names."""
    with h5py.File(path, "r") as file:
        folded = [name for name in file["layers"] if name.startswith(_FOLDED_ATTENTION)]
    if not folded:
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="vitsd-export-") as folder:
        copy = Path(shutil.copy(path, folder))
        with h5py.File(copy, "r+") as file:
            for name in folded:
                file["layers"].move(name, name.replace(_FOLDED_ATTENTION, _ATTENTION))
        yield copy


def _stored_classes(path: Path, config: ModelConfig) -> int:
    # Keras numbers the Dense layers in order of creation; the last one makes the logits.
    index = config.depth * len(config.mlp_units) + len(config.head_units)
    with h5py.File(path, "r") as file:
        count = int(file[f"layers/dense_{index}/vars/1"].shape[0])
    if count < 1:
        raise ValueError("the last layer has no outputs")
    return count


def _count_stored(path: Path) -> int:
    names: list[str] = []
    with h5py.File(path, "r") as file:
        file["layers"].visititems(
            lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None
        )
    # The state of a dropout's random numbers is no weight.
    return sum("seed_generator" not in name for name in names)
