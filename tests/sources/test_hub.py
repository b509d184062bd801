"""Models on the Hugging Face hub: from a server on this machine, and from a cache without any network."""

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.command_line import run_command
from tests.support.hub_server import COMMIT, REPOSITORY, Hub, serve
from tests.support.legacy_models import Legacy
from vitsd_export.errors import EnvironmentProblem, InputError, UsageError
from vitsd_export.sources.checkpoint import load_model
from vitsd_export.sources.hub import Address, parse_address
from vitsd_export.sources.location import locate, source_name

ADDRESS = f"hf://{REPOSITORY}"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and no hub behind it."""
    from huggingface_hub import constants

    folder = tmp_path / "cache"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder))
    reach(monkeypatch, "http://127.0.0.1:9")
    return folder


def reach(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    """Puts a server in the hub's place."""
    from huggingface_hub import constants

    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(constants, "ENDPOINT", address)
    template = address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)


@pytest.fixture
def repository(small_model: Path, tmp_path: Path) -> Path:
    """The files of a repository with a .keras file, and with what nobody needs for an export."""
    folder = tmp_path / "repository"
    folder.mkdir()
    shutil.copy(small_model, folder / "model.keras")
    for name in ("README.md", "events.out.tfevents", "pytorch_model.bin", "code.py"):
        (folder / name).write_text("not needed")
    return folder


@pytest.fixture
def hub(repository: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """The repository on a server."""
    with serve(repository) as server:
        reach(monkeypatch, server.address)
        yield server


def fill_cache(cache: Path, files: Path, owner: str, name: str) -> None:
    """Lays out files as the hub's client does: refs, snapshots, and links to blobs."""
    home = cache / f"models--{owner}--{name}"
    (home / "refs").mkdir(parents=True)
    (home / "refs" / "main").write_text(COMMIT)
    blobs, snapshot = home / "blobs", home / "snapshots" / COMMIT
    blobs.mkdir()
    for index, path in enumerate(sorted(files.rglob("*"))):
        if path.is_file():
            shutil.copy(path, blobs / str(index))
            link = snapshot / path.relative_to(files)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(blobs / str(index))


# Addresses.


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("hf://a/b", Address("a", "b")),
        ("hf://keras-io/vit_small_ds_v2", Address("keras-io", "vit_small_ds_v2")),
        ("hf://a/b@v1.0", Address("a", "b", "v1.0")),
        ("hf://a/b@refs/pr/1", Address("a", "b", "refs/pr/1")),
    ],
)
def test_an_address_is_taken_apart(text: str, address: Address) -> None:
    assert parse_address(text) == address
    assert str(address) == text


@pytest.mark.parametrize(
    "text",
    [
        *("hf://", "hf://a", "hf://a/", "hf://a/b/c", "hf://a/b@", "hf://../b", "hf://a/.."),
        *("hf://a/b@../../x", "hf://a/b@/etc", "hf://a b/c", "hf://a/b@x y", "hf://-a/b"),
    ],
)
def test_what_is_no_address_is_a_wrong_usage(text: str) -> None:
    with pytest.raises(UsageError, match="hf://owner/name"):
        locate(text)
    assert run_command("onnx", "--model", text).exit_code == 2


def test_the_name_of_a_source() -> None:
    assert source_name("hf://keras-io/vit_small_ds_v2@main") == "vit_small_ds_v2"
    assert source_name("a/b.weights.h5") == source_name("b.keras") == source_name("x/b/") == "b"
    assert source_name(".") == Path.cwd().name


# Downloads.


