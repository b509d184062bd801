"""Artifacts that cannot be used, and whether one is what its manifest describes."""

from pathlib import Path

from vitsd_export._internal.hashing import file_sha256
from vitsd_export.artifact.manifest import Manifest, sidecar_path
from vitsd_export.errors import InputError


def unusable(path: Path, reason: str) -> InputError:
    """Returns the error for an artifact that cannot be used; the reason has no full stop."""
    return InputError(
        f"The artifact {path} cannot be used: {reason}. Export it again, or check that the path "
        "is right."
    )


def parse_manifest(path: Path, text: str | None) -> Manifest | None:
    """Returns the manifest in the text that an artifact holds; None without a text.

    Raises:
        InputError: If the text is not a manifest that this version reads.
    """
    try:
        return None if text is None else Manifest.from_json(text)
    except InputError as error:
        remedy = "" if "export" in str(error) else " Export it again."
        raise InputError(f"The artifact {path} cannot be used. {error}{remedy}") from error


def proven_by_manifest(path: Path) -> bool:
    """Tells whether the manifest beside a LiteRT or ONNX file carries the file's SHA-256.

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
