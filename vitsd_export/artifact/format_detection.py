"""Telling what an artifact is by its content, and whether it is what its manifest describes."""

from pathlib import Path

from vitsd_export._internal.hashing import file_sha256
from vitsd_export.artifact.manifest import Format, Manifest, sidecar_path
from vitsd_export.errors import InputError

SAVED_MODEL_FILE = "saved_model.pb"
_LITERT_MARK = b"TFL3"
# Files people pass by mistake, by their first bytes.
_FOREIGN = (
    (
        b"PK\x03\x04",
        "it is a zip archive, such as a .keras checkpoint, which has to be exported first",
    ),
    (b"\x89HDF\r\n", "it is an HDF5 file, such as Keras weights, which have to be exported first"),
    (b"\x89PNG", "it is a PNG image"),
    (b"\xff\xd8\xff", "it is a JPEG image"),
)


def unusable(path: Path, reason: str) -> InputError:
    """Returns the error for an artifact that cannot be used.

    Args:
        path: The artifact.
        reason: Why, without a full stop.
    """
    return InputError(
        f"The artifact {path} cannot be used: {reason}. Export it again, or check that the path "
        "is right."
    )


def unreadable_manifest(path: Path, error: InputError) -> InputError:
    """Returns the error for an artifact whose manifest cannot be parsed.

    Args:
        path: The artifact.
        error: What the parser raised, which does not know the artifact.
    """
    remedy = "" if "export" in str(error) else " Export it again."
    return InputError(f"The artifact {path} cannot be used. {error}{remedy}")


def detect_format(path: Path) -> Format:
    """Returns the format of an artifact, judged by what is in it and not by its name.

    A SavedModel is a folder with a `saved_model.pb`, a LiteRT file has the mark `TFL3` at bytes
    4–8, and any other file is taken for ONNX, which has no mark.

    Raises:
        InputError: If nothing is there, it cannot be read, or it is evidently none of the three.
    """
    try:
        if path.is_dir():
            if (path / SAVED_MODEL_FILE).is_file():
                return "saved_model"
            raise unusable(
                path, f"the folder holds no {SAVED_MODEL_FILE}, so it is not a SavedModel"
            )
        if not path.exists():
            raise InputError(
                f"The artifact {path} does not exist. Check the path, or export the model first."
            )
        if not path.is_file():
            raise unusable(path, "it is neither a file nor a folder")
        with path.open("rb") as file:
            head = file.read(8)
    except OSError as error:
        raise unusable(path, f"it cannot be read ({error.strerror or error})") from error
    if not head:
        raise unusable(path, "the file is empty")
    if head[4:8] == _LITERT_MARK:
        return "tflite"
    if path.suffix.lower() in (".tflite", ".lite"):
        raise unusable(
            path, "it lacks the mark of a LiteRT file, so it is truncated or something else"
        )
    for mark, reason in _FOREIGN:
        if head.startswith(mark):
            raise unusable(path, reason)
    return "onnx"


def proven_by_manifest(path: Path) -> bool:
    """Tells whether a manifest beside a file proves that the file is the one that was exported.

    Args:
        path: A LiteRT or ONNX file.

    Returns:
        True if `<artifact>.json` carries the file's SHA-256; False if there is no such manifest.

    Raises:
        InputError: If the manifest carries the digest of another file: this one is damaged or was
            changed.
    """
    beside = sidecar_path(path)
    try:
        manifest = Manifest.from_json(beside.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, InputError):
        # Absent, or somebody else's JSON file of that name.
        return False
    expected = (manifest.file or {}).get("sha256")
    if not isinstance(expected, str):
        return False
    try:
        actual = file_sha256(path)
    except OSError as error:
        raise unusable(path, f"it cannot be read ({error.strerror or error})") from error
    if actual != expected.lower():
        raise InputError(
            f"The artifact {path} is not the file that {beside.name} beside it describes (SHA-256 "
            f"{actual[:12]}… and not {expected[:12]}…): it is truncated, damaged or was changed. "
            f"Export it again; if you changed it on purpose, remove {beside.name}."
        )
    return True
