"""The files of onnxruntime-web, ONNX Runtime for browsers, from its npm package."""

import base64
import contextlib
import hashlib
import json
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

from vitsd_export._internal.cache import cache_folder
from vitsd_export.errors import EnvironmentProblem, InputError

VERSION = "1.30.0"
# As the package's lock files carry it: SHA-512 of the archive.
_INTEGRITY = (
    "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
)
_ARCHIVE = f"onnxruntime-web-{VERSION}.tgz"

# What apps/web loads: WebAssembly alone, and with WebGPU (in browsers that can suspend WebAssembly).
# The package's other builds for WebGPU are larger than some hosts take (25 MiB a file).
RUNTIME_FILES = (
    "ort.wasm.min.mjs",
    "ort-wasm-simd-threaded.mjs",
    "ort-wasm-simd-threaded.wasm",
    "ort.jspi.min.mjs",
    "ort-wasm-simd-threaded.jspi.mjs",
    "ort-wasm-simd-threaded.jspi.wasm",
)


def copy_runtime(target: Path, package: Path | None = None) -> str:
    """Puts the files that the page loads into a folder.

    Args:
        target: An empty folder.
        package: The unpacked npm package. None: version `VERSION` from the user's cache, where npm
            puts it the first time.

    Returns:
        The package's version.

    Raises:
        InputError: If `package` is not the npm package, or lacks a file.
        EnvironmentProblem: If the package is not in the cache and npm cannot get it.
    """
    if package is not None:
        return _copy_from_folder(package, target)
    members = {f"package/dist/{name}": name for name in RUNTIME_FILES}
    with tarfile.open(_cached_archive()) as archive:
        for member in archive:
            content = archive.extractfile(member) if member.name in members else None
            if content is not None:
                with content, (target / members[member.name]).open("wb") as copy:
                    shutil.copyfileobj(content, copy)
    return VERSION


def _copy_from_folder(package: Path, target: Path) -> str:
    try:
        described = json.loads((package / "package.json").read_text(encoding="utf-8"))
        name, version = described["name"], str(described["version"])
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise InputError(
            f"{package} is not an unpacked npm package: it has no readable package.json. Give the "
            "folder that `npm install onnxruntime-web` makes, node_modules/onnxruntime-web."
        ) from error
    if name != "onnxruntime-web":
        raise InputError(f"{package} is the npm package {name}; the page needs onnxruntime-web.")
    for file in RUNTIME_FILES:
        source = package / "dist" / file
        if not source.is_file():
            raise InputError(
                f"The onnxruntime-web {version} in {package} has no dist/{file}. Give version "
                f"{VERSION}."
            )
        shutil.copyfile(source, target / file)
    return version


def _cached_archive() -> Path:
    path = cache_folder("npm") / _ARCHIVE
    if not path.is_file() or not _is_intact(path):
        _download(path)
    return path


def _download(path: Path) -> None:
    npm = shutil.which("npm")
    manually = f"or unpack onnxruntime-web {VERSION} yourself and give its folder with --runtime."
    if npm is None:
        raise EnvironmentProblem(
            f"The page needs the npm package onnxruntime-web {VERSION}, and npm is not installed. "
            f"Install Node.js, {manually}"
        )
    with _beside(path) as folder:
        command = [
            npm,
            "pack",
            f"onnxruntime-web@{VERSION}",
            "--ignore-scripts",
            "--loglevel=error",
        ]
        try:
            # In an empty folder, because npm heeds the project that it is started in.
            ended = subprocess.run(
                command, cwd=folder, capture_output=True, text=True, errors="replace", check=False
            )
        except OSError as error:
            raise EnvironmentProblem(
                f"npm cannot be started ({error}). Reinstall Node.js, {manually}"
            ) from error
        fetched = folder / _ARCHIVE
        if ended.returncode != 0 or not fetched.is_file():
            reason = " ".join(ended.stderr.split())[:300] or f"exit code {ended.returncode}"
            raise EnvironmentProblem(
                f"npm could not download onnxruntime-web {VERSION} ({reason}). Check the network, "
                f"{manually}"
            )
        if not _is_intact(fetched):
            raise EnvironmentProblem(
                f"What npm downloaded as onnxruntime-web {VERSION} is not that package: its SHA-512 "
                f"is another. Check the registry that npm is set to, {manually}"
            )
        fetched.replace(path)


@contextlib.contextmanager
def _beside(path: Path) -> Iterator[Path]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            yield Path(folder)
    except OSError as error:
        raise EnvironmentProblem(
            f"The cache folder {path.parent} cannot be written ({error.strerror or error}). Name "
            "another with the environment variable VITSD_EXPORT_CACHE."
        ) from error


def _is_intact(path: Path) -> bool:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha512").digest()
    return base64.b64encode(digest).decode() == _INTEGRITY
