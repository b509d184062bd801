"""Tests of the OpenVINO runner, where OpenVINO is installed."""

from pathlib import Path

import numpy as np
import pytest

from tests.support.command_line import Artifacts
from tests.support.tiny_artifacts import IMAGES, LABELS, reference_probabilities
from vitsd_export.errors import InputError
from vitsd_export.runtimes import open_runner

pytest.importorskip("openvino")

from vitsd_export.runtimes.openvino_runner import OpenVinoRunner


def test_it_answers_as_the_network_does(tiny_onnx: Path) -> None:
    with OpenVinoRunner(tiny_onnx, threads=1, batch_size=3) as runner:
        answers = runner.probabilities(IMAGES)
        assert runner.labels == LABELS
        assert runner.fixed_batch is None
    np.testing.assert_allclose(answers, reference_probabilities(IMAGES), atol=1e-5)


@pytest.mark.parametrize("name", ["onnx", "onnx_int8"])
def test_it_runs_what_the_exporters_write(
    exported: Artifacts, images: np.ndarray, name: str
) -> None:
    path = getattr(exported, name)
    with OpenVinoRunner(path) as runner, open_runner(path) as other:
        ours, theirs = runner.probabilities(images[:64]), other.probabilities(images[:64])
        told = runner.delegation()
    # Where integers are rounded is each runtime's own choice.
    assert np.abs(ours - theirs).max() < (1e-4 if name == "onnx" else 0.1)
    assert told.provider.startswith("OpenVINO")
    assert told.operators is not None
    assert told.operators > 50


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "damaged.onnx"
    path.write_bytes(b"\x08\x08damaged")
    with pytest.raises(InputError, match="OpenVINO refuses it"):
        OpenVinoRunner(path)
