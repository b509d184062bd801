"""What comes up when a file that somebody else wrote is read."""

import struct
import sys
import zipfile
import zlib

# What Keras, h5py and zipfile raise on a damaged or hostile file is not documented and varies with the
# damage.
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
    UserWarning,
    struct.error,
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
