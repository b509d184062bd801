"""Reading models: what is written is read, and what cannot be used is refused with a reason."""

import hashlib
import json
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.archives import rewrite
from tests.support.small_models import build_small, random_pixels, small_config
from vitsd_export.errors import InputError, UsageError
from vitsd_export.pretrained import bundled_names
from vitsd_export.sources.archive import CARD_FILE
from vitsd_export.sources.checkpoint import (
    LoadedModel,
    answers_probabilities,
    load_model,
    write_model,
)

Save = Callable[[keras.Model], Path]

# A damaged file is loaded hundreds of times: the fixtures are made once, the files written anew.
many = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def pooled(inputs: Any, units: int = 3, **options: Any) -> Any:
    x = keras.layers.GlobalAveragePooling2D()(inputs)
    return keras.layers.Dense(units, **options)(x)


def foreign_model(**options: Any) -> keras.Model:
    """A classifier of another make, with the options of its last layer."""
    image = keras.Input((8, 8, 3))
    return keras.Model(image, pooled(image, **options))


def refusal(path: Path | str, **options: Any) -> str:
    """The message by which the model is refused; it names the file."""
    with pytest.raises(InputError) as caught:
        load_model(path, **options)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


# --- What can be used ---


def test_a_written_model_comes_back_with_its_card(tmp_path: Path) -> None:
    path = tmp_path / "my.model.keras"
    card = {"labels": ["Katze", "chien", "鳥"], "seed": 7, "test": {"top1": 0.5}}
    model = build_small()
    sha256 = write_model(model, small_config(), path, card)
    loaded = load_model(path)
    assert loaded.card == card
    assert loaded.labels == ("Katze", "chien", "鳥")
    assert loaded.name == "my.model"
    assert loaded.path == path
    assert loaded.sha256 == sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (loaded.image_size, loaded.num_classes) == (8, 3)
    assert list(tmp_path.iterdir()) == [path]


def test_a_written_model_is_an_ordinary_keras_file(small_archive: Path) -> None:
    model = keras.saving.load_model(small_archive)
    np.testing.assert_array_equal(
        model(random_pixels(2, 8)), load_model(small_archive).model(random_pixels(2, 8))
    )
    with zipfile.ZipFile(small_archive) as archive:
        assert json.loads(archive.read(CARD_FILE))["seed"] == 7
        assert archive.testzip() is None


def test_a_model_is_replaced_only_when_the_new_one_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.keras"
    write_model(build_small(), small_config(), path, {})
    before = path.read_bytes()
    with pytest.raises(TypeError, match="not JSON serializable"):
        write_model(build_small(), small_config(), path, {"labels": {1, 2}})
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_weights_are_read_with_their_preset(small_weights: Path, small_preset: str) -> None:
    loaded = load_model(small_weights, preset=small_preset)
    assert loaded.name == "small"
    assert loaded.card == {}
    assert loaded.labels is None
    assert loaded.sha256 == hashlib.sha256(small_weights.read_bytes()).hexdigest()
    pixels = random_pixels(2, 8)
    np.testing.assert_array_equal(loaded.model(pixels), build_small()(pixels))


def test_weights_tell_the_number_of_classes(small_preset: str, tmp_path: Path) -> None:
    path = tmp_path / "more.weights.h5"
    build_small(num_classes=17).save_weights(path)
    assert load_model(path, preset=small_preset).num_classes == 17


def test_a_bundled_model_is_found_by_its_name() -> None:
    for name in bundled_names():
        loaded = load_model(name)
        assert loaded.name == name
        assert loaded.labels is not None


def test_a_model_of_another_make_is_read(save: Save) -> None:
    path = save(foreign_model())
    loaded = load_model(str(path))
    assert loaded.card == {}
    assert loaded.labels is None
    assert (loaded.image_size, loaded.num_classes) == (8, 3)