def test_only_the_needed_files_are_fetched_and_only_once(
    hub: Hub, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = load_model(ADDRESS)
    assert hub.fetched == ["model.keras"]
    assert loaded.name == "model"
    assert loaded.provenance == {"form": ".keras file", "origin": ADDRESS, "revision": COMMIT}
    assert str(loaded.path).startswith(str(cache))
    load_model(f"{ADDRESS}@v1")
    assert hub.fetched == ["model.keras"]
    assert hub.revisions == ["main", "v1"]
    # Without the network, and pinned: a commit does not change.
    reach(monkeypatch, "http://127.0.0.1:9")
    for address in (ADDRESS, f"{ADDRESS}@{COMMIT}"):
        assert load_model(address).sha256 == loaded.sha256


def test_a_revision_that_is_not_there_is_told(hub: Hub) -> None:
    with pytest.raises(InputError, match="has no revision 'v9'"):
        locate(f"{ADDRESS}@v9")


def test_a_repository_that_is_not_there_is_told(hub: Hub) -> None:
    with pytest.raises(
        InputError, match="is not a model on the Hugging Face hub, or it is private"
    ):
        locate("hf://somebody/else")


def test_a_repository_without_a_keras_model_is_told(hub: Hub, repository: Path) -> None:
    (repository / "model.keras").unlink()
    (repository / "config.json").write_text("{}")
    with pytest.raises(InputError, match="holds no Keras model"):
        locate(ADDRESS)


def test_a_repository_with_several_models_is_told(hub: Hub, repository: Path) -> None:
    shutil.copy(repository / "model.keras", repository / "other.keras")
    with pytest.raises(InputError, match=r"several models \(model.keras, other.keras\)"):
        locate(ADDRESS)


def test_what_keras_uploads_is_read(
    hub: Hub, repository: Path, small_model: Path, images: np.ndarray
) -> None:
    shutil.unpack_archive(small_model, repository, "zip")
    (repository / "model.keras").unlink()
    (repository / "vitsd_export.json").unlink()
    loaded = load_model(ADDRESS)
    pixels = images[:4].astype(np.float32)
    np.testing.assert_array_equal(loaded.model(pixels), load_model(small_model).model(pixels))


def test_without_a_network_nor_a_cache_the_message_says_what_to_do(tmp_path: Path) -> None:
    outcome = run_command("onnx", "--model", ADDRESS, "-o", tmp_path / "x.onnx")
    assert outcome.exit_code == 5
    assert "cannot be reached" in outcome.error
    assert "folder of a copy" in outcome.error


def test_a_connection_that_breaks_is_told(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.broken = True
    with pytest.raises(EnvironmentProblem, match="could not be downloaded"):
        locate(ADDRESS)
    # Nothing half of a file is taken for the whole later.
    hub.broken = False
    assert load_model(ADDRESS).num_classes == 10


def test_offline_mode_is_heeded(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(EnvironmentProblem, match="cannot be reached"):
        locate(ADDRESS)
    assert hub.revisions == []


def test_a_missing_package_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(EnvironmentProblem, match=r"pip install 'vitsd-export\[hub\]'"):
        locate(ADDRESS)


# The published model's command, with a cache in place of the hub.


@pytest.mark.usefixtures("tried_here")
def test_the_published_model_s_command(
    legacy: Legacy, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill_cache(cache, legacy.saved_model, "keras-io", "vit_small_ds_v2")
    monkeypatch.chdir(tmp_path)
    outcome = run_command("onnx", "--model", "hf://keras-io/vit_small_ds_v2", "--json")
    assert outcome.exit_code == 0, outcome.stderr
    artifact = json.loads(outcome.stdout)["artifacts"][0]
    assert artifact["path"] == "vit_small_ds_v2.onnx"
    assert artifact["verification"]["passed"]
    manifest: dict[str, Any] = json.loads((tmp_path / "vit_small_ds_v2.onnx.json").read_text())
    assert manifest["source"]["origin"] == "hf://keras-io/vit_small_ds_v2"
    assert manifest["source"]["revision"] == COMMIT
    assert manifest["labels"][:2] == ["apple", "aquarium_fish"]
    shown = run_command("inspect", "vit_small_ds_v2.onnx").stdout
    assert "hf://keras-io/vit_small_ds_v2" in shown
    assert f"commit {COMMIT[:12]}" in " ".join(shown.split())
