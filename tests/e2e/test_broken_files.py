"""The gate of 8-bit files: good ones of a sure and of an unsure model pass, those with one fault do not."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from tests.support.broken_files import (
    FAULTS,
    break_litert,
    break_onnx,
    quantized_litert_layers,
    quantized_onnx_layers,
)
from tests.support.command_line import Artifacts
from tests.support.keras_models import TINY_MODEL
from vitsd_export.data.dataset import ImageDataset
from vitsd_export.data.sample import load_sample
from vitsd_export.measure.gates import Verification
from vitsd_export.runtimes import open_runner
from vitsd_export.workflows.export import Export, Target
from vitsd_export.workflows.verify import Reference, ReferenceAnswers, judge

# The layers in which a fault changes the answers least are among these.
ONNX_LAYERS = ("block0/attention/query", "block3/mlp/dense0", "block4/attention/query", "logits")
LITERT_LAYERS = ("block0/attention/key1", "block1/mlp/dense0", "block3/attention/key1", "logits")
# Two of a hundred and more channels inside the network may change places and hardly anyone would notice, as
# rounding does: their divergence is that of a good file. Two classes are another matter.
FAULTY = [(layer, fault) for layer in range(4) for fault in FAULTS if fault != "swapped channel"]
FAULTY.append((3, "swapped channel"))
NOISE, TEMPERATURE = 0.7, 0.6


@dataclasses.dataclass(frozen=True)
class Subject:
    """A model and its int8 files."""

    answers: ReferenceAnswers
    labels: tuple[str, ...]
    onnx: bytes
    litert: bytes
    full_int8: bytes

    def judge(self, content: bytes, folder: Path, scheme: str = "int8") -> Verification:
        path = folder / ("x.tflite" if content[4:8] == b"TFL3" else "x.onnx")
        path.write_bytes(content)
        with open_runner(path, trusted=True) as runner:
            probabilities = runner.probabilities(self.answers.data.images)
        return judge(probabilities, self.answers, scheme, self.labels)


def training_images() -> ImageDataset:
    return load_sample("calibration").subset(np.arange(200))


@pytest.fixture(scope="module")
def sure(exported: Artifacts, tmp_path_factory: pytest.TempPathFactory) -> Subject:
    """The bundled model."""
    path = tmp_path_factory.mktemp("sure") / "full.tflite"
    Export(TINY_MODEL, verify=False).run(Target("tflite", path, "full-int8"))
    reference = Reference.load(TINY_MODEL)
    labels = reference.loaded.labels
    assert labels is not None
    files = (each.read_bytes() for each in (exported.onnx_int8, exported.int8, path))
    return Subject(reference.answers(training_images()), labels, *files)


@pytest.fixture(scope="module")
def unsure(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    """The bundled model with noise in its weights: half of its answers are right, and most are near ties."""
    from vitsd_export.model.config import preset_config
    from vitsd_export.sources.checkpoint import write_model

    folder = tmp_path_factory.mktemp("unsure")
    model: Any = Reference.load(TINY_MODEL).loaded.model
    rng = np.random.default_rng(0)
    weights = [
        each + NOISE * each.std() * rng.standard_normal(each.shape) if each.ndim > 1 else each
        for each in model.get_weights()
    ]
    model.set_weights(weights)
    logits = model.get_layer("logits")
    logits.set_weights([TEMPERATURE * each for each in logits.get_weights()])
    labels = load_sample("calibration").class_names
    path = folder / "unsure.keras"
    write_model(model, preset_config("vit-tiny"), path, {"labels": list(labels)})
    export = Export(path, verify=False)
    targets = [
        Target("onnx", folder / "int8.onnx", "int8"),
        Target("tflite", folder / "int8.tflite", "int8"),
        Target("tflite", folder / "full.tflite", "full-int8"),
    ]
    files = [export.run(target).path.read_bytes() for target in targets]
    answers = Reference.load(path).answers(training_images())
    return Subject(answers, labels, *files)


@pytest.fixture(params=["sure", "unsure"])
def subject(request: pytest.FixtureRequest) -> Subject:
    found: Subject = request.getfixturevalue(request.param)
    return found


def test_good_files_pass_with_room(subject: Subject, tmp_path: Path) -> None:
    for content, scheme in (
        (subject.onnx, "int8"),
        (subject.litert, "int8"),
        (subject.full_int8, "full-int8"),
    ):
        verification = subject.judge(content, tmp_path, scheme)
        assert verification.passed
        (divergence,) = (each for each in verification.checks if each.unit == "nats")
        assert divergence.value < divergence.limit / 2
        assert verification.parity.sure_agreeing >= verification.parity.sure - 1


def test_the_unsure_model_is_unsure(unsure: Subject, tmp_path: Path) -> None:
    parity = unsure.judge(unsure.onnx, tmp_path).parity
    assert parity.reference_top1 is not None
    assert 0.35 < parity.reference_top1 < 0.65
    assert parity.sure < 0.8 * parity.images


@pytest.mark.parametrize(("layer", "fault"), FAULTY)
def test_a_broken_onnx_file_is_refused(
    subject: Subject, tmp_path: Path, layer: int, fault: str
) -> None:
    model = onnx.load_model_from_string(subject.onnx)
    name = ONNX_LAYERS[layer]
    assert name in quantized_onnx_layers(model)
    broken = break_onnx(model, name, fault).SerializeToString()
    assert not subject.judge(broken, tmp_path).passed


@pytest.mark.parametrize(("layer", "fault"), FAULTY)
def test_a_broken_litert_file_is_refused(
    subject: Subject, tmp_path: Path, layer: int, fault: str
) -> None:
    name = LITERT_LAYERS[layer]
    assert name in quantized_litert_layers(subject.litert)
    broken = break_litert(subject.litert, name, fault)
    assert len(broken) == len(subject.litert)
    assert not subject.judge(broken, tmp_path).passed


@pytest.mark.parametrize("fault", FAULTS)
def test_a_broken_full_int8_file_is_refused(subject: Subject, tmp_path: Path, fault: str) -> None:
    broken = break_litert(subject.full_int8, "logits", fault)
    assert not subject.judge(broken, tmp_path, "full-int8").passed


BREAKERS: dict[str, Callable[[bytes], bytes]] = {
    "onnx": lambda content: break_onnx(
        onnx.load_model_from_string(content), "block3/mlp/dense0", "wrong zero point"
    ).SerializeToString(),
    "litert": lambda content: break_litert(content, "block1/mlp/dense0", "wrong zero point"),
}


@pytest.mark.parametrize("format", list(BREAKERS))
def test_what_is_refused_is_refused_by_the_divergence(
    unsure: Subject, tmp_path: Path, format: str
) -> None:
    content = unsure.onnx if format == "onnx" else unsure.litert
    verification = unsure.judge(BREAKERS[format](content), tmp_path)
    assert "mean KL divergence" in [check.name for check in verification.failures]
