"""What all runners have in common: input checks, batching and softmax."""

import abc
import functools
import importlib.metadata
from collections.abc import Callable
from pathlib import Path
from typing import Literal, Self, cast

import numpy as np

from vitsd_export._internal.messages import first_line
from vitsd_export.artifact.manifest import Manifest
from vitsd_export.artifact.tensor_info import TensorInfo
from vitsd_export.data.labels import default_labels
from vitsd_export.errors import InputError, UsageError
from vitsd_export.runtimes.delegation import Delegation

OutputMeaning = Literal["probabilities", "logits"]

DEFAULT_BATCH_SIZE = 64

# Rows of an 8-bit softmax add up to 1 only within their rounding; logits never come this close by
# chance.
_ROW_SUM_TOLERANCE = 0.05


def softmax(logits: np.ndarray) -> np.ndarray:
    """Returns the softmax over the last axis, computed in float64, as float32.

    A row that holds NaN or +∞ gives NaN, without a warning.
    """
    wide = logits.astype(np.float64)
    with np.errstate(invalid="ignore"):
        powers = np.exp(wide - wide.max(axis=-1, keepdims=True))
    shares: np.ndarray = powers / powers.sum(axis=-1, keepdims=True)
    return shares.astype(np.float32)


class ImageRunner(abc.ABC):
    """A classifier in some runtime.

    A subclass opens its runtime, tells this base what the file declares, and runs one batch. Unless it
    overrides `open`, its constructor takes the same arguments.

    Attributes:
        name: Runtime and version, such as `onnxruntime 1.31.1`.
        path: File or folder the classifier came from; None if it was in memory.
        manifest: Manifest inside the artifact; None if it has none.
        labels: Class names in the order of the output: the manifest's, else the usual ones.
        image_size: Height and width of the input images, in pixels.
        num_classes: Number of outputs.
        fixed_batch: Batch size the file insists on; None if it takes any.
        packages: Packages whose versions a figure of this runtime depends on.
        formats: Formats of the artifacts that it runs: `onnx`, `tflite`, `saved_model`, `keras`, or another.

    Args:
        name: Runtime and version.
        path: File or folder of the classifier; None if it is in memory.
        manifest: Manifest inside the artifact, if it has one.
        inputs: The inputs the file declares.
        outputs: The outputs the file declares.
        batch_size: Images in a batch where the batch dimension is dynamic.
        input_dtypes: Element types the runtime's runner can feed.

    Raises:
        InputError: If the file is not a classifier of square RGB images.
        UsageError: If `batch_size` is below 1.
    """

    packages: tuple[str, ...] = ()
    formats: tuple[str, ...] = ()

    @classmethod
    def prepare(cls, threads: int) -> None:
        """Imports the runtime, in a process of its own that a benchmark has started for it.

        Where threads belong to the process and not to a model, this sets them.

        Args:
            threads: Threads that the runtime may use.

        Raises:
            ImportError: If a package is missing.
        """
        for package in cls.packages:
            importlib.metadata.version(package)

    @classmethod
    def open(cls, path: Path, *, threads: int | None, batch_size: int) -> "ImageRunner":
        """Opens a file as it is: one that has been checked, or in a process that has nothing to lose.

        Args:
            path: The artifact.
            threads: Threads of the runtime; its own choice when None.
            batch_size: Images in a batch where the artifact's batch dimension is dynamic.

        Raises:
            InputError: If the artifact cannot be used.
        """
        make: Callable[..., ImageRunner] = cls
        return make(path, threads=threads, batch_size=batch_size)

    def delegation(self) -> Delegation | None:
        """Returns what really ran the graph, asked of the runtime; None where it cannot be asked.

        This may run the graph again, in another session.
        """
        return None

    # Exceptions by which the runtime refuses a batch; set by the subclass.
    _runtime_errors: tuple[type[BaseException], ...] = ()

    def __init__(
        self,
        *,
        name: str,
        path: Path | None,
        manifest: Manifest | None,
        inputs: tuple[TensorInfo, ...],
        outputs: tuple[TensorInfo, ...],
        batch_size: int = DEFAULT_BATCH_SIZE,
        input_dtypes: tuple[str, ...] = ("uint8", "float32"),
    ) -> None:
        if batch_size < 1:
            raise UsageError(f"The batch size must be at least 1, not {batch_size}.")
        self.name = name
        self.path = path
        self.manifest = manifest
        self._where = str(path) if path is not None else "The model"
        self.fixed_batch, self.image_size = self._check_inputs(inputs, input_dtypes)
        self._input = inputs[0]
        self.num_classes = self._check_outputs(outputs)
        self._output = outputs[0]
        self._batch_size = self.fixed_batch or batch_size
        self._closed = False
        named = manifest.labels if manifest is not None else ()
        self.labels = named or default_labels(self.num_classes)
        if len(self.labels) != self.num_classes:
            raise InputError(
                f"{self._where} gives {self.num_classes} numbers an image, but its manifest names "
                f"{len(named)} classes. Export it again."
            )

    def _check_inputs(
        self, inputs: tuple[TensorInfo, ...], dtypes: tuple[str, ...]
    ) -> tuple[int | None, int]:
        expected = (
            f"Expected one input of shape [N, size, size, 3] and type {' or '.join(dtypes)} "
            "(RGB pixels 0–255, channels last). Export the model with vitsd-export."
        )
        if len(inputs) != 1:
            names = ", ".join(repr(info.name) for info in inputs) or "none"
            raise InputError(f"{self._where} has {len(inputs)} inputs ({names}). {expected}")
        info = inputs[0]
        if len(info.shape) != 4 or info.dtype not in dtypes:
            raise InputError(f"{self._where} has the input {info}. {expected}")
        batch, height, width, channels = info.shape
        if height is None or height < 1 or height != width or channels != 3:
            raise InputError(f"{self._where} has the input {info}. {expected}")
        return batch, height

    def _check_outputs(self, outputs: tuple[TensorInfo, ...]) -> int:
        expected = "Expected one output of shape [N, classes]. Export the model with vitsd-export."
        if len(outputs) != 1:
            names = ", ".join(repr(info.name) for info in outputs) or "none"
            raise InputError(f"{self._where} has {len(outputs)} outputs ({names}). {expected}")
        info = outputs[0]
        classes = info.shape[-1] if len(info.shape) == 2 else None
        if classes is None or classes < 1:
            raise InputError(f"{self._where} has the output {info}. {expected}")
        return classes

    @functools.cached_property
    def output_meaning(self) -> OutputMeaning:
        """What `run` returns: `probabilities` or `logits`.

        The manifest says it, or the output's name. A file that says neither is run on a grey image:
        an answer without negative numbers that adds up to 1 is taken for probabilities.
        """
        meaning = self.manifest.output.meaning if self.manifest is not None else ""
        if meaning in ("probabilities", "logits"):
            return cast(OutputMeaning, meaning)
        name = self._output.name.lower()
        if "logit" in name:
            return "logits"
        if "prob" in name or "softmax" in name:
            return "probabilities"
        grey = np.full((1, self.image_size, self.image_size, 3), 128, np.uint8)
        answer = self.run(grey)[0].astype(np.float64)
        adds_up = abs(answer.sum() - 1) <= _ROW_SUM_TOLERANCE
        return "probabilities" if adds_up and (answer >= 0).all() else "logits"

    def run(self, images: np.ndarray) -> np.ndarray:
        """Returns the raw output of images, in the artifact's own meaning.

        Where the file fixes the batch, the last batch is padded with black images, whose answers
        are dropped.

        Args:
            images: [N, size, size, 3] uint8 RGB pixels; any N, 0 too.

        Returns:
            [N, classes] float32.

        Raises:
            InputError: If the images have another shape or type, or the runtime fails on them.
            ValueError: If the runner is closed.
        """
        if self._closed:
            raise ValueError("The runner is closed.")
        size = self.image_size
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != (size, size, 3):
            raise InputError(
                f"{self._where} expects images as a uint8 array of shape [N, {size}, {size}, 3], "
                f"RGB pixels 0–255; got {images.dtype} {list(images.shape)}. Resize the images to "
                f"{size} × {size} pixels and do not scale their values."
            )
        answers = np.empty((len(images), self.num_classes), np.float32)
        for start in range(0, len(images), self._batch_size):
            chunk = np.ascontiguousarray(images[start : start + self._batch_size])
            rows = len(chunk)
            if self.fixed_batch is not None and rows < self.fixed_batch:
                padding = np.zeros((self.fixed_batch - rows, size, size, 3), np.uint8)
                chunk = np.concatenate([chunk, padding])
            answers[start : start + rows] = self._checked_batch(chunk)[:rows]
        return answers

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Does what `run` does."""
        return self.run(images)

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """Returns probabilities, [N, classes] float32: what `run` gives, or the softmax of it.

        Raises:
            InputError: As `run` does.
        """
        answers = self.run(images)
        return softmax(answers) if self.output_meaning == "logits" else answers

    def close(self) -> None:
        """Releases the runtime's memory; the runner cannot be run after that."""
        if not self._closed:
            self._closed = True
            self._release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _checked_batch(self, pixels: np.ndarray) -> np.ndarray:
        try:
            answers = self._run_batch(pixels)
        except self._runtime_errors as error:
            raise InputError(
                f"{self._where} fails in {self.name} on a batch of {len(pixels)} images: "
                f"{first_line(error)} Export it again."
            ) from error
        if answers.shape != (len(pixels), self.num_classes):
            raise InputError(
                f"{self._where} declares the output {self._output}, but answers {len(pixels)} "
                f"images with an array of shape {list(answers.shape)}. Export it again."
            )
        return answers

    @abc.abstractmethod
    def _run_batch(self, pixels: np.ndarray) -> np.ndarray:
        """Runs one batch of uint8 pixels, of the fixed size if there is one; returns floats."""

    @abc.abstractmethod
    def _release(self) -> None:
        """Drops the references to the runtime's objects."""
