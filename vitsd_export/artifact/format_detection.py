"""Telling what an artifact is by its content."""

from pathlib import Path

from vitsd_export.artifact.damage import unusable
from vitsd_export.artifact.formats import FORMATS, ArtifactFormat
from vitsd_export.errors import InputError

# Room for every format's mark.
_HEAD_BYTES = 64
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


def find_format(path: Path) -> ArtifactFormat:
    """Returns the format of an artifact, judged by what is in it and not by its name.

    A folder is known by a file in it, such as `saved_model.pb`, and a file by its mark, such as `TFL3` at
    bytes 4–8. Any other file is taken for the format that has no mark, ONNX.

    Raises:
        InputError: If nothing is there, it cannot be read, or it is evidently of none of the formats.
    """
    marked = [form for form in FORMATS.values() if form.mark is not None]
    try:
        if path.is_dir():
            return _folder_format(path)
        if not path.exists():
            raise InputError(
                f"The artifact {path} does not exist. Check the path, or export the model first."
            )
        if not path.is_file():
            raise unusable(path, "it is neither a file nor a folder")
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError as error:
        raise unusable(path, f"it cannot be read ({error.strerror or error})") from error
    if not head:
        raise unusable(path, "the file is empty")
    for form in marked:
        if form.begins(head):
            return form
    for form in marked:
        if path.suffix.lower() in (form.suffix, *form.other_suffixes):
            raise unusable(
                path, f"it lacks the mark of {form.phrase}, so it is truncated or something else"
            )
    for mark, reason in _FOREIGN:
        if head.startswith(mark):
            raise unusable(path, reason)
    return next(form for form in FORMATS.values() if form.mark is None and not form.folder)


def _folder_format(path: Path) -> ArtifactFormat:
    folders = [(form, form.folder_file) for form in FORMATS.values() if form.folder_file]
    for form, name in folders:
        if (path / name).is_file():
            return form
    files = " or ".join(name for _, name in folders)
    titles = " or ".join(form.title for form, _ in folders)
    raise unusable(path, f"the folder holds no {files}, so it is not a {titles}")
