"""Reading and writing trained models."""

import dataclasses
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np

from vitsd_export.digest import file_sha256
from vitsd_export.errors import InputError, UsageError
from vitsd_export.model.archive import CARD_FILE, load_archive, read_card
from vitsd_export.model.classifier import build_classifier
from vitsd_export.model.config import ModelConfig
from vitsd_export.model.weights import load_weights
from vitsd_export.pretrained import find_model

_ZIP_SIGNATURE = b"PK\x03\x04"
_HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"


@dataclasses.dataclass(frozen=True)
class LoadedModel:
    """A model and what is known about it.

    Attributes:
        model: Maps [N, size, size, 3] float32 pixels to [N, classes] float32.
        name: Short name, used for the artifacts' file names.
        path: File it was read from.
        sha256: Digest of that file, hexadecimal.
        card: Labels, recipe and accuracy written by `write_model`; empty for foreign files.
    """

    model: keras.Model
    name: str
    path: Path
    sha256: str
    card: dict[str, Any]

    @property
    def image_size(self) -> int:
        """Height and width of the input image, in pixels."""
        return int(self.model.inputs[0].shape[1])

    @property
    def num_classes(self) -> int:
        """Number of outputs."""
        return int(self.model.outputs[0].shape[-1])

    @property
    def labels(self) -> tuple[str, ...] | None:
        """Class names, if the file carries them."""
        return tuple(self.card["labels"]) if "labels" in self.card else None


def _start(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(len(_HDF5_SIGNATURE))


def load_model(source: str | Path, *, preset: str | None = None) -> LoadedModel:
    """Loads a trained classifier.

    Args:
        source: Name of a bundled model, a .keras file, or a .weights.h5 file.
        preset: Architecture that a file of weights belongs to.

    Raises:
        UsageError: If a file of weights comes without a preset, or the preset does not exist.
        InputError: If the source is missing, corrupt, unsafe, or not an image classifier.
    """
    path = find_model(source)
    try:
        start, digest = _start(path), file_sha256(path)
    except OSError as error:
        raise InputError(f"The model {path} cannot be read: {error}.") from error
    if start.startswith(_ZIP_SIGNATURE):
        if preset is not None:
            raise UsageError(
                f"{path} holds its own architecture; --preset goes with a file of weights."
            )
        model = load_archive(path)
        card = read_card(path)
    elif start == _HDF5_SIGNATURE:
        model = load_weights(path, preset)
        card = {}
    else:
        raise InputError(
            f"The model {path} is neither a .keras archive nor an HDF5 file of weights; it may be cut "
            "short. Save or copy it again."
        )
    model = _as_classifier(model, path)
    name = path.name.removesuffix(".keras").removesuffix(".h5").removesuffix(".weights")
    labels = card.get("labels")
    if labels is not None and len(labels) != model.outputs[0].shape[-1]:
        raise InputError(
            f"The card inside {path} has {len(labels)} labels for {model.outputs[0].shape[-1]} outputs."
        )
    return LoadedModel(model, name, path, digest, card)


def _as_classifier(model: Any, path: Path) -> keras.Model:
    """Returns the model, its one input and output in no list or dict, if it classifies images."""
    if not isinstance(model, keras.Model) or not getattr(model, "inputs", None):
        raise InputError(
            f"{path} is not a Keras model with a known input; nothing can be exported."
        )
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise InputError(
            f"{path} has {len(model.inputs)} inputs and {len(model.outputs)} outputs; an image "
            "classifier has one of each."
        )
    shape, classes = tuple(model.inputs[0].shape), tuple(model.outputs[0].shape)
    if len(shape) != 4 or shape[3] != 3 or shape[1] is None or shape[1] != shape[2]:
        raise InputError(
            f"{path} takes an input of shape {shape}; expected square RGB images of fixed size, "
            "(None, size, size, 3)."
        )
    if shape[0] is not None:
        raise InputError(
            f"{path} takes batches of exactly {shape[0]} images; expected any number, "
            f"(None, {shape[1]}, {shape[2]}, 3). Build the model without a fixed batch size."
        )
    if len(classes) != 2 or classes[1] is None:
        raise InputError(
            f"{path} answers with shape {classes}; expected one score a class, (None, classes)."
        )
    if isinstance(model.input, keras.KerasTensor) and isinstance(model.output, keras.KerasTensor):
        return model
    return keras.Model(model.inputs[0], model.outputs[0], name=model.name)


def write_model(model: keras.Model, config: ModelConfig, path: Path, card: dict[str, Any]) -> str:
    """Writes a .keras file for inference: no optimizer, compressed, its card inside.

    Keras stores its archive uncompressed and ignores members it does not know, so the file is an ordinary
    .keras file with one member more.

    Args:
        model: Trained model made by `build_classifier(config)`.
        config: Its architecture.
        path: Target; replaced only once the new file is complete.
        card: Labels, recipe, data, accuracy: whatever a reader should know.

    Returns:
        SHA-256 of the file, hexadecimal.
    """
    bare = build_classifier(config, name=model.name)
    bare.set_weights(model.get_weights())
    saved = path.with_name(f".{path.stem}.saving.keras")
    compressed = path.with_name(f".{path.stem}.compressing.keras")
    try:
        bare.save(saved)
        with (
            zipfile.ZipFile(saved) as source,
            zipfile.ZipFile(compressed, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as target,
        ):
            members = {name: source.read(name) for name in source.namelist()}
            members[CARD_FILE] = json.dumps(card, indent=2, ensure_ascii=False).encode()
            for name, content in members.items():
                target.writestr(name, content, zipfile.ZIP_DEFLATED, 9)
        digest = file_sha256(compressed)
        os.replace(compressed, path)
    finally:
        saved.unlink(missing_ok=True)
        compressed.unlink(missing_ok=True)
    return digest


def answers_probabilities(loaded: LoadedModel) -> bool:
    """Whether a model's own output is a softmax, judged by its answers to random images.

    The name or class of the last layer does not tell: the softmax may be an activation, a layer, or an
    operation.
    """
    size = loaded.image_size
    images = np.random.default_rng(0).uniform(0, 255, (4, size, size, 3)).astype(np.float32)
    answers = np.asarray(keras.ops.convert_to_numpy(loaded.model(images, training=False)))
    return bool((answers >= 0).all() and np.allclose(answers.sum(axis=1), 1, atol=1e-3))
