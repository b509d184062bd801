"""Comparison of artifacts with the Keras model they came from."""

import contextlib
import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from vitsd_export._internal.tensorflow import use_tensorflow
from vitsd_export.artifact.manifest import Manifest
from vitsd_export.data.dataset import ImageDataset
from vitsd_export.data.sample import choose_images
from vitsd_export.data.sources import load_images
from vitsd_export.errors import UsageError, VerificationError
from vitsd_export.measure.gates import Verification, check_parity, gate_for
from vitsd_export.measure.parity import compare
from vitsd_export.pretrained import bundled_names
from vitsd_export.quantization.schemes import BASELINE
from vitsd_export.runtimes import ImageRunner, open_runner
from vitsd_export.runtimes.base import OutputMeaning
from vitsd_export.sources.location import locate
from vitsd_export.sources.options import LoadingOptions

if TYPE_CHECKING:
    # At run time the import would bring up Keras before `use_tensorflow` has chosen its backend.
    from vitsd_export.sources.checkpoint import LoadedModel


@dataclasses.dataclass(frozen=True)
class Reference:
    """The Keras model that artifacts are compared with.

    Attributes:
        loaded: The model.
        answers_probabilities: Whether its output is a softmax already.
    """

    loaded: "LoadedModel"
    answers_probabilities: bool

    @classmethod
    def load(cls, model: str | Path, **loading: Unpack[LoadingOptions]) -> "Reference":
        """Loads a model on Keras's TensorFlow backend.

        Raises:
            InputError: If it cannot be used.
            EnvironmentProblem: If TensorFlow is missing.
        """
        location = locate(model)  # Before the seconds that TensorFlow takes.
        use_tensorflow()
        from vitsd_export.sources.checkpoint import answers_probabilities, load_model

        loaded = load_model(location, **loading)
        return cls(loaded, answers_probabilities(loaded))

    def answers(self, data: ImageDataset) -> "ReferenceAnswers":
        """Runs the model on images.

        Raises:
            VerificationError: If an answer is not a number: nothing can equal such a model.
        """
        from vitsd_export.runtimes.keras_runner import KerasRunner

        output: OutputMeaning = "probabilities" if self.answers_probabilities else "logits"
        with KerasRunner(self.loaded.model, output=output, path=self.loaded.path) as runner:
            probabilities = runner.probabilities(data.images)
        broken = int((~np.isfinite(probabilities).all(axis=1)).sum())
        if broken:
            raise VerificationError(
                f"The Keras model {self.loaded.path} itself answers {broken} of {len(data)} images with "
                "NaN or infinity, so no artifact of it can be verified. Its weights are damaged or its "
                "training diverged; train or save it again."
            )
        return ReferenceAnswers(data, probabilities)


@dataclasses.dataclass(frozen=True)
class ReferenceAnswers:
    """What the Keras model says about a set of images: `probabilities` are [N, classes] float32."""

    data: ImageDataset
    probabilities: np.ndarray


def judge(
    probabilities: np.ndarray,
    reference: ReferenceAnswers,
    scheme: str,
    labels: tuple[str, ...],
    *,
    low_rank: bool = False,
) -> Verification:
    """Checks an artifact's answers, [N, classes] float32, against the gate of its scheme.

    Args:
        labels: Class names of the model; accuracy is measured where they are those of the images.
        low_rank: Whether the artifact's head is of low rank.
    """
    data = reference.data
    parity = compare(reference.probabilities, probabilities, data.labels_for(labels))
    verification = check_parity(parity, scheme, low_rank=low_rank)
    return dataclasses.replace(verification, data=data.describe(labels))


