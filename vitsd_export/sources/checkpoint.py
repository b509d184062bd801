"""Reading and writing trained models."""

import dataclasses
import io
import json
import os
import zipfile
from pathlib import Path
from typing import Any, Unpack

import keras
import numpy as np

from vitsd_export._internal.hashing import file_sha256
from vitsd_export.errors import InputError, UsageError
from vitsd_export.model.classifier import build_classifier
from vitsd_export.model.config import ModelConfig
from vitsd_export.sources import hdf5
from vitsd_export.sources.adapting import (
    as_classifier,
    scales_pixels,
    with_input_range,
    with_two_classes,
)
from vitsd_export.sources.archive import CARD_FILE
from vitsd_export.sources.custom_objects import load_custom_objects
from vitsd_export.sources.folders import UNPACKED_FILES, holds_saved_model, holds_unpacked
from vitsd_export.sources.location import Location, locate
from vitsd_export.sources.options import SourceOptions
from vitsd_export.sources.readers import (
    read_archive,
    read_hdf5,
    read_saved_model,
    read_unpacked,
)
from vitsd_export.sources.reading import Content, Reading, source_sha256

_ZIP_SIGNATURE = b"PK\x03\x04"


@dataclasses.dataclass(frozen=True)
class LoadedModel:
    """A model and what is known about it.

    Attributes:
        model: Maps [N, size, size, 3] float32 pixels to [N, classes] float32.
        name: Short name, used for the artifacts' file names.
        path: File or folder it was read from.
        sha256: Digest of that file, hexadecimal; of a folder, that of its list of files and digests.
        card: Labels, recipe and accuracy written by `write_model`; empty for foreign files.
        provenance: `form` of the source; for a download its `origin` and `revision`; what was said about
            it (`input_range`, `custom_objects`).
        notes: What a user should know about how it was read, each one sentence.
        is_graph: Whether the model runs a SavedModel's graph and has no layers to be saved.
    """

    model: keras.Model
    name: str
    path: Path
    sha256: str
    card: dict[str, Any]
    provenance: dict[str, Any] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()
    is_graph: bool = False

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


def load_model(
    source: str | Path | Location, *, preset: str | None = None, **options: Unpack[SourceOptions]
) -> LoadedModel:
    """Loads a trained classifier.

    Args:
        source: Name of a bundled model; a .keras, .h5 or .weights.h5 file; a SavedModel folder; or
            `hf://owner/name[@revision]`.
        preset: Architecture that a file of weights belongs to.
        **options: See `SourceOptions`.

    Raises:
        UsageError: If a file of weights comes without a preset, the preset does not exist, or options
            contradict the source.
        InputError: If the source is missing, corrupt, unsafe, or not an image classifier.
        EnvironmentProblem: If it has to be downloaded and cannot be.
    """
    location = locate(source)
    path = location.path
    try:
        digest = source_sha256(path)
        start = b""
        if not path.is_dir():
            with path.open("rb") as file:
                start = file.read(len(hdf5.SIGNATURE))
    except OSError as error:
        raise InputError(f"The model {path} cannot be read: {error}.") from error
    custom = options.get("custom_objects")
    reading = Reading(
        path,
        preset,
        load_custom_objects(custom) if custom else {},
        trust=options.get("trust", False),
    )
    content = _read(reading, start)
    input_range = options.get("input_range")
    if content.takes_uint8 and input_range not in (None, "0-255"):
        raise UsageError(
            f"{path} takes whole pixels 0–255; --input-range {input_range} does not fit."
        )
    model = as_classifier(content.model, path)
    notes = list(content.notes)
    scaled = content.is_graph or scales_pixels(model)
    if input_range is None and not scaled:
        notes.append(
            "it has no layer that scales pixels and gets them as 0–255; give --input-range 0-1 or -1-1 "
            "if it was trained on these"
        )
    elif input_range not in (None, "0-255") and scaled and not content.is_graph:
        notes.append(
            f"it scales pixels itself; with --input-range {input_range} they are scaled twice"
        )
    model = with_input_range(model, input_range)
    if model.outputs[0].shape[-1] == 1:
        model = with_two_classes(model, answers_probability=stays_within_0_and_1(model))
        notes.append("its one score becomes two classes, the second of which it stands for")
    labels = content.card.get("labels")
    if labels is not None and len(labels) != model.outputs[0].shape[-1]:
        raise InputError(
            f"The card inside {path} has {len(labels)} labels for {model.outputs[0].shape[-1]} outputs."
        )
    facts = {
        "form": content.form,
        "origin": location.origin,
        "revision": location.revision,
        "difference": content.difference,
        "parameters": content.parameters,
        "input_range": input_range,
        "custom_objects": custom,
    }
    return LoadedModel(
        model,
        location.name,
        path,
        digest,
        content.card,
        {name: value for name, value in facts.items() if value is not None},
        tuple(notes),
        content.is_graph,
    )


