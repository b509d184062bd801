"""Runs that begin with small images and end with larger ones."""

import dataclasses
from pathlib import Path

import keras
import numpy as np
import pytest

from tests.support.training_parts import RECIPE, small_config
from tests.support.training_runs import run, silent, weights_of
from training.loop import Trained
from training.presets import ResidualConfig
from training.recipes import Recipe, Stage, with_changes
from training.run_files import best_epoch
from vitsd_export.errors import UsageError
from vitsd_export.model.classifier import build_classifier

STAGED = dataclasses.replace(RECIPE, stages="1@8,2@16")
DROPOUT = 0.3


@dataclasses.dataclass(frozen=True)
class StagedRun:
    """A run of two stages that nothing broke, and what it said."""

    trained: Trained
    weights: list[np.ndarray]
    folder: Path
    said: str


@pytest.fixture(scope="module")
def staged(tmp_path_factory: pytest.TempPathFactory) -> StagedRun:
    """One epoch at 8 pixels, two at 16, with dropout."""
    folder, console = tmp_path_factory.mktemp("stages") / "run", silent()
    trained = run(folder, recipe=STAGED, dropout=DROPOUT, console=console)
    said = console.file.getvalue()  # type: ignore[attr-defined]
    return StagedRun(trained, weights_of(trained.model), folder, said)


def test_the_grid_grows_and_the_log_tells_the_size(staged: StagedRun) -> None:
    assert [row["image_size"] for row in staged.trained.log] == [8, 16, 16]
    assert "Interpolated: position embeddings (2×2 → 4×4)." in staged.said
    assert staged.said.index("Interpolated") > staged.said.index("epoch=1")
    assert staged.said.count("Interpolated") == 1
    assert staged.trained.config == small_config(DROPOUT, image_size=16)
    model = build_classifier(small_config(DROPOUT, image_size=16))
    best = staged.trained.best_epoch
    assert best in (2, 3)
    model.load_weights(staged.folder / f"best{best:04d}.weights.h5")
    for weight, expected in zip(weights_of(model), staged.weights, strict=True):
        np.testing.assert_array_equal(weight, expected)


def test_a_stage_goes_on_from_the_averaged_weights_of_the_one_before(tmp_path: Path) -> None:
    """With a learning rate that is nearly zero, the weights stay those of the first stage."""
    tiny = dataclasses.replace(RECIPE.optimizer, learning_rate=1e-12, weight_decay=0.0)
    recipe = dataclasses.replace(STAGED, optimizer=tiny, validation_images=0)
    first = run(tmp_path / "run", recipe=recipe, stop_after=1)
    last = run(tmp_path / "run", recipe=recipe, resume=True)
    names = [weight.path for weight in first.model.weights]
    assert names == [weight.path for weight in last.model.weights]
    for name, one, other in zip(
        names, weights_of(first.model), weights_of(last.model), strict=True
    ):
        if name == "positions/embedding":
            assert (one.shape, other.shape) == ((4, 8), (16, 8))
        else:
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6, err_msg=name)


@pytest.mark.parametrize(
    "stop_after",
    [pytest.param(1, id="between the stages"), pytest.param(2, id="within the second stage")],
)
def test_a_stopped_run_ends_like_an_unbroken_one(
    stop_after: int, staged: StagedRun, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    stopped = run(folder, recipe=STAGED, dropout=DROPOUT, stop_after=stop_after)
    assert [row["image_size"] for row in stopped.log] == [8, 16, 16][:stop_after]
    keras.utils.set_random_seed(99)
    resumed = run(folder, recipe=STAGED, dropout=DROPOUT, resume=True)
    assert resumed.best_epoch == staged.trained.best_epoch
    for row, expected in zip(resumed.log, staged.trained.log, strict=True):
        for name in ("image_size", "loss", "learning_rate", "validation_loss"):
            assert row[name] == pytest.approx(expected[name], abs=1e-5), name
    for weight, expected_weight in zip(weights_of(resumed.model), staged.weights, strict=True):
        np.testing.assert_allclose(weight, expected_weight, atol=1e-5)


def test_a_run_is_not_resumed_with_other_stages(staged: StagedRun) -> None:
    other = dataclasses.replace(STAGED, stages="2@8,1@16")
    with pytest.raises(UsageError, match=r"another recipe\.stages"):
        run(staged.folder, recipe=other, dropout=DROPOUT, resume=True)


def test_the_best_epoch_is_one_of_the_last_stage() -> None:
    rows = [
        {"epoch": 1, "image_size": 8, "validation_top1": 0.9},
        {"epoch": 2, "image_size": 16, "validation_top1": 0.4},
        {"epoch": 3, "image_size": 16, "validation_top1": 0.3},
    ]
    assert [best_epoch(rows[:count]) for count in (1, 2, 3)] == [1, 2, 2]


@pytest.mark.parametrize(
    ("stages", "epochs", "expected"),
    [
        ("", 5, [Stage(0, 5)]),
        ("5@8", 5, [Stage(0, 5, 8)]),
        ("3@36,1@72", 4, [Stage(0, 3, 36), Stage(3, 1, 72)]),
        (" 1@8 , 2@16,3@8", 6, [Stage(0, 1, 8), Stage(1, 2, 16), Stage(3, 3, 8)]),
    ],
)
def test_stages_follow_each_other(stages: str, epochs: int, expected: list[Stage]) -> None:
    recipe = dataclasses.replace(RECIPE, stages=stages, epochs=epochs)
    assert recipe.plan() == expected
    changed: Recipe = with_changes(RECIPE, [f"epochs={epochs}", f"stages={stages}"])
    assert changed.plan() == expected


@pytest.mark.parametrize(
    "stages", ["3", "3@", "@8", "1@8;2@16", "1@8,", "0@8,3@16", "3@0", "-1@8,4@8", "3@8x8", "3@8.5"]
)
def test_stages_that_are_not_written_so_fail(stages: str) -> None:
    with pytest.raises(
        UsageError, match=r"stages must be EPOCHS@SIZE, such as 100@36,20@72"
    ) as caught:
        dataclasses.replace(RECIPE, stages=stages)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("stages", ["2@8", "2@8,2@16", "4@8"])
def test_stages_must_have_all_epochs(stages: str) -> None:
    with pytest.raises(UsageError, match=f"The stages {stages} have . epochs, not 3"):
        dataclasses.replace(RECIPE, stages=stages)


def test_an_image_size_that_patches_do_not_fill_fails_before_anything_is_done(
    tmp_path: Path,
) -> None:
    recipe = dataclasses.replace(RECIPE, stages="1@8,2@10")
    with pytest.raises(UsageError, match="10") as caught:
        run(tmp_path / "run", recipe=recipe)
    assert caught.value.exit_code == 2
    assert not (tmp_path / "run").exists()


def test_a_residual_network_has_no_stages(tmp_path: Path) -> None:
    config = ResidualConfig((4, 4, 4, 4), 8, 3)
    with pytest.raises(UsageError, match="A residual network has one image size"):
        run(tmp_path / "run", recipe=STAGED, config=config)
    assert not (tmp_path / "run").exists()
