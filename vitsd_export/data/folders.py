"""Folders that a user names."""

import os
from pathlib import Path

from vitsd_export.errors import InputError


def require_folder(path: Path | str, purpose: str) -> Path:
    """Returns the path of a folder, `~` expanded, after making sure that it can be listed.

    Args:
        path: What the user gave.
        purpose: What the folder holds, for the message: `CIFAR`, `images`.

    Raises:
        InputError: If there is nothing at the path, it is not a folder, or it cannot be listed.
    """
    folder = Path(path)
    try:
        folder = folder.expanduser()
        os.listdir(folder)
    except FileNotFoundError as error:
        raise InputError(
            f"There is no folder {path} to read {purpose} from. Check the path."
        ) from error
    except NotADirectoryError as error:
        raise InputError(
            f"{path} is a file; {purpose} is read from a folder. Give the folder which holds the "
            "extracted files."
        ) from error
    except (OSError, RuntimeError, ValueError) as error:
        raise InputError(f"The folder {path} cannot be read: {error}.") from error
    return folder
