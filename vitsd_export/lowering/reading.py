"""Reads the inference graph out of a Keras model."""

from typing import Any

import keras
import numpy as np

from vitsd_export.lowering.graph import (
    Array,
    Attention,
    Block,
    Dense,
    Graph,
    Head,
    LayerNorm,
    PatchTokenizer,
)
from vitsd_export.model.layers import (
    BilinearResize,
    LocalitySelfAttention,
    PositionEmbedding,
    ShiftedPatchTokenizer,
)

# Layers that do nothing at inference.
_TRAINING_ONLY = (
    keras.layers.Dropout,
    keras.layers.SpatialDropout1D,
    keras.layers.GaussianDropout,
    keras.layers.GaussianNoise,
    keras.layers.ActivityRegularization,
    keras.layers.RandomBrightness,
    keras.layers.RandomContrast,
    keras.layers.RandomFlip,
    keras.layers.RandomRotation,
    keras.layers.RandomTranslation,
    keras.layers.RandomZoom,
)

# A kernel of more numbers is left in float32: in float64 it would double what an export takes of memory,
# and the one product that a rewrite makes of each of its numbers is rounded once either way.
_LARGE = 1 << 20


class OtherArchitecture(Exception):
    """A model cannot be lowered as a vision transformer; the message says where it differs."""


def read_graph(model: keras.Model, *, all_float64: bool = False) -> Graph:
    """Reads a model that `build_classifier` has built, or one that is wired like it.

    With `all_float64` large kernels are read in float64 like everything else.

    Raises:
        OtherArchitecture: If it is anything else.
    """
    return _Reader(model, all_float64).graph()


