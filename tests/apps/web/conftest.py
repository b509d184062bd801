"""The page of the bundled model, written as a user would, and where it is served."""

import os
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.command_line import Artifacts, run_command
from tests.support.node_process import REPOSITORY, find_program
from tests.support.web_servers import Serve, serve_folder

_AXE = "4.14.1"


@pytest.fixture(scope="session")
def write_site(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Path]:
    """Writes the site of an ONNX file with the command; npm downloads the package the first time."""
    find_program("npm")

    def write(artifact: Path) -> Path:
        folder = tmp_path_factory.mktemp("web") / "site"
        outcome = run_command("web", artifact, "-o", folder)
        assert outcome.exit_code == 0, outcome.stderr
        return folder

    return write


@pytest.fixture(scope="session")
def site(write_site: Callable[[Path], Path], exported: Artifacts) -> Path:
    """The site of the float32 file. Tests leave it as it is."""
    return write_site(exported.onnx)


@pytest.fixture(scope="session")
def site_int8(write_site: Callable[[Path], Path], exported: Artifacts) -> Path:
    """The site of the int8 file. Tests leave it as it is."""
    return write_site(exported.onnx_int8)


@pytest.fixture(scope="session")
def serve() -> Serve:
    """Serves a folder: with `--serve`'s own server, or with a plain one that knows no headers."""
    return serve_folder


@pytest.fixture(scope="session")
def url(site: Path, serve: Serve) -> Iterator[str]:
    """Where the float32 site is served."""
    with serve(site) as address:
        yield address


@pytest.fixture(scope="session")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The source of axe-core, which checks a page's accessibility."""
    folder = tmp_path_factory.mktemp("axe")
    command = [find_program("npm"), "pack", f"axe-core@{_AXE}", "--ignore-scripts", "--silent"]
    subprocess.run(command, cwd=folder, check=True, timeout=300)
    with tarfile.open(folder / f"axe-core-{_AXE}.tgz") as archive:
        member = archive.extractfile("package/axe.min.js")
        assert member is not None
        with member:
            return member.read().decode()


@pytest.fixture(scope="session")
def screenshots() -> Path:
    """Where pictures of the page are left for people to look at."""
    folder = Path(os.environ.get("CI_ARTIFACTS") or REPOSITORY / "build" / "screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder
