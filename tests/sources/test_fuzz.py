"""Damaged and hostile sources: each is read or refused with a message, and touches nothing.

All damage is drawn from seeds, so that every run sees the same files.
"""

import copy
import json
import os
import shutil
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from tests.support.any_classifiers import functional
from tests.support.command_line import run_command
from tests.support.watching import watched
from vitsd_export.errors import InputError
from vitsd_export.model.classifier import build_classifier
from vitsd_export.model.config import PRESETS, ModelConfig
from vitsd_export.sources.checkpoint import load_model

Damage = Callable[[bytes, np.random.Generator], bytes]


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model in each form of file. Tests leave it as it is."""
    folder = tmp_path_factory.mktemp("sources")
    model = functional(size=8)
    model.save(folder / "model.keras")
    model.save(folder / "whole.h5")
    return folder


@pytest.fixture
def sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder where the damaged file lies, alone; temporary files go and must vanish beside it."""
    scratch, place = tmp_path / "scratch", tmp_path / "place"
    scratch.mkdir()
    place.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    yield place
    assert list(scratch.iterdir()) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["place", "scratch"]


def attempt(path: Path, **options: Any) -> bool:
    """Loads a source; returns whether it could be used. Anything but an InputError is a failure.

    The command line turns an InputError into exit code 3.
    """
    before = sorted(os.listdir(path.parent))
    with watched(path.parent.parent):
        try:
            load_model(path, **options)
        except InputError as error:
            message = str(error)
        else:
            message = ""
    assert sorted(os.listdir(path.parent)) == before
    assert "\n" not in message
    assert len(message) < 1500
    assert not message or str(path) in message, message
    return not message


# Damage without any aim.


def truncated(content: bytes, rng: np.random.Generator) -> bytes:
    return content[: rng.integers(len(content))]


def flipped(content: bytes, rng: np.random.Generator) -> bytes:
    changed = bytearray(content)
    for place in rng.integers(len(changed), size=rng.integers(1, 5)):
        changed[place] ^= 1 << rng.integers(8)
    return bytes(changed)


def overwritten(content: bytes, rng: np.random.Generator) -> bytes:
    changed = bytearray(content)
    start = int(rng.integers(len(changed)))
    length = min(int(rng.integers(1, 64)), len(changed) - start)
    changed[start : start + length] = rng.bytes(length)
    return bytes(changed)


def without_a_part(content: bytes, rng: np.random.Generator) -> bytes:
    start, end = sorted(rng.integers(len(content), size=2))
    return content[:start] + content[end:]


BLIND: list[Damage] = [truncated, flipped, overwritten, without_a_part]


@pytest.mark.parametrize("damage", BLIND)
@pytest.mark.parametrize(("name", "cases"), [("model.keras", 40), ("whole.h5", 40)])
def test_blind_damage_to_files(
    damage: Damage, name: str, cases: int, sources: Path, sandbox: Path
) -> None:
    content = (sources / name).read_bytes()
    path = sandbox / name
    for seed in range(cases):
        path.write_bytes(damage(content, np.random.default_rng(seed)))
        attempt(path)