class _Reader:
    """A walk along the layers of a functional model.

    Attributes:
        tensor: Where the walk has got to.
    """

    def __init__(self, model: keras.Model, all_float64: bool) -> None:
        if not isinstance(model, keras.Model) or not hasattr(model, "operations"):
            raise OtherArchitecture("it is not a functional model")
        self._model = model
        self._large = None if all_float64 else _LARGE
        self._consumers: dict[int, list[Any]] = {}
        for layer in model.operations:
            if isinstance(layer, keras.layers.InputLayer):
                continue
            if not isinstance(layer, keras.layers.Layer) or len(layer._inbound_nodes) != 1:
                raise OtherArchitecture(f"{layer.name} is not a layer that is used exactly once")
            if layer.compute_dtype != "float32":
                raise OtherArchitecture(f"{layer.name} computes in {layer.compute_dtype}")
            for tensor in keras.tree.flatten(layer.input):
                self._consumers.setdefault(id(tensor), []).append(layer)
        self.tensor = model.inputs[0]

    def graph(self) -> Graph:
        tokenizer = self._tokenizer()
        blocks = []
        while (block := self._block()) is not None:
            blocks.append(block)
        norm = self._layer_norm(self._expect(keras.layers.LayerNormalization))
        head = self._head()
        last = self._accept(keras.layers.Softmax, keras.layers.Activation)
        if isinstance(last, keras.layers.Activation) and (
            last.activation is not keras.activations.softmax
        ):
            raise OtherArchitecture(f"{last.name} after the logits is not a softmax")
        if self.tensor is not self._model.outputs[0] or self._following():
            raise OtherArchitecture("it goes on after the logits")
        return Graph(tokenizer, tuple(blocks), norm, head, softmax=last is not None)

    # The walk.

    def _following(self) -> list[Any]:
        layers = self._consumers.get(id(self.tensor), [])
        while len(layers) == 1 and isinstance(layers[0], _TRAINING_ONLY):
            self.tensor = layers[0].output
            layers = self._consumers.get(id(self.tensor), [])
        return layers

    def _accept(self, *kinds: type) -> Any:
        """Goes through the next layer if it is the only one and of these kinds; else returns None."""
        layers = self._following()
        if len(layers) != 1 or type(layers[0]) not in kinds:
            return None
        self.tensor = layers[0].output
        return layers[0]

    def _expect(self, kind: type) -> Any:
        layer = self._accept(kind)
        if layer is None:
            found = ", ".join(layer.name for layer in self._following()) or "nothing"
            raise OtherArchitecture(f"it has {found} where {kind.__name__} was expected")
        return layer

    def _branch(self, kind: type) -> Any:
        """Goes into the layer of a kind that opens a residual branch."""
        layers = self._following()
        branches: list[Any] = [layer for layer in layers if type(layer) is kind]
        if len(layers) != 2 or len(branches) != 1:
            raise OtherArchitecture(f"{_names(layers)} do not form a residual branch")
        self.tensor = branches[0].output
        return branches[0]

    def _join(self, stream: Any) -> None:
        """Goes through the addition that closes a residual branch."""
        add = self._expect(keras.layers.Add)
        if all(tensor is not stream for tensor in add.input) or len(add.input) != 2:
            raise OtherArchitecture(f"{add.name} does not add the residual stream")

    # The parts.

    def _tokenizer(self) -> PatchTokenizer:
        normalization = self._expect(keras.layers.Normalization)
        if tuple(normalization.axis) not in ((-1,), (3,)) or normalization.invert:
            raise OtherArchitecture(f"{normalization.name} does not normalise channels")
        input_size = int(self._model.inputs[0].shape[1])
        resize = self._accept(BilinearResize)
        layer = self._expect(ShiftedPatchTokenizer)
        positions = self._expect(PositionEmbedding)
        deviation = np.sqrt(_array(normalization.variance).ravel())
        return PatchTokenizer(
            input_size=input_size,
            image_size=resize.size if resize is not None else input_size,
            patch_size=layer.patch_size,
            mean=_array(normalization.mean).ravel(),
            deviation=np.maximum(deviation, keras.backend.epsilon()),
            norm=self._layer_norm(layer.norm),
            projection=self._dense(layer.projection),
            positions=_array(positions.embedding),
        )

    def _block(self) -> Block | None:
        """Reads a block; None if the residual stream does not branch any more."""
        if len(self._following()) < 2:
            return None
        stream = self.tensor
        attention_norm = self._layer_norm(self._branch(keras.layers.LayerNormalization))
        attention = self._attention(self._expect(LocalitySelfAttention))
        self._join(stream)
        stream = self.tensor
        mlp_norm = self._layer_norm(self._branch(keras.layers.LayerNormalization))
        mlp = []
        while (layer := self._accept(keras.layers.Dense)) is not None:
            _check_activation(layer, keras.activations.gelu)
            mlp.append(self._dense(layer))
        if not mlp:
            raise OtherArchitecture("a block has no MLP")
        self._join(stream)
        return Block(attention_norm, attention, mlp_norm, tuple(mlp))

    def _attention(self, layer: LocalitySelfAttention) -> Attention:
        return Attention(
            heads=layer.num_heads,
            temperature=float(_array(layer.tau)),
            query=self._dense(layer.query),
            key=self._dense(layer.key),
            value=self._dense(layer.value),
            output=self._dense(layer.projection),
        )

    def _head(self) -> Head:
        pooling = self._accept(keras.layers.Flatten, keras.layers.GlobalAveragePooling1D)
        if pooling is None:
            raise OtherArchitecture("its tokens are neither flattened nor averaged")
        dense: list[Any] = []
        while (layer := self._accept(keras.layers.Dense)) is not None:
            if dense:
                _check_activation(dense[-1], keras.activations.gelu)
            dense.append(layer)
        if not dense:
            raise OtherArchitecture("it has no logits layer")
        _check_activation(dense[-1], keras.activations.linear)
        *hidden, logits = map(self._dense, dense)
        kind = "flatten" if isinstance(pooling, keras.layers.Flatten) else "mean"
        return Head(kind, tuple(hidden), logits)  # type: ignore[arg-type]

    # The weights.

    def _dense(self, layer: keras.layers.Dense) -> Dense:
        wide = self._large is None or np.prod(layer.kernel.shape) <= self._large
        kernel = _array(layer.kernel, np.float64 if wide else np.float32)
        return Dense(kernel, _array(layer.bias) if layer.use_bias else None)

    def _layer_norm(self, layer: keras.layers.LayerNormalization) -> LayerNorm:
        axes = layer.axis if isinstance(layer.axis, list | tuple) else [layer.axis]
        if list(axes) not in ([-1], [2]) or getattr(layer, "rms_scaling", False):
            raise OtherArchitecture(f"{layer.name} does not normalise each token")
        return LayerNorm(
            epsilon=float(layer.epsilon),
            gamma=_array(layer.gamma) if layer.scale else None,
            beta=_array(layer.beta) if layer.center else None,
        )


def _array(value: Any, dtype: type = np.float64) -> Array:
    return np.asarray(keras.ops.convert_to_numpy(value)).astype(dtype, copy=False)


def _check_activation(layer: Any, wanted: Any) -> None:
    if layer.activation is not wanted:
        raise OtherArchitecture(f"{layer.name} has another activation than {wanted.__name__}")


def _names(layers: list[Any]) -> str:
    return ", ".join(layer.name for layer in layers) or "no layers"