def test_a_tensor_in_a_dict_or_list_is_taken_out(save: Save) -> None:
    image = keras.Input((8, 8, 3), name="image")
    path = save(keras.Model({"image": image}, {"logits": pooled(image)}))
    model = load_model(path).model
    pixels = random_pixels(2, 8)
    assert model(pixels).shape == (2, 3)
    assert not answers_probabilities(load_model(path))


def test_nan_weights_are_read_for_the_verification_to_find(small_preset: str, save: Save) -> None:
    model = build_small()
    model.get_layer("logits").kernel.assign(np.full((8, 3), np.nan))
    loaded = load_model(save(model))
    assert not answers_probabilities(loaded)


# --- Whether the answer is a softmax ---


class _SoftmaxByOperations(keras.layers.Layer):
    def call(self, x: Any) -> Any:
        return keras.ops.exp(x) / keras.ops.sum(keras.ops.exp(x), axis=-1, keepdims=True)


def _in_memory(model: keras.Model) -> LoadedModel:
    return LoadedModel(model, "model", Path("model.keras"), "", {})


def _with_last(layer: keras.layers.Layer) -> keras.Model:
    model = foreign_model()
    return keras.Model(model.input, layer(model.output))


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (lambda: foreign_model(activation="softmax"), True),
        (lambda: foreign_model(activation="softmax", units=100), True),
        (lambda: _with_last(keras.layers.Softmax()), True),
        (lambda: _with_last(_SoftmaxByOperations()), True),
        (lambda: foreign_model(), False),
        (lambda: foreign_model(activation="sigmoid"), False),
        (lambda: foreign_model(activation="relu"), False),
        (lambda: foreign_model(activation="log_softmax"), False),
        (lambda: foreign_model(units=1), False),
        (build_small, False),
    ],
)
def test_a_softmax_is_told_by_its_answers(model: Callable[[], keras.Model], expected: bool) -> None:
    keras.utils.set_random_seed(0)
    assert answers_probabilities(_in_memory(model())) is expected


# --- What cannot be used ---


def test_a_missing_file_fails_and_names_the_bundled_models() -> None:
    message = refusal("no/such.keras")
    assert "does not exist" in message
    assert all(name in message for name in bundled_names())


@pytest.mark.parametrize("name", ["\0", "x" * 5000, "", "."])
def test_a_name_that_can_be_no_file_fails(name: str) -> None:
    with pytest.raises(InputError, match="The model"):
        load_model(name)


def test_a_folder_fails(tmp_path: Path) -> None:
    assert "holds no model" in refusal(tmp_path)


@pytest.mark.parametrize("name", ["small.keras", "small.weights.h5"])
@pytest.mark.parametrize("fraction", [0.0, 0.001, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file_fails(
    name: str,
    fraction: float,
    small_archive: Path,
    small_weights: Path,
    small_preset: str,
    tmp_path: Path,
) -> None:
    source, preset = (
        (small_archive, None) if name.endswith(".keras") else (small_weights, small_preset)
    )
    content = source.read_bytes()
    path = tmp_path / name
    path.write_bytes(content[: int(len(content) * fraction)])
    assert "again" in refusal(path, preset=preset) or preset


@many
@given(data=st.data())
def test_a_damaged_archive_fails_cleanly_or_is_read_whole(
    data: st.DataObject, small_archive: Path, tmp_path: Path
) -> None:
    content = bytearray(small_archive.read_bytes())
    for position in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=4)):
        content[position] ^= data.draw(st.integers(1, 255))
    path = tmp_path / "damaged.keras"
    path.write_bytes(content)
    _load_or_refuse(path, None)


@many
@given(data=st.data())
def test_a_damaged_weights_file_fails_cleanly_or_is_read(
    data: st.DataObject, small_weights: Path, small_preset: str, tmp_path: Path
) -> None:
    content = bytearray(small_weights.read_bytes())
    # The numbers themselves carry no checksum; the structure lies at the beginning.
    for position in data.draw(st.lists(st.integers(0, 9000), min_size=1, max_size=4)):
        content[position] ^= data.draw(st.integers(1, 255))
    path = tmp_path / "damaged.weights.h5"
    path.write_bytes(content)
    _load_or_refuse(path, small_preset)


