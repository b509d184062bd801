"""Models in the forms in which people keep them, each written once."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.keras_models import convolutional_network
from tests.support.legacy_models import NARROW, Legacy, train_legacy
from vitsd_export._internal.damaged_files import UNREADABLE_ERRORS
from vitsd_export.errors import InputError


@pytest.fixture(scope="session")
def legacy(tmp_path_factory: pytest.TempPathFactory) -> Legacy:
    """A narrow version of the published model."""
    return train_legacy(tmp_path_factory.mktemp("legacy"), NARROW)


@pytest.fixture(scope="session")
def mapped(legacy: Legacy) -> Any:
    """What it is read into."""
    from vitsd_export._internal.tensorflow import use_tensorflow

    use_tensorflow()
    from vitsd_export.sources.checkpoint import load_model

    return load_model(legacy.saved_model)


@pytest.fixture
def tried_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Graphs are tried in the process of the test, which saves the start of another."""
    import tensorflow as tf

    from vitsd_export._internal.tensorflow import quiet_converters
    from vitsd_export.sources import saved_model

    def answers(folder: Path, signature: str, images: np.ndarray) -> np.ndarray:
        try:
            with quiet_converters():
                function = tf.saved_model.load(str(folder)).signatures[signature]
                (name,) = function.structured_input_signature[1]
                (scores,) = function(**{name: tf.constant(images)}).values()
        except (tf.errors.OpError, *UNREADABLE_ERRORS) as error:
            raise InputError(f"{folder} cannot be run: {type(error).__name__}") from error
        return np.asarray(scores)

    monkeypatch.setattr(saved_model, "try_graph", answers)


@pytest.fixture(scope="session")
def network() -> Any:
    """A convolutional network with two logits; not to be changed."""
    return convolutional_network()


@pytest.fixture(scope="session")
def exported_network(network: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The SavedModel that Keras 3 writes of it."""
    from vitsd_export._internal.tensorflow import quiet_converters

    folder = tmp_path_factory.mktemp("exported_network") / "network"
    with quiet_converters():
        network.export(folder)
    return folder


@pytest.fixture(scope="session")
def logits(network: Any, images: np.ndarray) -> np.ndarray:
    """What the network says of the bundled images."""
    return np.asarray(network(images.astype(np.float32), training=False))
