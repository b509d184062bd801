"""The residual network, and runs that start from a trained model."""

import dataclasses
from pathlib import Path

import keras
import numpy as np
import pytest

from tests.support.engine_runs import random_start
from tests.support.training_parts import RECIPE, small_config, small_data
from tests.support.training_runs import run, silent, weights_of
from training.loop import Trained
from training.networks import build_for_training, build_residual, write_network
from training.presets import ResidualConfig, config_of
from training.recipes import MixingRecipe
from training.recipes.schema import RegularizationRecipe
from training.teaching import load_teacher
from vitsd_export.errors import UsageError
from vitsd_export.model.config import preset_config
from vitsd_export.sources.checkpoint import load_model

NARROW = ResidualConfig((4, 6, 8, 10), 8, 3)
PLAIN = dataclasses.replace(
    RECIPE,
    epochs=2,
    validation_images=0,
    optimizer=dataclasses.replace(RECIPE.optimizer, ema_decay=0.0),
    mixing=MixingRecipe(),
)


@dataclasses.dataclass(frozen=True)
class ResidualRun:
    """A residual network that was trained for two epochs."""

    trained: Trained
    folder: Path


@pytest.fixture(scope="module")
def residual(tmp_path_factory: pytest.TempPathFactory) -> ResidualRun:
    folder = tmp_path_factory.mktemp("residual") / "run"
    return ResidualRun(run(folder, config=NARROW, recipe=PLAIN), folder)


def logits(model: keras.Model) -> np.ndarray:
    return np.asarray(model.predict_on_batch(small_data(8).images.astype(np.float32)))


def test_a_residual_network_is_kept_with_its_statistics(residual: ResidualRun) -> None:
    """The inference model answers with the averages of the batches' statistics, as the trained one does."""
    trained = residual.trained
    assert [row["epoch"] for row in trained.log] == [1, 2]
    assert "image_size" not in trained.log[0]
    in_training = build_residual(NARROW)
    in_training.load_weights(residual.folder / "epoch0002.weights.h5")
    statistics = [v for v in trained.model.weights if "moving" in v.path]
    assert len(statistics) == 2 * 8
    for variable in statistics:
        start = 0.0 if variable.path.endswith("moving_mean") else 1.0
        assert np.abs(np.asarray(variable) - start).max() > 1e-3, variable.path
    for one, other in zip(weights_of(trained.model), weights_of(in_training), strict=True):
        np.testing.assert_array_equal(one, other)
    assert logits(trained.model).shape == (8, 3)
    assert np.ptp(logits(trained.model), axis=0).max() > 1e-3


def test_a_residual_network_learns(tmp_path: Path) -> None:
    log = run(tmp_path / "run", config=NARROW, recipe=dataclasses.replace(PLAIN, epochs=6)).log
    assert log[-1]["loss"] < log[0]["loss"] - 0.1


def test_a_residual_network_is_resumed_to_the_same_end(
    residual: ResidualRun, tmp_path: Path
) -> None:
    run(tmp_path / "run", config=NARROW, recipe=PLAIN, stop_after=1)
    resumed = run(tmp_path / "run", config=NARROW, recipe=PLAIN, resume=True)
    for one, other in zip(
        weights_of(resumed.model), weights_of(residual.trained.model), strict=True
    ):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_its_file_answers_alike_and_can_teach(residual: ResidualRun, tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    trained = residual.trained
    digest = write_network(trained.model, trained.config, path, {"labels": ["a", "b", "c"]})
    loaded = load_model(path)
    assert (loaded.sha256, loaded.labels, loaded.image_size) == (digest, ("a", "b", "c"), 8)
    np.testing.assert_allclose(logits(loaded.model), logits(trained.model), atol=1e-6)
    teacher = load_teacher(str(path), small_data(), "float32")
    np.testing.assert_array_equal(logits(teacher.model), logits(loaded.model))


def test_presets_are_transformers_and_the_residual_network() -> None:
    assert config_of("vit-tiny", num_classes=7) == preset_config("vit-tiny", num_classes=7)
    assert config_of("resnet9", num_classes=7) == ResidualConfig(num_classes=7)
    assert config_of("resnet9").num_classes == 100
    with pytest.raises(UsageError, match=r"no preset 'resnet'\. Presets: .*vit-tiny.*resnet9"):
        config_of("resnet")


def test_the_recipe_scales_the_dropout_of_the_preset() -> None:
    config = small_config(0.4, head_units=(6,))

    def rates(**factors: float) -> dict[str, float]:
        model = build_for_training(config, RegularizationRecipe(**factors))
        attention = model.get_layer("block0_attention")
        of = {layer.name: layer.rate for layer in model.layers if hasattr(layer, "rate")}
        return {"attention": attention.dropout, **of}

    plain = rates()
    assert len(plain) >= 3
    assert set(plain.values()) == {0.4}
    head = {name for name in plain if name.startswith("head")}
    assert head
    changed = rates(block_dropout=0.5, head_dropout=0.25)
    assert changed == {name: 0.1 if name in head else 0.2 for name in plain}
    # Layers of rate zero need not be there.
    assert set(rates(block_dropout=0.0).items()) <= {
        (name, 0.4 if name in head else 0.0) for name in plain
    }


def test_a_residual_network_starts_anew(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a residual network starts from scratch") as caught:
        run(tmp_path / "run", config=NARROW, recipe=PLAIN, start=random_start())
    assert caught.value.exit_code == 2
    assert not (tmp_path / "run").exists()


# Runs that start from a trained transformer.


@pytest.mark.parametrize("classes", [3, 4])
def test_with_a_frozen_encoder_the_head_alone_is_trained(classes: int, tmp_path: Path) -> None:
    start, console = random_start(), silent()
    trained = run(
        tmp_path / "run",
        config=small_config(num_classes=classes),
        data=small_data(classes=classes),
        recipe=RECIPE,
        start=start,
        freeze_encoder=True,
        stop_after=1,
        console=console,
    )
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert said.startswith("Taken over: normalisation statistics, tokenizer, encoder (1 block)")
    assert ("New: logits (3 → 4 classes)." in said) == (classes == 4)
    for old, new in zip(start.model.weights, trained.model.weights, strict=True):
        assert old.path == new.path
        if old.path.startswith("logits"):
            assert old.shape != new.shape or np.abs(np.array(old) - np.array(new)).max() > 1e-4
        else:
            np.testing.assert_array_equal(np.array(old), np.array(new), err_msg=old.path)
    resumed = run(
        tmp_path / "run",
        config=small_config(num_classes=classes),
        data=small_data(classes=classes),
        start=start,
        freeze_encoder=True,
        resume=True,
        stop_after=2,
    )
    assert len(resumed.log) == 2
    np.testing.assert_array_equal(
        np.array(resumed.model.get_layer("tokenizer").weights[0]),
        np.array(start.model.get_layer("tokenizer").weights[0]),
    )


def test_a_run_is_not_resumed_from_another_start(tmp_path: Path) -> None:
    start = random_start()
    run(tmp_path / "run", start=start, stop_after=1)
    for other in (None, dataclasses.replace(start, sha256="1")):
        with pytest.raises(UsageError, match="a run with another start"):
            run(tmp_path / "run", start=other, resume=True)
    with pytest.raises(UsageError, match="a run with another freeze_encoder"):
        run(tmp_path / "run", start=start, freeze_encoder=True, resume=True)
