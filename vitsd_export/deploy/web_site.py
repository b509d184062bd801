"""A static web site that runs one artifact in the browser."""

import dataclasses
import hashlib
import json
import shutil
from pathlib import Path

from vitsd_export._internal.atomic_write import check_target, publish, staging
from vitsd_export.artifact.format_detection import find_format
from vitsd_export.artifact.formats import ONNX
from vitsd_export.deploy.apps_folder import apps_folder
from vitsd_export.deploy.onnxruntime_web import RUNTIME_FILES, copy_runtime
from vitsd_export.errors import InputError, UsageError
from vitsd_export.runtimes import open_runner

MODEL_FILE = "model.onnx"
# Also the mark by which an older site is known.
VERSION_FILE = "site.js"
# What the page shares with the Node app.
_SHARED = ("preprocess.mjs", "onnx-metadata.mjs")

# With the first two a page may have threads: https://web.dev/articles/coop-coep. The page's own policy
# is in its head, so that it holds on hosts without headers; a frame's parent only a header can rule.
HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Content-Security-Policy": "frame-ancestors 'none'",
    "Cache-Control": "no-cache",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@dataclasses.dataclass(frozen=True)
class Site:
    """A site that was written.

    Attributes:
        folder: Where it lies.
        bytes: Size of all of its files.
        model_bytes: Size of the model.
        runtime: Version of onnxruntime-web.
        version: Digest of its content; another one replaces what browsers have kept.
    """

    folder: Path
    bytes: int
    model_bytes: int
    runtime: str
    version: str


def write_site(
    artifact: Path, output: Path, *, runtime: Path | None = None, force: bool = False
) -> Site:
    """Writes the folder of a web page that classifies pictures with an artifact.

    Args:
        artifact: An ONNX file with its manifest inside.
        output: The folder; it appears when it is complete.
        runtime: Unpacked npm package onnxruntime-web; by default it comes from the user's cache,
            or through npm.
        force: Replace a site that is there.

    Raises:
        InputError: If the artifact is not an ONNX classifier that vitsd-export wrote.
        UsageError: If something else lies there, or a site and `force` is not given.
        EnvironmentProblem: If the package cannot be had, or the folder cannot be written.
    """
    _check_output(output, force)
    _check_artifact(artifact)
    with staging(output) as staged:
        # With new times of change, because hosts tell browsers by them what is new.
        ignored = shutil.ignore_patterns("README*")
        shutil.copytree(apps_folder("web"), staged, ignore=ignored, copy_function=shutil.copyfile)
        for name in _SHARED:
            shutil.copyfile(apps_folder("node") / name, staged / name)
        (staged / "_headers").write_text(_headers_file(), encoding="utf-8")
        page = sorted(path.name for path in staged.iterdir() if _is_served(path))
        shutil.copyfile(artifact, staged / MODEL_FILE)
        (staged / "runtime").mkdir()
        package_version = copy_runtime(staged / "runtime", runtime)
        version = _digest(staged)
        described = {
            "version": version,
            "model": MODEL_FILE,
            # Hosts redirect from index.html to the folder, and a redirect cannot be kept.
            "page": ["./", *(name for name in page if name != "index.html")],
            "large": [MODEL_FILE, *(f"runtime/{name}" for name in RUNTIME_FILES)],
        }
        script = f"self.SITE = {json.dumps(described, indent=2)};\n"
        (staged / VERSION_FILE).write_text(script, encoding="utf-8")
        files = [path for path in staged.rglob("*") if path.is_file()]
        size = sum(path.stat().st_size for path in files)
        if output.is_dir() and not any(output.iterdir()):
            output.rmdir()
        publish(staged, output)
    return Site(output, size, (output / MODEL_FILE).stat().st_size, package_version, version)


def _check_output(output: Path, force: bool) -> None:
    is_site = (output / VERSION_FILE).is_file()
    if output.is_dir() and any(output.iterdir()):
        if not is_site:
            raise UsageError(
                f"The folder {output} holds something that is not a site of this command; it is not "
                "overwritten. Choose another --output."
            )
        if not force:
            raise UsageError(
                f"There is a site in {output} already. Give --force to replace it, or another "
                "--output."
            )
    elif output.exists() and not output.is_dir():
        raise UsageError(f"{output} is a file; give the name of a folder.")
    if not output.exists():
        check_target(output, folder=True)


def _check_artifact(artifact: Path) -> None:
    form = find_format(artifact)
    if form is not ONNX:
        raise InputError(
            f"{artifact} is {form.phrase}; onnxruntime-web runs ONNX. Export the model with "
            "`vitsd-export onnx` and give that file."
        )
    with open_runner(artifact) as runner:
        if runner.manifest is None:
            raise InputError(
                f"{artifact} carries no manifest, from which the page takes its labels and its "
                "input. Export the model with `vitsd-export onnx`."
            )


def _is_served(path: Path) -> bool:
    return path.is_file() and path.name != "_headers" and path.name != "service-worker.js"


def _headers_file() -> str:
    """Returns the file in which Netlify and Cloudflare Pages look for headers."""
    return "/*\n" + "".join(f"  {name}: {value}\n" for name, value in HEADERS.items())


def _digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                content = hashlib.file_digest(file, "sha256").hexdigest()
            digest.update(f"{path.relative_to(folder).as_posix()} {content}\n".encode())
    return digest.hexdigest()[:16]
