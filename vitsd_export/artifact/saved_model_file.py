"""What is known of a SavedModel folder before it is loaded."""

from pathlib import Path

from vitsd_export.artifact.damage import unreadable_manifest, unusable
from vitsd_export.artifact.manifest import Manifest, read_saved_model_manifest
from vitsd_export.errors import InputError

SAVED_MODEL_FILE = "saved_model.pb"
SIGNATURE = "serving_default"
# What TensorFlow's loader raises on damaged folders, apart from its own errors.
LOADER_ERRORS: tuple[type[BaseException], ...] = (
    OSError,
    ValueError,
    RuntimeError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    AssertionError,
)


def read_manifest(path: Path) -> Manifest | None:
    """Returns the manifest inside a SavedModel folder, or None if it has none.

    Raises:
        InputError: If there is one that cannot be read.
    """
    try:
        return read_saved_model_manifest(path)
    except (OSError, UnicodeDecodeError) as error:
        raise unusable(path, f"the manifest inside it cannot be read ({error})") from error
    except InputError as error:
        raise unreadable_manifest(path, error) from error
