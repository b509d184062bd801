"""Reads the model that a run starts from."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from training.evaluation import predict_logits
from training.precision import policy
from vitsd_export.errors import EnvironmentProblem, InputError, UsageError
from vitsd_export.model.classifier import build_classifier, set_normalization
from vitsd_export.model.config import ModelConfig
from vitsd_export.model.layers import (
    BilinearResize,
    LocalitySelfAttention,
    PositionEmbedding,
    ShiftedPatchTokenizer,
)
from vitsd_export.sources.checkpoint import LoadedModel, load_model
from vitsd_export.sources.folders import holds_saved_model
from vitsd_export.sources.location import locate

# Two runs of one network in float32 differ by about a millionth of the largest score.
_AGREEMENT = 1e-4
_TRIAL_IMAGES = 4


class _OtherArchitecture(Exception):
    """A model that `build_classifier` does not make; the message says where it differs."""


@dataclasses.dataclass(frozen=True)
class Start:
    """A trained vision transformer that a run starts from.

    Attributes:
        model: Made by `build_classifier(config)`, with the source's weights and normalisation
            statistics; answers with logits.
        config: Its architecture, with the dropout rates that it was saved with.
        class_names: What its outputs stand for; None if the source does not say.
        path: File or folder it was read from.
        sha256: Digest of the source, as `LoadedModel` has it.
    """

    model: keras.Model
    config: ModelConfig
    class_names: tuple[str, ...] | None
    path: Path
    sha256: str

    def has_classes(self, class_names: Sequence[str]) -> bool:
        """Whether its outputs are known to be these classes in this order."""
        return self.class_names == tuple(class_names)


def load_start(location: str | Path, *, preset: str | None = None) -> Start:
    """Reads a model from any source that `load_model` takes, as one of this package's architecture.

    .keras files, HDF5 files and weights are read on every Keras backend; a SavedModel needs TensorFlow.

    Args:
        location: Where it is.
        preset: Architecture of a file that holds weights alone; other sources tell theirs.

    Raises:
        UsageError: If a file of weights comes without a preset, or the location is no address.
        InputError: If it is missing, damaged or unsafe, or no vision transformer of this architecture.
        EnvironmentProblem: If it has to be downloaded and cannot be, or is a SavedModel and Keras does
            not run on TensorFlow.
    """
    loaded = _load(location, preset)
    try:
        if loaded.is_graph:
            reasons = "; ".join(loaded.notes)
            raise _OtherArchitecture(f"it is a graph that cannot be taken apart ({reasons})")
        config = _read_config(loaded.model)
        model = _rebuild(loaded.model, config)
    except _OtherArchitecture as difference:
        raise InputError(
            f"Training cannot start from {loaded.path}: it is not a vision transformer of the architecture "
            f"that is trained here: {difference}. Give a bundled model, or one that was trained with "
            "python -m training."
        ) from difference
    return Start(model, config, loaded.labels, loaded.path, loaded.sha256)


def _load(location: str | Path, preset: str | None) -> LoadedModel:
    found = locate(location)
    backend = keras.backend.backend()
    if holds_saved_model(found.path) and backend != "tensorflow":
        raise EnvironmentProblem(
            f"{found.path} is a SavedModel, which cannot be read on {backend}. Make a .keras file of it "
            f"first (vitsd-export convert {location} model.keras), or set KERAS_BACKEND=tensorflow."
        )
    try:
        return load_model(found)
    except UsageError:
        # It holds weights alone.
        if preset is None:
            raise
        return load_model(found, preset=preset)


def _read_config(model: keras.Model) -> ModelConfig:
    """Returns the architecture that a model's layers tell, whatever their names and wiring."""
    tokenizer = _only(model, ShiftedPatchTokenizer)
    _only(model, PositionEmbedding)
    pooling = _only(model, keras.layers.Flatten, keras.layers.GlobalAveragePooling1D)
    attention = _of(model.layers, LocalitySelfAttention)
    resizing = _of(model.layers, BilinearResize)
    end = model.layers.index(pooling)
    encoder, head = model.layers[:end], model.layers[end:]
    mlp_units = [layer.units for layer in _of(encoder, keras.layers.Dense)]
    widths = [layer.units for layer in _of(head, keras.layers.Dense)]
    depth = len(attention)
    if not depth or not mlp_units or len(mlp_units) % depth or not widths:
        raise _OtherArchitecture(
            f"it has {depth} attention layers, {len(mlp_units)} dense layers among them and "
            f"{len(widths)} after them"
        )
    input_size = int(model.inputs[0].shape[1])
    try:
        return ModelConfig(
            input_size=input_size,
            image_size=resizing[0].size if resizing else input_size,
            patch_size=tokenizer.patch_size,
            dim=tokenizer.dim,
            num_heads=attention[0].num_heads,
            key_dim=attention[0].key_dim,
            depth=depth,
            mlp_units=tuple(mlp_units[: len(mlp_units) // depth]),
            attention_dropout=attention[0].dropout,
            mlp_dropout=_dropout_rate(encoder),
            head="flatten" if isinstance(pooling, keras.layers.Flatten) else "mean",
            head_units=tuple(widths[:-1]),
            head_dropout=_dropout_rate(head),
            layer_norm_epsilon=tokenizer.epsilon,
            num_classes=widths[-1],
        )
    except UsageError as error:
        raise _OtherArchitecture(str(error).rstrip(".")) from error


def _of(layers: list[Any], *kinds: type) -> list[Any]:
    return [layer for layer in layers if isinstance(layer, kinds)]


def _only(model: keras.Model, *kinds: type) -> Any:
    found = _of(model.layers, *kinds)
    if len(found) != 1:
        names = " or ".join(kind.__name__ for kind in kinds)
        raise _OtherArchitecture(f"it has {len(found) or 'no'} layers {names}, not one")
    return found[0]


def _dropout_rate(layers: list[Any]) -> float:
    # A noise shape tells drop path, which is no part of the architecture.
    rates = [layer.rate for layer in _of(layers, keras.layers.Dropout) if not layer.noise_shape]
    return rates[0] if rates else 0.0


def _rebuild(source: keras.Model, config: ModelConfig) -> keras.Model:
    """Returns a model of the configuration with the source's weights, which answers as the source does.

    The answers are compared because layers do not tell how they are wired.
    """
    low = _only(source, ShiftedPatchTokenizer).compute_dtype == "bfloat16"
    with policy("bfloat16" if low else "float32"):
        model = build_classifier(config)
    theirs, own = ([layer for layer in m.layers if layer.weights] for m in (source, model))
    if len(theirs) != len(own):
        raise _OtherArchitecture(f"it has {len(theirs)} layers with weights, not {len(own)}")
    for source_layer, layer in zip(theirs, own, strict=True):
        shapes, wanted = ([tuple(w.shape) for w in one.weights] for one in (source_layer, layer))
        if shapes != wanted:
            raise _OtherArchitecture(
                f"its layer {source_layer.name} has weights of shapes {shapes}, not {wanted}"
            )
        values = source_layer.get_weights()
        if isinstance(layer, keras.layers.Normalization):
            set_normalization(model, *values[:2])
        else:
            layer.set_weights(values)
    _check_answers(source, model)
    return model


def _check_answers(source: keras.Model, model: keras.Model) -> None:
    size = int(source.inputs[0].shape[1])
    images = np.random.default_rng(0).integers(0, 256, (_TRIAL_IMAGES, size, size, 3), np.uint8)
    theirs, logits = predict_logits(source, images), predict_logits(model, images)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    # Of a source that ends in a softmax the logits before it are taken.
    difference = min(
        float(np.abs(theirs - own).max()) / max(float(np.abs(theirs).max()), 1e-6)
        for own in (logits, powers / powers.sum(axis=1, keepdims=True))
    )
    # Written so that NaN fails.
    if not difference <= _AGREEMENT:
        raise _OtherArchitecture(
            f"its weights fit, but it answers otherwise (by {difference:.2g} of the largest score)"
        )
