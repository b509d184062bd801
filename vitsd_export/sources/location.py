"""Finding a source: by the name of a bundled model, a path, or an address on the Hugging Face hub."""

import dataclasses
import re
from pathlib import Path

from vitsd_export.errors import InputError
from vitsd_export.pretrained import bundled_names, bundled_path
from vitsd_export.sources import hub

_SUFFIXES = re.compile(r"(\.keras|(\.weights)?\.(h5|hdf5))$")


@dataclasses.dataclass(frozen=True)
class Location:
    """Where a source lies on this machine.

    Attributes:
        path: File or folder.
        name: Short name, from which artifacts get theirs.
        origin: Address it was downloaded from; None for what is on disk.
        revision: Commit of that repository; None for what is on disk.
    """

    path: Path
    name: str
    origin: str | None = None
    revision: str | None = None


def source_name(source: str | Path) -> str:
    """Returns the short name of a source: `vit_small_ds_v2` for `hf://keras-io/vit_small_ds_v2@main`.

    Raises:
        UsageError: If it begins with `hf://` and is no address.
    """
    if hub.is_address(source):
        return hub.parse_address(str(source)).name
    path = Path(source)
    return _SUFFIXES.sub("", path.name or path.resolve().name)


def loading_step(source: str | Path) -> str:
    """Returns what to tell a user who waits for a source."""
    return f"fetching and loading {source}" if hub.is_address(source) else "loading the model"


def locate(source: str | Path | Location) -> Location:
    """Finds a source, downloads it if need be; needs no Keras to say that there is none.

    Args:
        source: Name of a bundled model, a path, or `hf://owner/name[@revision]`.

    Raises:
        UsageError: If it begins with `hf://` and is no address.
        InputError: If there is no such file, folder or repository.
        EnvironmentProblem: If it has to be downloaded and cannot be.
    """
    if isinstance(source, Location):
        return source
    if hub.is_address(source):
        address = hub.parse_address(str(source))
        folder, commit = hub.download(address)
        path = hub.choose_file(folder, address)
        return Location(path, address.name, str(address), commit)
    path = bundled_path(str(source)) or Path(source)
    try:
        if path.is_file() or (path.is_dir() and str(source)):
            return Location(path, source_name(path))
        what = "is neither a file nor a folder" if path.exists() else "does not exist"
    except (OSError, ValueError) as error:
        raise InputError(f"The model {path} cannot be read: {error}.") from error
    raise InputError(
        f"The model {path} {what}. Give a .keras file, a SavedModel folder, an .h5 file, "
        "hf://owner/name, a .weights.h5 file with --preset, or the name of a bundled model "
        f"({', '.join(bundled_names())})."
    )
