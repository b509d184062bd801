"""The recipes, their files, and what the command line changes in them."""

import dataclasses
import json
import math
import operator
import tomllib
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from training.__main__ import app
from training.recipes import (
    Recipe,
    field_types,
    load_recipe,
    recipe_description,
    recipe_names,
    with_changes,
)
from vitsd_export._internal.suggestions import nearest
from vitsd_export.errors import InputError, UsageError

quick = settings(max_examples=50, deadline=None, derandomize=True)
LIGHT = load_recipe("light")
INF = math.inf

# Of each field, what it may be: the least and the greatest value, and whether these belong to the range.
RANGES: dict[str, tuple[float, float, bool, bool]] = {
    "epochs": (1, 10**6, True, True),
    "batch_size": (1, 10**6, True, True),
    "validation_images": (0, 10**6, True, True),
    "optimizer.learning_rate": (0, INF, False, False),
    "optimizer.weight_decay": (0, INF, True, False),
    "optimizer.clip_norm": (0, INF, True, False),
    "optimizer.warmup_epochs": (0, INF, True, False),
    "optimizer.final_learning_rate": (0, LIGHT.optimizer.learning_rate, True, True),
    "optimizer.later_stage_factor": (0, 1, False, True),
    "optimizer.ema_decay": (0, 1, True, False),
    "loss.label_smoothing": (0, 1, True, False),
    "distillation.weight": (0, 1, True, True),
    "distillation.temperature": (0, 100, False, True),
    "distillation.views": (0, 10**6, True, True),
    "regularization.drop_path": (0, 1, True, False),
    "regularization.block_dropout": (0, 1, True, True),
    "regularization.head_dropout": (0, 1, True, True),
    "augmentation.crop_padding": (0, 1000, True, True),
    "augmentation.rotation": (0, 0.5, True, True),
    "augmentation.zoom": (0, 1, True, False),
    "augmentation.operations": (0, 12, True, True),
    "augmentation.magnitude": (0, 1, True, True),
    "augmentation.erasing": (0, 1, True, True),
    "mixing.probability": (0, 1, True, True),
    "mixing.cutmix_share": (0, 1, True, True),
    "mixing.cutmix_alpha": (0, 1000, False, True),
    "mixing.mixup_alpha": (0, 1000, False, True),
    "mixing.off_epochs": (0, 10**6, True, True),
}


def value_of(recipe: Recipe, field: str) -> Any:
    return operator.attrgetter(field)(recipe)


def test_published_carries_the_published_hyperparameters() -> None:
    recipe = load_recipe("published")
    assert recipe.epochs == 50
    assert recipe.batch_size == 256
    assert recipe.optimizer.learning_rate == 1e-3
    assert recipe.optimizer.weight_decay == 1e-4
    # A tenth of the run, as in the example's own schedule.
    assert recipe.optimizer.warmup_epochs == 5
    assert recipe.loss.label_smoothing == 0
    augmentation = recipe.augmentation
    assert (augmentation.flip, augmentation.rotation, augmentation.zoom) == (True, 0.02, 0.2)
    assert not augmentation.operations
    assert not recipe.mixing.probability


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_is_read_and_can_be_written_down(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(name)
    copy = tmp_path / "copy.toml"
    copy.write_text(recipe.to_toml(), encoding="utf-8")
    assert load_recipe(str(copy)) == recipe
    assert json.loads(json.dumps(recipe.to_dict())) == tomllib.loads(recipe.to_toml())
    assert recipe_description(name).endswith(".")
    assert "#" not in recipe_description(name)


@pytest.mark.parametrize("name", recipe_names())
def test_the_types_are_those_of_the_values(name: str) -> None:
    recipe = load_recipe(name)
    types = field_types()
    assert types.keys() == RANGES.keys() | {"augmentation.flip", "stages"}
    for field, kind in types.items():
        assert type(value_of(recipe, field)) is kind, field
    flat = {
        f"{section}.{name}" if section else name
        for section, values in {"": recipe.to_dict(), **recipe.to_dict()}.items()
        if isinstance(values, dict)
        for name, value in values.items()
        if not isinstance(value, dict)
    }
    assert flat == types.keys()


def test_there_are_recipes_for_short_long_and_published_runs_and_for_a_teacher_and_its_student() -> (
    None
):
    assert recipe_names() == ["distilled", "light", "published", "quick", "strong", "teacher"]


def test_a_description_is_the_comment_at_the_head_of_the_file() -> None:
    assert recipe_description("light") == (
        "For short runs of small models on a CPU: flips and crops only, nothing mixed."
    )


@pytest.mark.parametrize("name", ["heavy", "", "../light", "__init__", "fields"])
def test_an_unknown_recipe_fails_and_names_those_there_are(name: str) -> None:
    with pytest.raises(
        UsageError, match=r"no recipe .*light, published, quick, strong, teacher, or"
    ):
        load_recipe(name)
    with pytest.raises(UsageError, match="no recipe"):
        recipe_description(name)


def test_a_mistyped_recipe_fails_and_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="Did you mean 'strong'"):
        load_recipe("stong")