def test_a_damaged_compressed_member_fails(small_archive: Path, tmp_path: Path) -> None:
    content = bytearray(small_archive.read_bytes())
    with zipfile.ZipFile(small_archive) as archive:
        weights = archive.getinfo("model.weights.h5")
    start = weights.header_offset + 100
    content[start : start + 200] = b"\xff" * 200
    path = tmp_path / "damaged.keras"
    path.write_bytes(content)
    assert "Save or copy it again" in refusal(path)


@many
@given(content=st.binary(max_size=300))
@pytest.mark.parametrize("start", [b"", b"PK\x03\x04", b"\x89HDF\r\n\x1a\n"])
@pytest.mark.parametrize("name", ["x.keras", "x.weights.h5", "x.h5", "x"])
def test_random_bytes_fail(
    content: bytes, start: bytes, name: str, small_preset: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(start + content)
    refusal(path, preset=None if path.read_bytes().startswith(b"PK") else small_preset)


def _load_or_refuse(path: Path, preset: str | None) -> None:
    message = ""
    try:
        load_model(path, preset=preset)
    except InputError as error:
        message = str(error)
    assert not message or str(path) in message


def test_an_archive_that_is_no_model_fails(tmp_path: Path) -> None:
    path = tmp_path / "other.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    assert "cannot be loaded" in refusal(path)


@pytest.mark.parametrize(
    ("member", "content"),
    [
        ("config.json", None),
        ("config.json", b"{"),
        ("config.json", b"[]"),
        ("config.json", b'{"class_name": "Functional", "config": 3}'),
        ("model.weights.h5", None),
        ("model.weights.h5", b"not HDF5"),
    ],
)
def test_an_archive_with_a_broken_member_fails(
    member: str, content: bytes | None, small_archive: Path, tmp_path: Path
) -> None:
    path = rewrite(small_archive, tmp_path / "broken.keras", {member: content})
    assert "again" in refusal(path)


def test_an_unknown_layer_fails(save: Save) -> None:
    @keras.saving.register_keras_serializable(package="elsewhere")
    class Exotic(keras.layers.Layer):
        def call(self, x: Any) -> Any:
            return x

    try:
        path = save(_with_last(Exotic()))
    finally:
        del keras.saving.get_custom_objects()["elsewhere>Exotic"]
    message = refusal(path)
    assert "the class 'Exotic', which is not known here" in message


def test_a_lambda_layer_is_refused_and_its_code_not_run(
    save: Save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marker = tmp_path / "was run"
    monkeypatch.setenv("MARKER", str(marker))
    # A function with a name would be saved by its name, a lambda is saved with its code.
    layer = keras.layers.Lambda(
        lambda x: (
            __import__("pathlib").Path(__import__("os").environ["MARKER"]).touch(),
            x,
        )[1]
    )
    path = save(_with_last(layer))
    marker.unlink()
    assert "contains code" in refusal(path)
    assert not marker.exists()
    # It would have been run.
    keras.saving.load_model(path, safe_mode=False)
    assert marker.exists()


def test_a_module_that_the_file_names_is_not_imported(
    small_archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "planted.py").write_text("class LocalitySelfAttention: pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    with zipfile.ZipFile(small_archive) as archive:
        config = archive.read("config.json").decode()
    assert '"vitsd_export>LocalitySelfAttention"' in config
    changed = config.replace('"vitsd_export.model.layers"', '"planted"').replace(
        '"vitsd_export>', '"planted>'
    )
    path = rewrite(small_archive, tmp_path / "x.keras", {"config.json": changed.encode()})
    assert "not known here" in refusal(path)
    assert "planted" not in sys.modules


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((8, 12, 3), "(None, 8, 12, 3); expected square RGB images"),
        ((8, 8, 1), "(None, 8, 8, 1); expected square RGB images"),
        ((None, None, 3), "(None, None, None, 3); expected square RGB images"),
    ],
)
def test_an_input_of_another_shape_fails(
    shape: tuple[int | None, ...], message: str, save: Save
) -> None:
    image = keras.Input(shape)
    assert message in refusal(save(keras.Model(image, pooled(image))))


def test_an_input_without_height_and_width_fails(save: Save) -> None:
    vector = keras.Input((12,))
    message = refusal(save(keras.Model(vector, keras.layers.Dense(3)(vector))))
    assert "(None, 12); expected square RGB images" in message


def test_a_fixed_batch_fails(save: Save) -> None:
    image = keras.Input((8, 8, 3), batch_size=2)
    message = refusal(save(keras.Model(image, pooled(image))))
    assert "batches of exactly 2 images" in message


def test_two_inputs_fail(save: Save) -> None:
    images = [keras.Input((8, 8, 3)), keras.Input((8, 8, 3))]
    logits = pooled(keras.layers.Add()(images))
    assert "2 inputs and 1 outputs" in refusal(save(keras.Model(images, logits)))


def test_two_outputs_fail(save: Save) -> None:
    image = keras.Input((8, 8, 3))
    message = refusal(save(keras.Model(image, [pooled(image), pooled(image)])))
    assert "1 inputs and 2 outputs" in message


def test_an_output_with_a_position_for_each_token_fails(save: Save) -> None:
    image = keras.Input((8, 8, 3))
    tokens = keras.layers.Dense(3)(keras.layers.Reshape((64, 3))(image))
    message = refusal(save(keras.Model(image, tokens)))
    assert "has an output of shape (None, 64, 3)" in message


def test_a_model_that_was_never_built_fails(save: Save) -> None:
    model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(3)])
    with pytest.warns(UserWarning, match="not been built|not yet been built|never been called"):
        path = save(model)
    assert "known input" in refusal(path)


