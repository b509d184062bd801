"""Artifacts run with their runtime and NumPy alone, as they do in an app."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.support.command_line import Artifacts
from tests.support.keras_models import keras_probabilities, tiny_file
from vitsd_export.data.labels import CIFAR10_CLASSES

ONNX_APP = """
import sys
import numpy as np, onnxruntime
model, pictures, answers = sys.argv[1:]
session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
labels = session.get_modelmeta().custom_metadata_map["labels"].splitlines()
result = session.run(["probabilities"], {"image": np.load(pictures)})[0]
"""
LITERT_APP = """
import sys, zipfile
import numpy as np
from ai_edge_litert.interpreter import Interpreter
model, pictures, answers = sys.argv[1:]
classify = Interpreter(model_path=model).get_signature_runner("serving_default")
labels = zipfile.ZipFile(model).read("labels.txt").decode().splitlines()
result = [classify(image=picture[None])["probabilities"][0] for picture in np.load(pictures)]
"""
REPORT = """
import json
np.save(answers, result)
foreign = {"tensorflow", "keras", "vitsd_export", "onnx", "tf2onnx"} & set(sys.modules)
print(json.dumps({"labels": labels, "foreign": sorted(foreign)}))
"""


@pytest.mark.parametrize(("kind", "app"), [("onnx", ONNX_APP), ("tflite", LITERT_APP)])
def test_an_app_gets_the_answers_of_keras(
    exported: Artifacts, images: np.ndarray, tmp_path: Path, kind: str, app: str
) -> None:
    pictures, answers = tmp_path / "pictures.npy", tmp_path / "answers.npy"
    np.save(pictures, images[:16])
    files = [str(getattr(exported, kind)), str(pictures), str(answers)]
    # -I: neither this repository nor its environment variables are at hand.
    process = subprocess.run(
        [sys.executable, "-I", "-c", app + REPORT, *files],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert process.returncode == 0, process.stderr
    told = json.loads(process.stdout)
    assert told == {"labels": list(CIFAR10_CLASSES), "foreign": []}
    np.testing.assert_allclose(
        np.load(answers), keras_probabilities(tiny_file(), images[:16]), atol=1e-4
    )
