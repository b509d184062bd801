"""What the exporter of a format has to offer."""

import abc
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from vitsd_export.artifact.formats import ArtifactFormat
from vitsd_export.artifact.manifest import Manifest

if TYPE_CHECKING:
    # At run time the import would bring up TensorFlow before its backend is chosen.
    from vitsd_export.lowering.inference_graph import InferenceGraph


@dataclasses.dataclass(frozen=True)
class WriteOptions:
    """How an artifact is written, whatever its numeric scheme.

    Attributes:
        batch: Images in a call; None to leave it open.
        opset: ONNX operator set; None leaves the choice to the exporter.
    """

    batch: int | None = None
    opset: int | None = None


class Exporter(abc.ABC):
    """Writes artifacts of one format. Importing it imports no runtime and no converter.

    Attributes:
        form: The format.
        runs_on: What runs its float32 artifacts.
        default_batch: Images in a call unless another number is asked for; None to leave it open.
        keeps_float32: Whether a float32 artifact takes so long that several schemes share one.
    """

    form: ClassVar[ArtifactFormat]
    runs_on: ClassVar[str]
    default_batch: ClassVar[int | None] = None
    keeps_float32: ClassVar[bool] = False

    def check(self, options: WriteOptions) -> None:  # noqa: B027  most formats take all options
        """Checks options before time is spent on them.

        Raises:
            UsageError: If the format cannot be written with them.
        """

    @abc.abstractmethod
    def write(self, graph: "InferenceGraph", path: Path, options: WriteOptions) -> None:
        """Writes a float32 artifact without a manifest.

        Raises:
            InputError: If the model holds an operation that the format cannot express.
            UsageError: If the options do not fit the model.
        """

    def conform(self, path: Path, manifest: Manifest) -> None:  # noqa: B027  most formats need none
        """Makes an artifact right for every runtime of the format. It runs before verification.

        Args:
            path: A bare artifact of any scheme, whoever wrote it.
            manifest: What it is.

        Raises:
            InputError: If the format cannot hold it.
        """

    @abc.abstractmethod
    def embed_manifest(self, path: Path, manifest: Manifest) -> None:
        """Puts the manifest and the labels into an artifact that has none yet."""

    def tools(self, graph: "InferenceGraph") -> tuple[str, ...]:
        """Returns the distributions that take part in writing this graph, beside Keras and TensorFlow."""
        return ()

    def describe(self, graph: "InferenceGraph", options: WriteOptions) -> dict[str, Any]:
        """Returns the options as the manifest tells them."""
        return {"batch": options.batch}
