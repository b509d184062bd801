"""The Keras model that every baseline begins with."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vitsd_export.sources.checkpoint import LoadedModel


def load_keras(source: str | Path) -> "LoadedModel":
    """Loads a model on Keras's TensorFlow backend.

    Args:
        source: Bundled name, file or folder: what `vitsd-export --model` takes.

    Raises:
        InputError: If it cannot be used.
    """
    from vitsd_export._internal.tensorflow import use_tensorflow

    use_tensorflow()
    from vitsd_export.sources.checkpoint import load_model

    return load_model(source)