def _read(reading: Reading, start: bytes) -> Content:
    """Reads a source by what is in it."""
    path = reading.path
    if path.is_dir():
        if holds_saved_model(path):
            return read_saved_model(reading)
        if holds_unpacked(path):
            return read_unpacked(reading)
        raise InputError(
            f"The model {path} is a folder that holds no model: neither a SavedModel (saved_model.pb) nor "
            f"the parts of a .keras file ({', '.join(UNPACKED_FILES)})."
        )
    if start.startswith(_ZIP_SIGNATURE):
        return read_archive(reading)
    if start == hdf5.SIGNATURE:
        return read_hdf5(reading)
    raise InputError(
        f"The model {path} is neither a .keras archive nor an HDF5 file of weights; it may be cut "
        "short. Save or copy it again."
    )


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
    return write_archive(bare, path, card)


# As Keras calls it.
_WEIGHTS_FILE = "model.weights.h5"
# Smaller arrays are not worth a filter.
_FEWEST_SHUFFLED = 64


def _shuffled(weights: bytes) -> bytes:
    """Returns an HDF5 file whose arrays are compressed with their bytes sorted by place.

    Float32 weights of float16 values then take 2.0 bytes each; compressed as they are, 2.3.
    """
    import h5py

    content = io.BytesIO()
    with h5py.File(io.BytesIO(weights), "r") as old, h5py.File(content, "w") as new:

        def copy(name: str, found: h5py.Group | h5py.Dataset) -> None:
            if isinstance(found, h5py.Group):
                copied = new.require_group(name)
            elif found.size < _FEWEST_SHUFFLED:
                copied = new.create_dataset(name, data=found[()])
            else:
                copied = new.create_dataset(
                    name, data=found[()], compression="gzip", compression_opts=9, shuffle=True
                )
            copied.attrs.update(found.attrs)

        new.attrs.update(old.attrs)
        old.visititems(copy)
    return content.getvalue()


def write_archive(model: keras.Model, path: Path, card: dict[str, Any]) -> str:
    """Writes any model to a compressed .keras file with a card inside.

    Returns:
        SHA-256 of the file, hexadecimal.
    """
    saved = path.with_name(f".{path.stem}.saving.keras")
    compressed = path.with_name(f".{path.stem}.compressing.keras")
    try:
        model.save(saved)
        with (
            zipfile.ZipFile(saved) as source,
            zipfile.ZipFile(compressed, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as target,
        ):
            members = {name: source.read(name) for name in source.namelist()}
            members[_WEIGHTS_FILE] = _shuffled(members[_WEIGHTS_FILE])
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
    answers = _answers(loaded.model)
    return bool((answers >= 0).all() and np.allclose(answers.sum(axis=1), 1, atol=1e-3))


def stays_within_0_and_1(model: keras.Model) -> bool:
    """Whether a model's answers are probabilities, however far its input is from any image.

    Scores that no sigmoid bounds may lie between 0 and 1 for images, but not for these.
    """
    answers = np.concatenate([_answers(model, scale) for scale in (1, -1e3, 1e3)])
    return bool(((answers >= 0) & (answers <= 1)).all())


def _answers(model: keras.Model, scale: float = 1.0) -> np.ndarray:
    size = int(model.inputs[0].shape[1])
    images = np.random.default_rng(0).uniform(0, 255, (4, size, size, 3)).astype(np.float32)
    return np.asarray(keras.ops.convert_to_numpy(model(images * scale, training=False)))
