"""The published architecture in narrow: images are enlarged inside, tokens flattened, 100 classes."""

from pathlib import Path

import pytest

from tests.support.keras_models import write_small_model
from vitsd_export.artifact.inspection import inspect_artifact
from vitsd_export.data.labels import CIFAR100_FINE_CLASSES
from vitsd_export.workflows.export import Export, Target


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Export:
    """Exports of it."""
    model = write_small_model(
        tmp_path_factory.mktemp("published") / "narrow.keras",
        image_size=72,
        patch_size=6,
        key_dim=16,
        attention_dropout=0.1,
        mlp_dropout=0.1,
        head="flatten",
        head_units=(32, 24),
        head_dropout=0.5,
        num_classes=100,
    )
    return Export(model)


@pytest.mark.parametrize(
    "target",
    [
        Target("onnx", Path("x.onnx")),
        Target("onnx", Path("oldest.onnx"), opset=13),
        Target("onnx", Path("half.onnx"), "float16"),
        Target("tflite", Path("x.tflite")),
        Target("saved_model", Path("x")),
    ],
    ids=lambda target: target.path.name,
)
def test_it_passes_its_gate_in_every_format(
    export: Export, target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = export.run(target)
    assert result.verification is not None
    assert result.verification.passed
    info = inspect_artifact(target.path)
    assert info.graph.inputs[0].shape[1:] == (32, 32, 3)
    assert info.manifest is not None
    assert info.manifest.labels == CIFAR100_FINE_CLASSES
    assert info.graph.custom_ops == ()