@pytest.mark.parametrize("damage", BLIND)
def test_blind_damage_to_weights(
    damage: Damage, sandbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = ModelConfig(
        input_size=8,
        image_size=8,
        patch_size=4,
        dim=4,
        num_heads=1,
        key_dim=2,
        depth=1,
        mlp_units=(4,),
        head="mean",
        head_units=(),
        num_classes=3,
    )
    monkeypatch.setitem(PRESETS, "tiny", config)
    path = sandbox / "x.weights.h5"
    build_classifier(config).save_weights(path)
    content = path.read_bytes()
    for seed in range(25):
        path.write_bytes(damage(content, np.random.default_rng(seed)))
        attempt(path, preset="tiny")


@pytest.mark.parametrize(
    "start", [b"", b"PK\x03\x04", b"PK\x05\x06", b"\x89HDF\r\n\x1a\n", b"\x80\x04"]
)
@pytest.mark.parametrize("name", ["x.keras", "x.h5", "x"])
def test_bytes_that_mean_nothing(start: bytes, name: str, sandbox: Path) -> None:
    for seed in range(3):
        rng = np.random.default_rng(seed)
        (sandbox / name).write_bytes(start + rng.bytes(int(rng.integers(400))))
        assert not attempt(sandbox / name)


# A configuration that is JSON, and wrong.

STRANGE: list[Any] = [None, True, -1, 0, 1e30, "", "keras", [], {}, [[]], "\x00", 10**25]
CLASSES = ["Dense", "Lambda", "TFSMLayer", "InputLayer", "Functional", "get_file", "load_model"]
MODULES = ["keras.layers", "keras.utils", "keras.saving", "os", "builtins", "subprocess", "keras"]


def places(config: Any) -> list[tuple[Any, Any]]:
    """All pairs of a container and a key in it."""
    found, waiting = [], [config]
    while waiting:
        item = waiting.pop()
        keys = item.keys() if isinstance(item, dict) else range(len(item))
        for key in keys:
            found.append((item, key))
            if isinstance(item[key], dict | list):
                waiting.append(item[key])
    return found


def mutated(config: Any, rng: np.random.Generator) -> Any:
    changed = copy.deepcopy(config)
    for _ in range(rng.integers(1, 3)):
        known = places(changed)
        container, key = known[rng.integers(len(known))]
        choice = rng.integers(4)
        if choice == 0 and isinstance(container, dict):
            del container[key]
        elif choice == 1:
            container[key] = copy.deepcopy(STRANGE[rng.integers(len(STRANGE))])
        elif choice == 2:
            other, its = known[rng.integers(len(known))]
            container[key] = copy.deepcopy(other[its])
        else:
            values = {"class_name": CLASSES, "module": MODULES, "registered_name": CLASSES}
            for item, name in known:
                if name in values and rng.integers(3) == 0:
                    item[name] = values[name][rng.integers(len(values[name]))]
    return changed


def rewritten(source: Path, target: Path, members: dict[str, bytes | None]) -> None:
    with zipfile.ZipFile(source) as archive, zipfile.ZipFile(target, "w") as copied:
        contents: dict[str, bytes | None] = {n: archive.read(n) for n in archive.namelist()}
        for name, content in {**contents, **members}.items():
            if content is not None:
                copied.writestr(name, content)


def test_a_changed_configuration(sources: Path, sandbox: Path) -> None:
    with zipfile.ZipFile(sources / "model.keras") as archive:
        config = json.loads(archive.read("config.json"))
    path = sandbox / "model.keras"
    for seed in range(300):
        changed = mutated(config, np.random.default_rng(seed))
        rewritten(sources / "model.keras", path, {"config.json": json.dumps(changed).encode()})
        attempt(path)


@pytest.mark.parametrize("damage", BLIND)
def test_damaged_weights_in_a_whole_archive(damage: Damage, sources: Path, sandbox: Path) -> None:
    with zipfile.ZipFile(sources / "model.keras") as archive:
        weights = archive.read("model.weights.h5")
    path = sandbox / "model.keras"
    for seed in range(40):
        damaged = damage(weights, np.random.default_rng(seed))
        rewritten(sources / "model.keras", path, {"model.weights.h5": damaged})
        attempt(path)


@pytest.mark.parametrize("name", ["config.json", "metadata.json", "model.weights.h5"])
def test_an_unpacked_archive(name: str, sources: Path, sandbox: Path) -> None:
    folder = sandbox / "unpacked"
    shutil.unpack_archive(sources / "model.keras", folder, "zip")
    assert attempt(folder)
    content = (folder / name).read_bytes()
    for seed, damage in enumerate([*BLIND, *BLIND]):
        (folder / name).write_bytes(damage(content, np.random.default_rng(seed)))
        attempt(folder)


@pytest.mark.usefixtures("tried_here")
@pytest.mark.parametrize("damage", BLIND)
@pytest.mark.parametrize(
    ("name", "cases"),
    [
        ("saved_model.pb", 30),
        ("variables/variables.index", 25),
        ("variables/variables.data-00000-of-00001", 15),
    ],
)
def test_blind_damage_to_saved_models(
    damage: Damage, name: str, cases: int, exported_network: Path, sandbox: Path
) -> None:
    folder = shutil.copytree(exported_network, sandbox / "network")
    content = (folder / name).read_bytes()
    for seed in range(cases):
        (folder / name).write_bytes(damage(content, np.random.default_rng(seed)))
        attempt(folder)


# Made to harm.


def traversal(path: Path, source: Path) -> None:
    rewritten(source, path, {"assets/../../../escaped.txt": b"out"})


def absolute(path: Path, source: Path) -> None:
    rewritten(source, path, {str(path.parent.parent / "escaped.txt"): b"out"})


def backslashes(path: Path, source: Path) -> None:
    rewritten(source, path, {"assets\\..\\..\\escaped.txt": b"out"})


def drive(path: Path, source: Path) -> None:
    rewritten(source, path, {"C:escaped.txt": b"out"})


def link(path: Path, source: Path) -> None:
    rewritten(source, path, {})
    with zipfile.ZipFile(path, "a") as archive:
        info = zipfile.ZipInfo("assets")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/")


def twice(path: Path, source: Path) -> None:
    rewritten(source, path, {})
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("config.json", "{}")


def bomb(path: Path, source: Path) -> None:
    rewritten(source, path, {"model.weights.h5": None})
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model.weights.h5", bytes(1 << 25))


def pickles(path: Path, source: Path) -> None:
    rewritten(source, path, {"model.weights.h5": None, "model.weights.npz": b"\x80\x04."})


def encrypted(path: Path, source: Path) -> None:
    rewritten(source, path, {})
    content = bytearray(path.read_bytes())
    directory = content.rindex(b"PK\x01\x02")
    content[directory + 8] |= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (traversal, "outside its folder"),
        (absolute, "outside its folder"),
        (backslashes, "outside its folder"),
        (drive, "outside its folder"),
        (link, "is a link"),
        (twice, "two members"),
        (bomb, "unpacks to"),
        (pickles, "pickles"),
        (encrypted, "encrypted"),
    ],
)
def test_hostile_archives(make: Any, word: str, sources: Path, sandbox: Path) -> None:
    path = sandbox / "model.keras"
    make(path, sources / "model.keras")
    assert not attempt(path)
    outcome = run_command("onnx", "--model", path, "-o", sandbox / "x.onnx")
    assert outcome.exit_code == 3
    assert word in outcome.error
    assert not (sandbox / "x.onnx").exists()