@pytest.mark.parametrize(
    ("change", "field", "value"),
    [
        ("epochs=7", "epochs", 7),
        (" epochs = 7 ", "epochs", 7),
        ("optimizer.learning_rate=2e-3", "optimizer.learning_rate", 2e-3),
        ("optimizer.lr=1", "optimizer.learning_rate", 1.0),
        ("optimizer.wd=0", "optimizer.weight_decay", 0.0),
        ("augmentation.flip=false", "augmentation.flip", False),
        ("augmentation.flip=True", "augmentation.flip", True),
        ("augmentation.crop_padding=0", "augmentation.crop_padding", 0),
    ],
)
def test_a_field_is_set_in_its_type_and_no_other(change: str, field: str, value: object) -> None:
    changed = with_changes(LIGHT, [change])
    assert value_of(changed, field) == value
    assert type(value_of(changed, field)) is field_types()[field]
    for other in field_types():
        assert other == field or value_of(changed, other) == value_of(LIGHT, other)


def test_the_last_of_two_values_counts_and_nothing_changes_nothing() -> None:
    assert with_changes(LIGHT, ["epochs=7", "epochs=8"]).epochs == 8
    assert with_changes(LIGHT, []) == LIGHT


def test_fields_that_only_go_together_can_be_changed_together() -> None:
    changes = ["batch_size=6", "mixing.probability=0.5"]
    odd = dataclasses.replace(LIGHT, batch_size=5)
    assert with_changes(odd, changes) == with_changes(odd, changes[::-1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("epochs", "FIELD=VALUE"),
        ("=7", "no field ''"),
        ("epochs=", "epochs must be an integer, not ''"),
        ("epochs=1.5", "epochs must be an integer, not '1.5'"),
        ("epochs=true", "epochs must be an integer"),
        ("optimizer.lr=fast", "optimizer.learning_rate must be a number, not 'fast'"),
        ("augmentation.flip=1", "augmentation.flip must be true or false, not '1'"),
        ("mixing.probability=0.5=1", "must be a number, not '0.5=1'"),
        ("epoch=3", "no field 'epoch'. Did you mean 'epochs'"),
        ("lr=1e-3", "no field 'lr'. Did you mean 'optimizer.learning_rate'"),
        ("optimiser.lr=1e-3", "Did you mean 'optimizer.learning_rate'"),
        ("optimizer.learnin_rate=1", "Did you mean 'optimizer.learning_rate'"),
        ("label_smoothing=0", "Did you mean 'loss.label_smoothing'"),
        ("cutmix=0", "Did you mean 'mixing.cutmix_"),
        ("optimizer=adam", "no field 'optimizer'"),
        ("xyzzy=1", r"no field 'xyzzy'. `python -m training recipes`"),
    ],
)
def test_a_change_that_cannot_be_made_fails_and_says_why(change: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        with_changes(LIGHT, [change])


def test_the_nearest_of_names_that_end_alike_is_found_by_its_section() -> None:
    assert nearest("b.rates", ["a.rate", "b.rate"]) == " Did you mean 'b.rate'?"
    assert nearest("a.rates", ["a.rate", "b.rate"]) == " Did you mean 'a.rate'?"
    assert nearest("zzz", ["a.rate"]) == ""


def check(field: str, value: float) -> None:
    """Checks that a value is accepted or refused as its range says."""
    low, high, takes_low, takes_high = RANGES[field]
    is_allowed = (
        low < value < high or (takes_low and value == low) or (takes_high and value == high)
    )
    if is_allowed:
        # One above the peak would be refused on its own account.
        start = with_changes(LIGHT, ["optimizer.final_learning_rate=0"])
        assert value_of(with_changes(start, [f"{field}={value}"]), field) == value
    else:
        with pytest.raises(UsageError, match=field):
            with_changes(LIGHT, [f"{field}={value}"])


@pytest.mark.parametrize("field", RANGES)
def test_a_range_ends_where_it_should(field: str) -> None:
    for end in RANGES[field][:2]:
        if field_types()[field] is int:
            values = [int(end) - 1, int(end), int(end) + 1]
        else:
            values = [math.nextafter(end, -INF), end, math.nextafter(end, INF)]
        for value in values:
            check(field, value)


@quick
@given(data=st.data(), field=st.sampled_from(sorted(RANGES)))
def test_values_in_the_range_are_accepted_and_others_fail(data: st.DataObject, field: str) -> None:
    is_integer = field_types()[field] is int
    value = data.draw(st.integers() | st.just(10**400) if is_integer else st.floats())
    check(field, value)


def test_mixing_needs_an_even_batch() -> None:
    assert with_changes(LIGHT, ["batch_size=7"]).batch_size == 7
    with pytest.raises(UsageError, match="batch_size must be even, not 7"):
        with_changes(LIGHT, ["batch_size=7", "mixing.probability=0.1"])


def write(folder: Path, text: str) -> str:
    path = folder / "own.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


LEAST = """
epochs = 2
batch_size = 4
validation_images = 0
optimizer = {lr = 1, wd = 0, clip_norm = 0, warmup_epochs = 0}
loss = {label_smoothing = 0}
"""


def test_a_file_of_ones_own_needs_only_what_has_no_default(tmp_path: Path) -> None:
    recipe = load_recipe(write(tmp_path, LEAST))
    assert recipe.optimizer.learning_rate == 1
    assert type(recipe.optimizer.learning_rate) is float
    assert not any(recipe.augmentation.__dict__[name] for name in ("flip", "operations", "erasing"))
    assert not recipe.mixing.probability


@pytest.mark.parametrize(
    "field",
    [
        *("epochs", "batch_size", "validation_images", "loss.label_smoothing"),
        *("optimizer.learning_rate", "optimizer.weight_decay"),
        *("optimizer.clip_norm", "optimizer.warmup_epochs"),
    ],
)
def test_a_missing_field_fails_by_name(field: str, tmp_path: Path) -> None:
    nested = LIGHT.to_dict()
    section, _, name = field.rpartition(".")
    del (nested[section] if section else nested)[name]
    with pytest.raises(InputError, match=rf"own\.toml: A recipe must also say {field}\."):
        load_recipe(write(tmp_path, tomli_w.dumps(nested)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epochs =", "is not TOML"),
        ("", "must also say epochs, batch_size, validation_images, optimizer.learning_rate"),
        (LEAST + "epoch = 3", "own.toml: Recipes have no field 'epoch'. Did you mean 'epochs'"),
        (LEAST + "[mixing]\nalpha = 1", "no field 'mixing.alpha'"),
        (LEAST + "[mixing.more]\nalpha = 1", "no field 'mixing.more'"),
        (LEAST + "[mixture]\nprobability = 1", "Did you mean 'mixing.probability'"),
        (LEAST.replace("epochs = 2", "epochs = 2.0"), "epochs must be an integer, not 2.0"),
        (LEAST.replace("epochs = 2", "epochs = true"), "epochs must be an integer, not True"),
        (LEAST.replace("epochs = 2", "epochs = [2]"), "epochs must be an integer"),
        (LEAST.replace("epochs = 2", "epochs = 2020-01-01"), "epochs must be an integer"),
        (LEAST.replace("epochs = 2", "epochs = 0"), "epochs must be finite and at least 1"),
        (LEAST.replace("lr = 1", "lr = nan"), "learning_rate must be finite and greater than 0"),
        (LEAST.replace("lr = 1", "lr = inf"), "learning_rate must be finite and greater than 0"),
        (LEAST.replace("lr = 1", f"lr = 1{'0' * 400}"), "learning_rate must be a number"),
        (LEAST + "[augmentation]\nflip = 1", "flip must be true or false, not 1"),
    ],
)
def test_a_file_that_is_no_recipe_fails_and_says_why(
    text: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        load_recipe(write(tmp_path, text))


def test_a_file_that_cannot_be_read_fails(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        load_recipe(str(tmp_path / "none.toml"))
    (tmp_path / "latin.toml").write_bytes(b"# \xe9")
    with pytest.raises(InputError, match="cannot be read"):
        load_recipe(str(tmp_path / "latin.toml"))
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(InputError, match="cannot be read"):
        load_recipe(str(tmp_path / "folder.toml"))


def test_the_command_shows_every_field_of_every_recipe() -> None:
    result = CliRunner().invoke(app, ["recipes"], env={"COLUMNS": "120"})
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines if "│" in line]
    assert {row[0]: row[1:] for row in cells} == {
        field: [str(value_of(load_recipe(name), field)) for name in recipe_names()]
        for field in field_types()
    }
    for name in recipe_names():
        assert f"{name}: {recipe_description(name)}" in lines


def test_the_command_shows_a_file_whatever_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("[red]mine.toml").write_text(LEAST, encoding="utf-8")
    arguments = ["recipes", "[red]mine.toml", "light", "light"]
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "120"})
    assert result.exit_code == 0
    heading = [cell.strip() for cell in result.stdout.splitlines()[1].split("┃")[1:-1]]
    assert heading == ["field", "[red]mine.toml", "light"]


def test_the_command_prints_json() -> None:
    result = CliRunner().invoke(app, ["recipes", "--json", "light", "strong"])
    assert result.exit_code == 0
    expected = {name: load_recipe(name).to_dict() for name in ("light", "strong")}
    assert json.loads(result.stdout) == expected
