"""The servers' configurations are of their own formats, and say what the artifact says."""

import dataclasses
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import tritonclient
from google.protobuf import text_format
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from tests.support.command_line import Artifacts, run_command
from tests.support.keras_models import TINY_MODEL
from tests.support.tiny_artifacts import tiny_manifest, write_onnx
from vitsd_export.artifact.manifest import TensorSpec
from vitsd_export.data.labels import CIFAR10_CLASSES
from vitsd_export.deploy.serving_config import triton_config
from vitsd_export.errors import InputError
from vitsd_export.runtimes import open_runner


@pytest.fixture(scope="module")
def triton() -> ModuleType:
    """Triton's message types; tritonclient.grpc itself would need grpcio."""
    name = "triton_model_config_pb2"
    path = Path(tritonclient.__path__[0]) / "grpc" / "model_config_pb2.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def test_triton_gets_its_repository(
    exported: Artifacts, triton: ModuleType, tmp_path: Path
) -> None:
    folder = tmp_path / "models"
    outcome = run_command("serving-config", "triton", exported.onnx, "-o", folder)
    assert outcome.exit_code == 0, outcome.stderr
    name = TINY_MODEL
    assert (folder / name / "1" / "model.onnx").read_bytes() == exported.onnx.read_bytes()
    text = (folder / name / "config.pbtxt").read_text()
    config = text_format.Parse(text, triton.ModelConfig())
    assert (config.name, config.backend) == (name, "onnxruntime")
    assert config.default_model_filename == "model.onnx"
    assert config.max_batch_size > 1
    with open_runner(exported.onnx) as runner:
        size, classes, labels = runner.image_size, runner.num_classes, runner.labels
    (image,), (answer,) = config.input, config.output
    assert (image.name, image.data_type) == ("image", triton.TYPE_UINT8)
    assert list(image.dims) == [size, size, 3]
    assert (answer.name, answer.data_type) == ("probabilities", triton.TYPE_FP32)
    assert list(answer.dims) == [classes]
    written = (folder / name / answer.label_filename).read_text().splitlines()
    assert tuple(written) == labels == CIFAR10_CLASSES
    assert config.dynamic_batching.max_queue_delay_microseconds > 0
    assert [group.kind for group in config.instance_group] == [triton.ModelInstanceGroup.KIND_CPU]


def test_triton_makes_no_batches_for_a_fixed_one(triton: ModuleType) -> None:
    manifest = dataclasses.replace(
        tiny_manifest("onnx"),
        input=TensorSpec("pixels", "float32", (4, 8, 8, 3), "pixels 0-255 RGB"),
        output=TensorSpec("logits", "float32", (4, 10), "logits"),
    )
    config = text_format.Parse(triton_config(manifest, "four"), triton.ModelConfig())
    assert config.max_batch_size == 0
    assert not config.HasField("dynamic_batching")
    assert (config.input[0].name, list(config.input[0].dims)) == ("pixels", [4, 8, 8, 3])
    assert config.input[0].data_type == triton.TYPE_FP32
    assert (config.output[0].name, list(config.output[0].dims)) == ("logits", [4, 10])


def test_a_type_that_triton_lacks_is_refused() -> None:
    spec = TensorSpec("pixels", "bfloat16", (None, 8, 8, 3), "pixels 0-255 RGB")
    with pytest.raises(InputError, match="bfloat16"):
        triton_config(dataclasses.replace(tiny_manifest("onnx"), input=spec), "odd")


def test_tf_serving_gets_its_folder(
    exported: Artifacts, images: np.ndarray, tmp_path: Path
) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    outcome = run_command(
        "serving-config", "tf-serving", exported.saved_model, "-o", folder, "--name", "pets"
    )
    assert outcome.exit_code == 0, outcome.stderr
    config = text_format.Parse((folder / "models.config").read_text(), ModelServerConfig())
    (model,) = config.model_config_list.config
    assert (model.name, model.base_path) == ("pets", "/models/pets")
    assert model.model_platform == "tensorflow"
    # TensorFlow Serving takes folders that are numbers for versions.
    version = folder / "pets" / "1"
    with open_runner(version) as copy, open_runner(exported.saved_model) as runner:
        np.testing.assert_array_equal(
            copy.probabilities(images[:4]), runner.probabilities(images[:4])
        )
    assert "docker run" in outcome.stdout
    assert "tensorflow/serving" in (folder / "README.md").read_text()


@pytest.mark.parametrize(
    ("server", "kind", "command"),
    [
        ("triton", "tflite", "vitsd-export onnx"),
        ("triton", "saved_model", "vitsd-export onnx"),
        ("tf-serving", "onnx", "vitsd-export saved-model"),
    ],
)
def test_other_formats_are_refused(
    server: str, kind: str, command: str, exported: Artifacts, tmp_path: Path
) -> None:
    artifact = getattr(exported, kind)
    outcome = run_command("serving-config", server, artifact, "-o", tmp_path / "models")
    assert outcome.exit_code == 3
    assert command in outcome.error
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize("name", ["", "a b", "../up", "a/b", ".hidden"])
def test_names_that_are_no_part_of_a_url_are_refused(
    name: str, exported: Artifacts, tmp_path: Path
) -> None:
    target = tmp_path / "models"
    outcome = run_command("serving-config", "triton", exported.onnx, "-o", target, "--name", name)
    assert outcome.exit_code == 2
    assert "--name" in outcome.error
    assert not target.exists()


def test_a_folder_that_holds_something_is_kept(exported: Artifacts, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    outcome = run_command("serving-config", "triton", exported.onnx, "-o", tmp_path)
    assert outcome.exit_code == 2
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_an_artifact_without_a_manifest_is_refused(tmp_path: Path) -> None:
    artifact = write_onnx(tmp_path / "foreign.onnx", with_manifest=False)
    outcome = run_command("serving-config", "triton", artifact, "-o", tmp_path / "models")
    assert outcome.exit_code == 3
    assert "manifest" in outcome.error