def tfsm(config: dict[str, Any]) -> dict[str, Any]:
    return {"filepath": "/somewhere", "call_endpoint": "serve", "name": config["name"]}


def test_a_layer_that_loads_another_model_is_refused(sources: Path, sandbox: Path) -> None:
    with zipfile.ZipFile(sources / "model.keras") as archive:
        config = json.loads(archive.read("config.json"))
    layer = config["config"]["layers"][1]
    layer["class_name"], layer["config"] = "TFSMLayer", tfsm(layer["config"])
    path = sandbox / "model.keras"
    rewritten(sources / "model.keras", path, {"config.json": json.dumps(config).encode()})
    with pytest.raises(InputError, match="contains code"):
        load_model(path)


@pytest.mark.parametrize("units", [10**9, 10**12, 10**18])
def test_a_layer_larger_than_any_memory_is_refused(
    units: int, sources: Path, sandbox: Path
) -> None:
    with zipfile.ZipFile(sources / "model.keras") as archive:
        config = json.loads(archive.read("config.json"))
    config["config"]["layers"][-1]["config"]["units"] = units
    path = sandbox / "model.keras"
    rewritten(sources / "model.keras", path, {"config.json": json.dumps(config).encode()})
    with pytest.raises(InputError, match="wants a weight of shape"):
        load_model(path)


def test_a_layer_that_enlarges_images_beyond_any_memory_is_refused(sandbox: Path) -> None:
    image = keras.Input((8, 8, 3))
    x = keras.layers.UpSampling2D(20_000)(image)
    path = sandbox / "model.keras"
    keras.Model(image, keras.layers.GlobalAveragePooling2D()(x)).save(path)
    with pytest.raises(InputError, match=r"up_sampling2d.* makes a tensor of shape"):
        load_model(path)
