"""Models that TF-Keras 2 has saved."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

# The published configuration in narrow: everything of it that the weights' layout hangs on.
NARROW: dict[str, Any] = {
    "input_size": 32,
    "image_size": 72,
    "patch_size": 12,
    "dim": 16,
    "num_heads": 2,
    "key_dim": 24,
    "depth": 2,
    "mlp_units": [32, 16],
    "head_units": [24, 20],
    "num_classes": 100,
    "epsilon": 1e-6,
}
PUBLISHED: dict[str, Any] = {
    **NARROW,
    "patch_size": 6,
    "dim": 64,
    "num_heads": 4,
    "key_dim": 64,
    "depth": 8,
    "mlp_units": [128, 64],
    "head_units": [2048, 1024],
}


class Legacy(NamedTuple):
    """What `legacy_training.py` has written. Tests leave it as it is.

    Attributes:
        folder: Where it lies.
    """

    folder: Path

    @property
    def saved_model(self) -> Path:
        """The SavedModel folder."""
        return self.folder / "saved-model"

    def answers(self) -> tuple[np.ndarray, np.ndarray]:
        """Images, and the logits that the model gave them before it was saved."""
        stored = np.load(self.folder / "answers.npz")
        return stored["images"], stored["logits"]


def train_legacy(folder: Path, config: dict[str, Any], *, optimizer: str = "slots") -> Legacy:
    """Trains a model with TF-Keras 2 in a process of its own, and saves it.

    Args:
        folder: Where to; it is made.
        config: Hyperparameters.
        optimizer: `slots`, which keeps moments as tensorflow-addons' AdamW of 2022 did, or `adamw`, the one
            that came with TF-Keras 2.11.
    """
    script = Path(__file__).with_name("legacy_training.py")
    command = [sys.executable, str(script), str(folder), json.dumps(config), optimizer]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr[-3000:]
    return Legacy(folder)
