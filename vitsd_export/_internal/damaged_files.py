"""What comes up when a damaged or hostile file is read."""

import pickle
import struct
import sys
import tarfile
import zipfile
import zlib

# What Keras, h5py, pillow, pickle, tarfile and zipfile raise on such a file is not documented and varies
# with the damage.
UNREADABLE_ERRORS: tuple[type[Exception], ...] = (
    OSError,
    EOFError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    RuntimeError,
    AssertionError,
    ImportError,
    MemoryError,
    SyntaxError,
    UserWarning,
    pickle.UnpicklingError,
    struct.error,
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
)


def unreadable_errors() -> tuple[type[Exception], ...]:
    """Returns these, with those of TensorFlow's own where it is in use."""
    tf = sys.modules.get("tensorflow")
    return UNREADABLE_ERRORS if tf is None else (*UNREADABLE_ERRORS, tf.errors.OpError)


def reason(error: Exception) -> str:
    """Returns the innermost message of an error of Keras on one line, cut to 300 characters."""
    # Keras wraps a message in one for each layer around it, each with the layer's configuration.
    innermost = str(error).rsplit("Exception encountered: ", 1)[-1]
    return " ".join(innermost.split())[:300] or type(error).__name__
