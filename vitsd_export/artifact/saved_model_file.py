"""What is known of a SavedModel folder before it is loaded."""

from pathlib import Path

from vitsd_export.artifact.damage import parse_manifest, unusable
from vitsd_export.artifact.manifest import MANIFEST_FILE, SAVED_MODEL_EXTRAS, Manifest

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
    file = path / SAVED_MODEL_EXTRAS / MANIFEST_FILE
    try:
        text = file.read_text(encoding="utf-8") if file.is_file() else None
    except (OSError, UnicodeDecodeError) as error:
        raise unusable(path, f"the manifest inside it cannot be read ({error})") from error
    return parse_manifest(path, text)
