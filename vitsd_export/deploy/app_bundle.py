"""A folder with an artifact and the small app that runs it."""

import dataclasses
import shlex
import shutil
from pathlib import Path
from typing import Literal

from vitsd_export._internal.atomic_write import check_new_folder, publish_folder, staging
from vitsd_export.artifact.damage import unusable
from vitsd_export.artifact.format_detection import find_format
from vitsd_export.artifact.formats import LITERT, ONNX, ArtifactFormat
from vitsd_export.deploy.apps_folder import apps_folder
from vitsd_export.errors import InputError
from vitsd_export.runtimes.opening import open_runner

AppKind = Literal["python", "node"]

# The formats that an app reads.
_READS: dict[AppKind, tuple[ArtifactFormat, ...]] = {"python": (ONNX, LITERT), "node": (ONNX,)}
_NODE_FILES = (
    "classify.mjs",
    "onnx-metadata.mjs",
    "package-lock.json",
    "package.json",
    "pictures.mjs",
    "preprocess.mjs",
    ".npmrc",
)


@dataclasses.dataclass(frozen=True)
class CopiedApp:
    """An app that was written.

    Attributes:
        folder: Where it lies.
        install: Shell command, to be run there, that fetches what it needs.
        run: Shell command, to be run there, that classifies `photo.jpg`.
    """

    folder: Path
    install: str
    run: str


def copy_app(kind: AppKind, artifact: Path, output: Path, *, force: bool = False) -> CopiedApp:
    """Writes a folder with an artifact and the app that runs it with its runtime alone.

    Args:
        kind: `python` or `node`; for the page see `web_site.write_site`.
        artifact: ONNX or LiteRT file with its manifest inside.
        output: The folder.
        force: Write into a folder that holds something already, over files of the same names.

    Raises:
        InputError: If the artifact cannot be used, the app does not read its format, or it carries no
            manifest.
        UsageError: If the folder holds something and `force` is not given.
        EnvironmentProblem: If the folder cannot be written, or the runtime is not installed.
    """
    form = find_format(artifact)
    if form not in _READS[kind]:
        wanted = " or ".join(reads.phrase for reads in _READS[kind])
        raise InputError(
            f"The {kind} app reads {wanted}, but {artifact} is {form.phrase}. Export the model "
            "to that format."
        )
    check_new_folder(output, force=force)
    with open_runner(artifact) as runner:
        if runner.manifest is None:
            raise unusable(artifact, "it carries no manifest, from which the app takes the labels")
    files = _files(kind, form)
    copied = _described(kind, next(iter(files)), artifact.name, output)
    with staging(output) as staged:
        staged.mkdir()
        for source, name in files.items():
            shutil.copyfile(apps_folder(kind) / source, staged / name)
        shutil.copyfile(artifact, staged / artifact.name)
        (staged / "README.md").write_text(_readme(copied, artifact.name), encoding="utf-8")
        publish_folder(staged, output)
    return copied


def _files(kind: AppKind, form: ArtifactFormat) -> dict[str, str]:
    """Returns the files of an app, the script first: name there, name in the bundle."""
    if kind == "node":
        return {name: name for name in _NODE_FILES}
    script = f"classify_{form.slug}.py"
    return {
        script: script,
        "pictures.py": "pictures.py",
        f"requirements-{form.slug}.txt": "requirements.txt",
    }


def _described(kind: AppKind, script: str, name: str, folder: Path) -> CopiedApp:
    # A name that begins with a dash would be taken for an option.
    model = shlex.quote(f"./{name}" if name.startswith("-") else name)
    if kind == "node":
        return CopiedApp(folder, "npm ci", f"node {script} {model} photo.jpg")
    return CopiedApp(
        folder,
        "python3 -m venv .venv && .venv/bin/pip install -r requirements.txt",
        f".venv/bin/python {script} {model} photo.jpg",
    )


def _readme(copied: CopiedApp, name: str) -> str:
    return (
        f"Says what is on pictures, with {name} and its runtime alone.\n"
        f"Once: `{copied.install}`\n"
        f"Then: `{copied.run}`\n"
    )
