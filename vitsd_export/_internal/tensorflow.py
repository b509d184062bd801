"""Bringing up TensorFlow, and Keras on it, quietly."""

import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from typing import Any

from vitsd_export._internal.native_stderr import quiet_native_stderr
from vitsd_export.errors import EnvironmentProblem


def import_tensorflow() -> Any:
    """Imports and returns TensorFlow without its greetings on standard error.

    Raises:
        EnvironmentProblem: If it cannot be imported.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        # What TensorFlow logs before it has read its log level cannot be switched off otherwise.
        with quiet_native_stderr(), warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            import tensorflow as tf

            tf.get_logger().setLevel("ERROR")
            tf.zeros(())  # Wakes the device search, which logs too.
    except ImportError as error:
        raise EnvironmentProblem(
            f"TensorFlow cannot be imported: {error}. Reinstall vitsd-export with its dependencies."
        ) from error
    return tf


def set_tensorflow_threads(threads: int) -> None:
    """Sets the threads inside an operator of this process's TensorFlow, which must not have run anything yet.

    Operators run one after the other.

    Raises:
        EnvironmentProblem: If TensorFlow cannot be imported.
    """
    # TensorFlow reads these when it starts; what it is told later it ignores or refuses.
    os.environ["TF_NUM_INTRAOP_THREADS"] = str(threads)
    os.environ["TF_NUM_INTEROP_THREADS"] = "1"
    import_tensorflow()


def use_tensorflow() -> None:
    """Imports Keras on the TensorFlow backend, which every exporter needs.

    Raises:
        EnvironmentProblem: If TensorFlow or Keras cannot be imported, or Keras already runs on
            another backend.
    """
    if "keras" in sys.modules:
        backend = sys.modules["keras"].backend.backend()
        if backend != "tensorflow":
            raise EnvironmentProblem(
                f"Keras already runs on {backend}; exporting needs TensorFlow. Set "
                "KERAS_BACKEND=tensorflow before Keras is imported."
            )
    os.environ["KERAS_BACKEND"] = "tensorflow"
    import_tensorflow()
    try:
        with quiet_native_stderr():
            import keras  # noqa: F401
    except ImportError as error:
        raise EnvironmentProblem(
            f"Keras cannot be imported: {error}. Reinstall vitsd-export with its dependencies."
        ) from error


@contextlib.contextmanager
def quiet_converters() -> Iterator[None]:
    """Keeps the converters' chatter from the terminal; what matters of it comes as an exception."""
    logger = logging.getLogger("tensorflow")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with (
            quiet_native_stderr(),
            open(os.devnull, "w") as nowhere,
            contextlib.redirect_stdout(nowhere),
            contextlib.redirect_stderr(nowhere),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