@dataclasses.dataclass(frozen=True)
class Verified:
    """Outcome for one artifact.

    Attributes:
        path: The artifact.
        runtime: Name and version of the runtime it was run in.
        verification: The checks.
        same_source: Whether its manifest names the reference's file; None without a manifest.
    """

    path: Path
    runtime: str
    verification: Verification
    same_source: bool | None

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values for JSON."""
        return {
            "path": str(self.path),
            "runtime": self.runtime,
            "same_source": self.same_source,
            "verification": self.verification.to_dict(),
        }


def verify_all(
    artifacts: Sequence[Path],
    *,
    reference: str | None = None,
    data: str = "sample",
    data_dir: Path | None = None,
    scheme: str | None = None,
    progress: Callable[[str], None] = lambda _: None,
    **loading: Unpack[LoadingOptions],
) -> list[Verified]:
    """Compares artifacts with the model they were made from.

    Args:
        artifacts: ONNX or LiteRT files, SavedModel folders.
        reference: The model; the bundled one that the artifacts name when None.
        data: Test images: `sample` (bundled; see `choose_images`), `cifar10`, `cifar100`, or a folder.
        data_dir: Where CIFAR lies if `data` is its name.
        scheme: Whose limits apply; each artifact's own, or float32 without a manifest, when None.
        progress: Called with what is going on.
        **loading: How the reference is loaded.

    Raises:
        InputError: If an artifact, the reference or the images cannot be used.
        UsageError: If an artifact belongs to another model, or names none that is bundled.
        VerificationError: If the reference itself answers NaN.
        EnvironmentProblem: If TensorFlow is missing.
    """
    with contextlib.ExitStack() as stack:
        # All are opened before the minutes that the reference may take.
        runners = [stack.enter_context(open_runner(path)) for path in artifacts]
        gates = [
            scheme or (runner.manifest.scheme if runner.manifest else BASELINE)
            for runner in runners
        ]
        for gate in gates:
            gate_for(gate)
        names = [
            reference or bundled_source(path, runner.manifest)
            for path, runner in zip(artifacts, runners, strict=True)
        ]
        results = {}
        for name in dict.fromkeys(names):
            progress("loading the model")
            model = Reference.load(name, **loading)
            for path, runner, its in zip(artifacts, runners, names, strict=True):
                if its == name:
                    _check_belongs(path, runner, model)
            labels = model.loaded.labels or runners[names.index(name)].labels
            images = load_images(
                choose_images(data, labels),
                split="test",
                size=model.loaded.image_size,
                data_dir=data_dir,
            )
            progress(f"asking the Keras model about {len(images)} images: {images.source}")
            answers = model.answers(images)
            for path, runner, its, gate in zip(artifacts, runners, names, gates, strict=True):
                if its != name:
                    continue
                progress(f"verifying {path}")
                labels = model.loaded.labels or runner.labels
                verification = judge(
                    runner.probabilities(images.images),
                    answers,
                    gate,
                    labels,
                    low_rank=has_low_rank_head(runner.manifest),
                )
                same = None
                if runner.manifest is not None:
                    same = runner.manifest.source.get("sha256") == model.loaded.sha256
                results[path] = Verified(path, runner.name, verification, same)
    return [results[path] for path in artifacts]


def has_low_rank_head(manifest: Manifest | None) -> bool:
    """Returns whether an artifact's head is a product of two smaller layers."""
    return manifest is not None and manifest.options.get("head", {}).get("rank") is not None


def bundled_source(path: Path, manifest: Manifest | None) -> str:
    """Returns the name of the bundled model that an artifact was made from.

    Raises:
        UsageError: If it was made from another model, or has no manifest.
    """
    name = str(manifest.source.get("name")) if manifest is not None else ""
    if name not in bundled_names():
        raise UsageError(
            f"{path} was not made from a bundled model. Name its model with --reference."
        )
    return name


def _check_belongs(path: Path, runner: ImageRunner, reference: Reference) -> None:
    loaded = reference.loaded
    if (runner.image_size, runner.num_classes) != (loaded.image_size, loaded.num_classes):
        raise UsageError(
            f"{path} takes images of {runner.image_size} pixels and has {runner.num_classes} classes; "
            f"the reference {loaded.path} takes {loaded.image_size} and has {loaded.num_classes}. "
            "Give the model it was made from as --reference."
        )
