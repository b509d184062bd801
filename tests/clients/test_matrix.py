"""Artifact × runtime: every cell is right or refused by the runtime's own message, never silently wrong.

The outcome is the table in docs/reference/runtimes.md. `make clients` writes it anew; without that, a test
fails where the table says something else.
"""

import os
from pathlib import Path

import numpy as np
import pytest

from tests.clients.clients import CLIENTS, Client, ask
from tests.clients.table import CELLS, read_cell, write_cell
from tests.support.command_line import run_command
from tests.support.keras_models import TINY_MODEL, tiny_file
from tests.support.made_once import made_once

pytestmark = pytest.mark.slow

_IMAGES = 100
# Rounding to few bits turns some near ties; a file that is read wrongly agrees on far fewer images.
_LEAST_AGREEMENT = 0.95
_SURE = 0.2

# What each row of the table is made with.
ROWS = {
    "onnx": {
        **{scheme: ["--scheme", scheme] for scheme in CELLS["onnx"] if " " not in scheme},
        "float32 (--opset 17)": ["--opset", "17"],
        "int8 (--opset 17)": ["--scheme", "int8", "--opset", "17"],
    },
    "tflite": {scheme: ["--scheme", scheme] for scheme in CELLS["tflite"]},
}


@pytest.fixture(scope="session")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every row's artifact of the small bundled model."""

    def make(folder: Path) -> None:
        for form, rows in ROWS.items():
            for row, options in rows.items():
                path = str(folder / _file(form, row))
                result = run_command(form, "--model", TINY_MODEL, *options, "-o", path)
                assert result.exit_code == 0, result.stderr

    return made_once(tmp_path_factory, "clients", make)


@pytest.fixture(scope="session")
def probabilities(images: np.ndarray) -> np.ndarray:
    """The Keras model's own answers, [100, classes]."""
    import keras

    import vitsd_export.model.layers  # noqa: F401  Keras must know the layers

    model = keras.models.load_model(tiny_file())
    logits = np.asarray(model(images[:_IMAGES].astype(np.float32), training=False), np.float64)
    shares = np.exp(logits - logits.max(1, keepdims=True))
    return shares / shares.sum(1, keepdims=True)


@pytest.mark.parametrize(
    ("client", "row"),
    [(client, row) for client in CLIENTS for row in ROWS[client.format]],
    ids=lambda value: value.name if isinstance(value, Client) else value,
)
def test_a_runtime_is_right_or_refuses(
    client: Client,
    row: str,
    artifacts: Path,
    probabilities: np.ndarray,
    images: np.ndarray,
    tmp_path: Path,
) -> None:
    pixels = tmp_path / "images.npy"
    np.save(pixels, images[:_IMAGES])
    outcome = ask(client, artifacts / _file(client.format, row), pixels, tmp_path)
    if outcome.answers is None:
        assert outcome.message, "refused without a word"
        cell = "refused"
    else:
        ordered = np.sort(probabilities, 1)
        sure = ordered[:, -1] - ordered[:, -2] >= _SURE
        same = outcome.answers.argmax(1) == probabilities.argmax(1)
        assert same[sure].all(), "silently wrong"
        assert same.mean() >= _LEAST_AGREEMENT
        cell = "right"
    if os.environ.get("WRITE_CLIENT_TABLE"):
        write_cell(client, row, cell)
    else:
        assert read_cell(client, row) == cell, outcome.message


def _file(form: str, row: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in row) + f".{form}"
