"""Runs a .keras file as its users would: compiled, on the TensorFlow or the JAX backend."""

import abc
import importlib.metadata
import os
from pathlib import Path
from typing import Any

import numpy as np

from vitsd_export.runtimes.base import ImageRunner
from vitsd_export.runtimes.delegation import Delegation
from vitsd_export.runtimes.tensorflow_delegation import read_delegation


class _CompiledKerasRunner(ImageRunner):
    """A Keras model, compiled; its backend is the process's."""

    backend: str

    @classmethod
    def open(cls, path: Path, *, threads: int | None, batch_size: int) -> "_CompiledKerasRunner":
        """Opens a file; the process's threads are those that `prepare` set."""
        return cls(path, batch_size=batch_size)

    def __init__(self, path: Path, *, batch_size: int) -> None:
        # Not above: the backend is chosen before Keras is imported.
        import keras

        from vitsd_export.runtimes.keras_runner import tensor_info
        from vitsd_export.sources.checkpoint import answers_probabilities, load_model
        from vitsd_export.sources.location import locate

        loaded = load_model(locate(path))
        model = loaded.model
        super().__init__(
            name=f"keras {keras.__version__} ({keras.config.backend()})",
            path=path,
            manifest=None,
            inputs=tuple(tensor_info(tensor) for tensor in model.inputs),
            outputs=tuple(tensor_info(tensor) for tensor in model.outputs),
            batch_size=batch_size,
        )
        self.output_meaning = "probabilities" if answers_probabilities(loaded) else "logits"
        self._model = model
        self._call = self._compile(model)

    @abc.abstractmethod
    def _compile(self, model: Any) -> Any:
        """Returns a compiled function from pixels to a tensor of answers."""

    def _run_batch(self, pixels: np.ndarray) -> np.ndarray:
        return np.asarray(self._call(pixels.astype(self._input.dtype, copy=False)), np.float32)

    def _release(self) -> None:
        del self._call, self._model


class KerasTensorFlowRunner(_CompiledKerasRunner):
    """A Keras model on TensorFlow, in a `tf.function`."""

    packages = ("keras", "tensorflow")
    formats = ("keras",)

    @classmethod
    def prepare(cls, threads: int) -> None:
        """Imports Keras on TensorFlow and sets the process's threads."""
        from vitsd_export._internal.tensorflow import set_tensorflow_threads, use_tensorflow

        set_tensorflow_threads(threads)
        use_tensorflow()

    def _compile(self, model: Any) -> Any:
        from vitsd_export._internal.tensorflow import import_tensorflow

        tf = import_tensorflow()
        signature = tf.TensorSpec((None, *self._input.shape[1:]), self._input.dtype)
        compiled = tf.function(
            lambda pixels: model(pixels, training=False), input_signature=[signature]
        )
        return lambda pixels: compiled(tf.constant(pixels)).numpy()

    def delegation(self) -> Delegation | None:
        """Returns on what device TensorFlow ran the nodes, of the model compiled once more."""
        again = self._compile(self._model)
        pixels = np.zeros((1, self.image_size, self.image_size, 3), self._input.dtype)
        return read_delegation(lambda: again(pixels))


class KerasJaxRunner(_CompiledKerasRunner):
    """A Keras model on JAX, in a `jax.jit`; each batch size is compiled by itself."""

    packages = ("keras", "jax", "jaxlib")
    formats = ("keras",)

    @classmethod
    def prepare(cls, threads: int) -> None:
        """Imports Keras on JAX. Its threads follow the cores that the process is bound to."""
        os.environ["KERAS_BACKEND"] = "jax"
        os.environ["JAX_PLATFORMS"] = "cpu"
        # Keras would go on to import it in any case, and say less clearly what is missing.
        importlib.metadata.version("jax")
        import jax
        import keras  # noqa: F401

        jax.devices()

    def _compile(self, model: Any) -> Any:
        import jax

        weights = [variable.value for variable in model.trainable_variables]
        others = [variable.value for variable in model.non_trainable_variables]

        @jax.jit
        def compiled(weights: Any, others: Any, pixels: Any) -> Any:
            return model.stateless_call(weights, others, pixels, training=False)[0]

        return lambda pixels: compiled(weights, others, pixels)
