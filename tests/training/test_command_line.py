"""`python -m training`, from the options to the files."""

import ast
import csv
import errno
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import training
from tests.support.cifar_layouts import write_cifar10_pickles, write_cifar100_pickles
from tests.support.training_parts import small_config, small_data
from training.__main__ import main
from training.engines import tensorflow as tensorflow_engine
from training.evaluation import evaluate
from training.precision import best_precision
from training.recipes import load_recipe, recipe_names
from vitsd_export.data.cifar import load_cifar
from vitsd_export.data.labels import CIFAR10_CLASSES
from vitsd_export.model.config import PRESETS
from vitsd_export.sources.checkpoint import load_model

REPOSITORY = Path(__file__).parents[2]
# Real images where they are at hand; the tests run without them.
REAL_CIFAR100 = REPOSITORY.parent / "shared" / "data" / "cifar-100-python"


def rows(count: int, classes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    data = small_data(count, size=32, seed=seed)
    return data.images, np.arange(count) % classes


@pytest.fixture(scope="session")
def cifar10(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pickles of 100 training and 30 test images."""
    folder = tmp_path_factory.mktemp("cifar10")
    return write_cifar10_pickles(folder, rows(100, 10, seed=1), rows(30, 10, seed=2))


@pytest.fixture(scope="session")
def cifar100(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """CIFAR-100, the real one if it is there."""
    if REAL_CIFAR100.is_dir():
        return REAL_CIFAR100
    folder = tmp_path_factory.mktemp("cifar100")
    return write_cifar100_pickles(folder, rows(60, 100, seed=1), rows(12, 100, seed=2))


def run_module(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs `python -m training` as a user would."""
    return subprocess.run(
        [sys.executable, "-m", "training", *map(str, arguments)],
        cwd=REPOSITORY,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def exit_code(*arguments: object) -> int:
    """Runs the command line in this process."""
    with pytest.raises(SystemExit) as caught:
        main([str(argument) for argument in arguments])
    assert isinstance(caught.value.code, int)
    return caught.value.code


@pytest.fixture
def small_preset(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a preset that is trained in a moment."""
    monkeypatch.setitem(PRESETS, "small", small_config(input_size=32, num_classes=10))
    return "small"


def quick_options(data_dir: Path, output: Path, preset: str = "vit-tiny") -> list[object]:
    """64 images of which 6 are held out: three steps of 16 in one epoch."""
    options = {
        "--preset": preset,
        "--data-dir": data_dir,
        "--output": output,
        "--train-images": 64,
        "--epochs": 1,
        "--batch-size": 16,
    }
    return [part for option in options.items() for part in option]


@pytest.mark.slow
def test_training_writes_a_model_its_card_and_its_log(cifar10: Path, tmp_path: Path) -> None:
    output = tmp_path / "run"
    options = [*quick_options(cifar10, output), "--seed", 3, "--data-note", "random pixels"]
    finished = run_module(*options)
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout == ""
    # TensorFlow's own notes are kept away.
    assert [line.split()[0] for line in finished.stderr.splitlines()] == ["epoch=1", "top-1"]

    card = json.loads((output / "card.json").read_text())
    content = (output / "model.keras").read_bytes()
    assert card["sha256"] == hashlib.sha256(content).hexdigest()
    assert card["labels"] == list(CIFAR10_CLASSES)
    assert card["command"] == "python -m training " + " ".join(
        f"'{option}'" if " " in str(option) else str(option) for option in options
    )
    assert card["recipe"]["name"] == "quick"
    assert card["best_epoch"] == 1
    assert card["precision"] == best_precision()
    assert card["engine"] == "tensorflow"
    assert card["images_per_second"] > 0
    assert 0 < card["share_of_matrix_peak"] < 1
    assert (card["recipe"]["epochs"], card["recipe"]["batch_size"]) == (1, 16)
    assert card["seed"] == 3
    assert card["data"]["note"] == "random pixels"
    assert (card["data"]["training_images"], card["data"]["of_these_held_out"]) == (64, 6)
    assert {"python", "keras", "tensorflow", "numpy"} == set(card["versions"])
    assert card["versions"]["keras"] == keras.__version__
    assert "CPU cores" in card["hardware"]

    loaded = load_model(output / "model.keras")
    assert loaded.labels == CIFAR10_CLASSES
    assert {**loaded.card, "sha256": card["sha256"]} == card
    score = evaluate(loaded.model, load_cifar("cifar10", "test", cifar10))
    assert card["test"]["images"] == 30
    assert card["test"]["top1"] == score.top1
    assert card["test"]["loss"] == pytest.approx(score.loss, abs=1e-4)

    with (output / "log.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["epoch"] == "1"
    assert {path.name for path in output.iterdir()} == {
        "model.keras",
        "card.json",
        "curves.png",
        "log.csv",
        "recipe.toml",
        "state.json",
        "tensorboard",
        "best0001.weights.h5",
        "epoch0001.weights.h5",
    }
    # The weights have the precision of float16, which halves the file.
    for weight in loaded.model.trainable_variables:
        values = weight.numpy()
        np.testing.assert_array_equal(values, values.astype(np.float16).astype(np.float32))
    recipe = load_recipe(str(output / "recipe.toml"))
    assert {"name": "quick", **recipe.to_dict()} == card["recipe"]


@pytest.mark.slow
def test_training_runs_on_jax_without_tensorflow(cifar10: Path, tmp_path: Path) -> None:
    output = tmp_path / "run"
    # As if it were not installed.
    blocked = tmp_path / "blocked" / "tensorflow"
    blocked.mkdir(parents=True)
    (blocked / "__init__.py").write_text("raise ModuleNotFoundError('tensorflow')\n")
    finished = run_module(
        *quick_options(cifar10, output),
        KERAS_BACKEND="jax",
        JAX_PLATFORMS="cpu",
        PYTHONPATH=f"{blocked.parent}",
    )
    assert finished.returncode == 0, finished.stderr
    card = json.loads((output / "card.json").read_text())
    assert {"python", "keras", "jax", "numpy"} == set(card["versions"])
    # The file is as good on TensorFlow.
    score = evaluate(
        load_model(output / "model.keras").model, load_cifar("cifar10", "test", cifar10)
    )
    assert card["test"]["loss"] == pytest.approx(score.loss, abs=1e-4)


@pytest.mark.slow
def test_the_published_recipe_trains_vit_small_ds(cifar100: Path, tmp_path: Path) -> None:
    """A few steps of the real thing: 50 epochs ahead, of which the first is finished."""
    output = tmp_path / "run"
    options: dict[str, Any] = {
        "--recipe": "published",
        "--preset": "vit-small-ds",
        "--data": "cifar100",
        "--data-dir": cifar100,
        "--output": output,
        "--batch-size": 8,
        "--train-images": 30,
        "--stop-after": 1,
    }
    assert exit_code(*(part for option in options.items() for part in option)) == 0
    state = json.loads((output / "state.json").read_text())
    recipe, model = state["configuration"]["recipe"], state["configuration"]["model"]
    assert (recipe["epochs"], recipe["batch_size"]) == (50, 8)
    assert recipe["optimizer"]["learning_rate"] == 1e-3
    assert (model["image_size"], model["patch_size"], model["num_classes"]) == (72, 6, 100)
    (row,) = state["log"]
    # Three steps into a warm-up of 15.
    assert row["learning_rate"] == pytest.approx(1e-3 * 3 / 15)
    assert np.isfinite(row["loss"])
    assert not (output / "model.keras").exists()
    trained = load_model(output / "best0001.weights.h5", preset="vit-small-ds")
    assert trained.num_classes == 100


def test_interrupting_tells_how_to_go_on(
    cifar10: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def interrupt(*arguments: Any, **options: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(tensorflow_engine.TensorFlowEngine, "step", interrupt)
    assert exit_code(*quick_options(cifar10, tmp_path / "run")) == 130
    assert "--resume continues" in capsys.readouterr().err


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        RuntimeError("Can't decrement id ref count (No space left on device)"),
    ],
    ids=["of the system", "of h5py"],
)
def test_a_full_disk_ends_with_5_and_the_last_checkpoint_can_be_gone_on_from(
    error: Exception,
    cifar10: Path,
    small_preset: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    output = tmp_path / "run"
    options = [*quick_options(cifar10, output, small_preset), "--set", "epochs=2"]
    real = keras.Model.save_weights

    def fail(model: Any, path: Path, **settings: Any) -> None:
        if (output / "state.json").exists():
            path.write_bytes(b"half")
            raise error
        real(model, path, **settings)

    monkeypatch.setattr(keras.Model, "save_weights", fail)
    assert exit_code(*options) == 5
    said = capsys.readouterr().err.splitlines()
    assert [line.split()[0] for line in said] == ["epoch=1", "error:"]
    assert "No space left on device" in said[1]
    assert "--resume" in said[1]
    monkeypatch.setattr(keras.Model, "save_weights", real)
    state = json.loads((output / "state.json").read_text())
    assert state["epochs_done"] == 1
    assert exit_code(*options, "--resume") == 0
    with (output / "log.csv").open(newline="") as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["1", "2"]
    assert load_model(output / "model.keras").labels == CIFAR10_CLASSES


def test_training_starts_from_the_bundled_model_and_keeps_its_encoder(
    cifar10: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "run"
    options = [*quick_options(cifar10, output), "--start-from", "vit-tiny-cifar10"]
    assert exit_code(*options, "--freeze", "encoder", "--set", "optimizer.ema_decay=0") == 0
    said = capsys.readouterr().err
    assert said.startswith("Taken over: normalisation statistics, tokenizer, encoder (")
    assert "New:" not in said
    start, trained = (load_model(s).model for s in ("vit-tiny-cifar10", output / "model.keras"))
    for old, new in zip(start.weights, trained.weights, strict=True):
        assert old.path == new.path
        expected = old.numpy()
        if old.trainable:
            # As every file that is written.
            expected = expected.astype(np.float16).astype(np.float32)
        is_equal = np.array_equal(expected, new.numpy())
        assert is_equal != old.path.startswith("logits"), old.path


def test_a_diverging_run_ends_with_4(
    cifar10: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    engine = tensorflow_engine.TensorFlowEngine
    monkeypatch.setattr(engine, "step", lambda engine, batch: None)
    monkeypatch.setattr(engine, "figures", lambda engine, handle: (float("nan"), 0.0))
    assert exit_code(*quick_options(cifar10, tmp_path / "run")) == 4
    assert capsys.readouterr().err.startswith("error: The loss became nan in epoch 1, at step 1")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--recipe", "heavy"], "no recipe 'heavy'. Recipes: distilled, light, published"),
        (["--recipe", "stronk"], "Did you mean 'strong'?"),
        (["--set", "optimizer.leraning_rate=1"], "Did you mean 'optimizer.learning_rate'?"),
        (["--set", "lr=1"], "Did you mean 'optimizer.learning_rate'?"),
        (["--set", "epochs"], "FIELD=VALUE"),
        (["--set", "epochs=many"], "epochs must be an integer, not 'many'"),
        (["--set", "mixing.probability=1.5"], "mixing.probability must be finite"),
        (["--devices", "0"], "'--devices'"),
        (["--precision", "float64"], "'--precision'"),
        (["--preset", "vit-huge"], "no preset 'vit-huge'. Presets: vit-small-ds, vit-tiny"),
        (["--set", "stages=30"], "stages must be EPOCHS@SIZE"),
        (["--set", "stages=10@32"], "The stages 10@32 have 10 epochs, not 30"),
        (["--set", "stages=10@37,20@72"], "37"),
        (["--preset", "resnet9", "--set", "stages=30@32"], "residual network has one image size"),
        (
            ["--preset", "resnet9", "--start-from", "vit-tiny-cifar10"],
            "network starts from scratch",
        ),
        (["--freeze", "encoder"], "give --start-from, too"),
        (["--freeze", "head"], "'--freeze'"),
        (["--learning-rate", "nan"], "learning_rate must be finite and greater than 0"),
        (["--learning-rate", "0"], "learning_rate must be finite and greater than 0"),
        (["--data", "mnist"], "folder:PATH, not 'mnist'"),
        (["--epochs", "0"], "'--epochs'"),
        (["--seed", str(2**32)], "'--seed'"),
        (["--no-such-option"], "--no-such-option"),
    ],
)
def test_wrong_options_end_with_2(
    options: list[str],
    message: str,
    cifar10: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    output = tmp_path / "run"
    assert exit_code("--data-dir", cifar10, "--output", output, *options) == 2
    # Typer draws a box around its own messages.
    assert message in " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert not output.exists()


def test_an_existing_run_ends_with_2_before_the_data_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "state.json").write_text("{}")
    assert exit_code("--output", tmp_path, "--data-dir", tmp_path / "missing") == 2
    assert "Continue it with --resume" in capsys.readouterr().err


@pytest.mark.parametrize("place", ["missing", "empty"])
def test_missing_data_ends_with_3(
    place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    output = tmp_path / "run"
    assert exit_code("--data-dir", tmp_path / place, "--output", output) == 3
    message = capsys.readouterr().err
    assert message.startswith("error: ")
    assert str(tmp_path / place) in message
    assert len(message.splitlines()) == 1
    assert not output.exists()


def test_too_few_images_end_with_3(
    cifar10: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--data-dir", cifar10, "--output", tmp_path / "run", "--batch-size", 200]
    assert exit_code(*options) == 3
    assert "Lower --batch-size" in capsys.readouterr().err


def test_a_backend_that_is_not_there_ends_with_5(cifar10: Path, tmp_path: Path) -> None:
    options = ["--data-dir", cifar10, "--output", tmp_path / "run"]
    finished = run_module(*options, KERAS_BACKEND="theano")
    assert finished.returncode == 5
    assert finished.stderr.startswith("error: KERAS_BACKEND is theano, which cannot train")
    assert "Traceback" not in finished.stderr


def test_the_commands_are_told_apart(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("--help") == 0
    shown = capsys.readouterr().out
    for command in ("train", "recipes", "preview", "evaluate"):
        assert command in shown
    assert exit_code("traine") == 2
    assert "Did you mean 'train'?" in capsys.readouterr().err


def test_recipes_are_shown_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("recipes", "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert set(shown) == set(recipe_names())
    assert shown["strong"] == load_recipe("strong").to_dict()
    assert exit_code("recipes", "strong") == 0
    assert "regularization.drop_path" in capsys.readouterr().out


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from training.__main__ import main\n"
        "try:\n"
        "    main(['train', '--help'])\n"
        "except SystemExit as end:\n"
        "    heavy = {'keras', 'tensorflow', 'jax', 'numpy', 'h5py', 'pyarrow', 'PIL'}\n"
        "    print('ended', end.code, sorted(heavy & set(sys.modules)))\n"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert finished.stdout.splitlines()[-1] == "ended 0 []"
    assert "--resume" in finished.stdout


def test_only_the_engine_for_tensorflow_imports_it() -> None:
    """Whoever trains on JAX or torch need not have it."""
    folder = Path(training.__path__[0])
    own = {folder / "engines" / name for name in ("tensorflow.py", "devices.py")} | {
        folder / "precision.py"
    }
    sources = sorted({*folder.rglob("*.py")} - own)
    assert len(sources) >= 8
    for source in sources:
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names.append(node.module or "")
            assert not [name for name in names if name.split(".")[0] == "tensorflow"], source