@pytest.mark.parametrize(
    "changes",
    [
        {"dim": 16, "mlp_units": (12, 16)},
        {"depth": 2},
        {"head": "flatten"},
        {"head_units": (5,)},
        {"key_dim": 4},
    ],
)
def test_weights_of_another_architecture_fail(
    changes: dict[str, Any], small_preset: str, tmp_path: Path
) -> None:
    path = tmp_path / "other.weights.h5"
    build_small(**changes).save_weights(path)
    message = refusal(path, preset=small_preset)
    assert "do not fit the preset small" in message
    assert "vit-small-ds, vit-tiny" in message


def test_weights_without_a_preset_fail(small_weights: Path) -> None:
    with pytest.raises(UsageError, match=r"--preset vit-small-ds\|vit-tiny"):
        load_model(small_weights)


def test_weights_with_an_unknown_preset_fail(small_weights: Path) -> None:
    with pytest.raises(UsageError, match="no preset 'vit-huge'"):
        load_model(small_weights, preset="vit-huge")


def test_an_archive_with_a_preset_fails(small_archive: Path, small_preset: str) -> None:
    with pytest.raises(UsageError, match="holds its own architecture"):
        load_model(small_archive, preset=small_preset)


@pytest.mark.parametrize("name", ["model.zip", "model"])
def test_an_archive_of_another_name_fails_and_tells_which(
    name: str, small_archive: Path, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(small_archive.read_bytes())
    assert "rename it to model.keras" in refusal(path)


@pytest.mark.parametrize(
    "card", [b"{", b"\xff", b"[]", b'"text"', b'{"labels": "abc"}', b'{"labels": [1, 2, 3]}']
)
def test_a_corrupt_card_fails(card: bytes, small_archive: Path, tmp_path: Path) -> None:
    path = rewrite(small_archive, tmp_path / "x.keras", {CARD_FILE: card})
    assert "The card inside" in refusal(path)


def test_labels_that_do_not_fit_the_outputs_fail(small_archive: Path, tmp_path: Path) -> None:
    card = json.dumps({"labels": ["a", "b"]}).encode()
    path = rewrite(small_archive, tmp_path / "x.keras", {CARD_FILE: card})
    assert "has 2 labels for 3 outputs" in refusal(path)
