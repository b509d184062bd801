"""HDF5 files: weights of Keras 2 and 3, whole models, and what no such file may do."""

import os
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest

from tests.support.archives import rewrite
from tests.support.keras_models import small_config, small_transformer
from tests.support.legacy_models import NARROW, Legacy
from tests.support.source_tensors import hyperparameters
from vitsd_export.errors import InputError, UsageError
from vitsd_export.model.config import PRESETS
from vitsd_export.sources.checkpoint import load_model


@pytest.fixture
def presets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Presets that tests are small enough for."""
    monkeypatch.setitem(PRESETS, "narrow", hyperparameters(NARROW))
    monkeypatch.setitem(PRESETS, "small", small_config())


def refusal(path: Path, **options: Any) -> str:
    with pytest.raises(InputError) as caught:
        load_model(path, **options)
    assert str(path) in str(caught.value)
    return str(caught.value)


@pytest.mark.usefixtures("presets")
@pytest.mark.parametrize("preset", ["narrow", None])
@pytest.mark.parametrize("name", ["weights.h5", "whole.h5"])
def test_files_of_keras_2_are_mapped(legacy: Legacy, name: str, preset: str | None) -> None:
    if name == "weights.h5" and preset is None:
        with pytest.raises(UsageError, match="--preset"):
            load_model(legacy.folder / name)
        return
    images, logits = legacy.answers()
    loaded = load_model(legacy.folder / name, preset=preset)
    assert np.abs(np.asarray(loaded.model(images, training=False)) - logits).max() <= 1e-5


@pytest.mark.usefixtures("presets")
def test_weights_of_keras_2_of_another_size_are_refused(legacy: Legacy) -> None:
    message = refusal(legacy.folder / "weights.h5", preset="vit-small-ds")
    assert "do not fit the preset vit-small-ds" in message


@pytest.mark.usefixtures("presets")
@pytest.mark.parametrize("name", ["x.weights.h5", "x.h5", "x"])
def test_weights_of_keras_3_are_read_by_any_name(name: str, tmp_path: Path) -> None:
    model = small_transformer()
    model.save_weights(tmp_path / "x.weights.h5")
    path = (tmp_path / "x.weights.h5").rename(tmp_path / name)
    loaded = load_model(path, preset="small")
    assert loaded.name == "x"
    images = np.ones((2, 32, 32, 3), np.float32)
    np.testing.assert_array_equal(loaded.model(images), model(images))


def test_a_whole_model_in_hdf5_is_read(
    network: Any, logits: Any, images: Any, tmp_path: Path
) -> None:
    network.save(tmp_path / "whole.h5")
    loaded = load_model(tmp_path / "whole.h5")
    assert loaded.provenance == {"form": "whole model in HDF5"}
    np.testing.assert_allclose(loaded.model(images.astype(np.float32)), logits, atol=1e-5)


def test_a_lambda_in_a_whole_model_is_refused_unless_trusted(tmp_path: Path) -> None:
    image = keras.Input((8, 8, 3))
    x = keras.layers.Lambda(lambda x: x * 2, output_shape=(8, 8, 3))(image)
    path = tmp_path / "lambda.h5"
    keras.Model(image, keras.layers.Dense(3)(keras.layers.Flatten()(x))).save(path)
    message = refusal(path)
    assert "contains code" in message
    assert "--trust" in message
    assert load_model(path, trust=True).num_classes == 3


# What no file of weights may do.


def external_link(file: h5py.File, other: Path) -> None:
    file["layers/link"] = h5py.ExternalLink(str(other), "/secret")


def external_storage(file: h5py.File, other: Path) -> None:
    file.create_dataset("layers/raw", (4,), "f4", external=[(str(other), 0, 16)])


def virtual_dataset(file: h5py.File, other: Path) -> None:
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource(str(other), "secret", shape=(4,))
    file.create_virtual_dataset("layers/virtual", layout)


def huge(file: h5py.File, other: Path) -> None:
    file.create_dataset("layers/huge", (1 << 40,), "f4", chunks=(1 << 10,))


@pytest.mark.usefixtures("presets")
@pytest.mark.parametrize(
    ("change", "word"),
    [
        (external_link, "link to another file"),
        (external_storage, "lies in another file"),
        (virtual_dataset, "lies in another file"),
        (huge, "claims"),
    ],
)
@pytest.mark.parametrize("archived", [False, True])
def test_what_reaches_outside_is_refused(
    change: Any, word: str, archived: bool, tmp_path: Path
) -> None:
    other = tmp_path / "other.h5"
    with h5py.File(other, "w") as file:
        file["secret"] = np.ones(4, np.float32)
    weights = tmp_path / "x.weights.h5"
    model = small_transformer()
    model.save_weights(weights)
    with h5py.File(weights, "a") as file:
        change(file, other)
    if not archived:
        assert word in refusal(weights, preset="small")
        return
    model.save(tmp_path / "whole.keras")
    members: dict[str, bytes | None] = {"model.weights.h5": weights.read_bytes()}
    path = rewrite(tmp_path / "whole.keras", tmp_path / "hostile.keras", members)
    message = refusal(path)
    assert word in message
    assert "unsafe" in message


@pytest.mark.usefixtures("presets")
def test_groups_that_contain_themselves_do_not_hang(tmp_path: Path) -> None:
    weights = tmp_path / "x.weights.h5"
    small_transformer().save_weights(weights)
    with h5py.File(weights, "a") as file:
        file["layers/again"] = file["layers"]
        file["layers/soft"] = h5py.SoftLink("/nowhere")
    assert load_model(weights, preset="small").num_classes == 10


def test_nothing_is_left_in_the_temporary_folder(
    legacy: Legacy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / "x.hdf5").write_bytes((legacy.folder / "whole.h5").read_bytes())
    load_model(tmp_path / "x.hdf5")
    assert os.listdir(tmp_path) == ["x.hdf5"]
