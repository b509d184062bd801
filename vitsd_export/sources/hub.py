"""Repositories on the Hugging Face hub: `hf://owner/name[@revision]`."""

import dataclasses
import os
import re
from pathlib import Path

from vitsd_export._internal.damaged_files import reason
from vitsd_export.errors import EnvironmentProblem, InputError, UsageError
from vitsd_export.sources.folders import UNPACKED_FILES, holds_saved_model, holds_unpacked

_SCHEME = "hf://"
# The hub's own rule for names; revisions are branches, tags, commits or pull requests (refs/pr/1).
_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9])?"
_REVISION = r"[A-Za-z0-9][A-Za-z0-9._-]*(?:/[A-Za-z0-9][A-Za-z0-9._-]*)*"
_ADDRESS = re.compile(rf"hf://({_NAME})/({_NAME})(?:@({_REVISION}))?")
_COMMIT = re.compile(r"[0-9a-f]{40}")
# Nothing else is downloaded: no README, no logs, no checkpoints of training.
_NEEDED = (
    "saved_model.pb",
    "keras_metadata.pb",
    "fingerprint.pb",
    "variables/variables.*",
    *UNPACKED_FILES,
    "*.keras",
    "*.h5",
)


@dataclasses.dataclass(frozen=True)
class Address:
    """A repository at a revision.

    Attributes:
        owner: User or organisation.
        name: Repository.
        revision: Branch, tag or commit; the default branch when None.
    """

    owner: str
    name: str
    revision: str | None = None

    @property
    def repository(self) -> str:
        """Owner and name."""
        return f"{self.owner}/{self.name}"

    def __str__(self) -> str:
        return f"{_SCHEME}{self.repository}" + (f"@{self.revision}" if self.revision else "")


def is_address(source: str | Path) -> bool:
    """Whether a source is meant as an address; a Path never is."""
    return isinstance(source, str) and source.startswith(_SCHEME)


def parse_address(text: str) -> Address:
    """Returns the parts of `hf://owner/name[@revision]`.

    Raises:
        UsageError: If it is no such address.
    """
    match = _ADDRESS.fullmatch(text)
    if match is None or ".." in text:
        raise UsageError(
            f"{text!r} is not the address of a model. Write hf://owner/name or hf://owner/name@revision, as "
            "in hf://keras-io/vit_small_ds_v2."
        )
    return Address(*match.groups())


def download(address: Address) -> tuple[Path, str]:
    """Brings the model's files into the hub's cache; those that are there are not fetched again.

    Without a network, what the cache holds is used.

    Returns:
        The folder of the files, and the commit that the revision stands for.

    Raises:
        InputError: If there is no such repository or revision, or it is not open to everybody.
        EnvironmentProblem: If huggingface_hub is not installed, there is no network, or the disk is full.
    """
    # Before it is imported; its progress bars would go between our own lines.
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    try:
        import huggingface_hub
        from huggingface_hub import errors
        from huggingface_hub.utils import httpx
    except ImportError as error:
        raise EnvironmentProblem(
            f"{address} needs the package huggingface_hub: pip install 'vitsd-export[hub]'. Or download "
            "the repository yourself and give its folder."
        ) from error
    try:
        folder = Path(
            huggingface_hub.snapshot_download(
                address.repository, revision=address.revision, allow_patterns=list(_NEEDED)
            )
        )
    except errors.RevisionNotFoundError as error:
        raise InputError(
            f"{address.repository} has no revision {address.revision!r} on the Hugging Face hub. Check "
            "the branch, tag or commit."
        ) from error
    except errors.GatedRepoError as error:
        raise InputError(
            f"{address} is gated: its owner grants access. Ask for it on the repository's page, "
            "then set HF_TOKEN or run `hf auth login`."
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise InputError(
            f"{address.repository} is not a model on the Hugging Face hub, or it is private. Check the name; "
            "for a private one, set HF_TOKEN or run `hf auth login`."
        ) from error
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled) as error:
        raise EnvironmentProblem(
            f"{address} is not complete in the cache ({huggingface_hub.constants.HF_HUB_CACHE}) and the "
            "Hugging Face hub cannot be reached. Connect to the network and run this again (once "
            "downloaded, no network is needed), or give the folder of a copy."
        ) from error
    except (httpx.HTTPError, OSError, ValueError) as error:
        raise EnvironmentProblem(
            f"{address} could not be downloaded: {reason(error).rstrip('.')}. Try again later, "
            "or give the folder of a copy."
        ) from error
    if not _COMMIT.fullmatch(folder.name):
        raise EnvironmentProblem(
            f"The cache of the Hugging Face hub does not tell which revision {folder} is. Remove that "
            "folder and run this again."
        )
    return folder, folder.name


def choose_file(folder: Path, address: Address) -> Path:
    """Returns what of a repository is the model: the folder itself, or the one file in it.

    Raises:
        InputError: If it holds none, or several.
    """
    if holds_saved_model(folder) or holds_unpacked(folder):
        return folder
    for pattern in ("*.keras", "*.h5"):
        files = sorted(folder.rglob(pattern))
        if len(files) == 1:
            return files[0]
        if files:
            names = ", ".join(str(file.relative_to(folder)) for file in files[:8])
            raise InputError(
                f"{address} holds several models ({names}). Give the path of one: they lie in {folder}."
            )
    raise InputError(
        f"{address} holds no Keras model: no SavedModel, .keras or .h5 file. If it was made with "
        "another framework, nothing can be exported."
    )
