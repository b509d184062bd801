"""Bringing up Keras on the backend that KERAS_BACKEND names, quietly."""

import os

from vitsd_export._internal.native_stderr import quiet_native_stderr
from vitsd_export.errors import EnvironmentProblem


def import_keras() -> None:
    """Imports Keras without the greetings of its backend on standard error.

    Raises:
        EnvironmentProblem: If the backend is missing, or there is none of that name.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        # What TensorFlow logs before its log level is read cannot be switched off otherwise.
        with quiet_native_stderr():
            import keras  # noqa: F401
    except (ImportError, ValueError) as error:
        backend = os.environ.get("KERAS_BACKEND", "tensorflow")
        raise EnvironmentProblem(
            f"Keras cannot be started on {backend}: {error}. Install that backend, or set KERAS_BACKEND "
            "to tensorflow, jax or torch."
        ) from error
