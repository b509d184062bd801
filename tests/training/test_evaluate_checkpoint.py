"""`python -m training evaluate`, from the checkpoint to the table."""

import dataclasses
import io
import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import typer
from PIL import Image
from rich.console import Console

from tests.support.cifar_layouts import write_cifar10_pickles, write_cifar100_pickles
from tests.support.keras_models import keras_logits, small_config, softmax, write_small_model
from tests.support.processes import run_python
from training.evaluate_checkpoint import (
    CheckpointEvaluation,
    as_logits,
    evaluate_checkpoint,
    match_classes,
    print_evaluation,
)
from training.evaluate_command import register
from training.evaluation import score_logits
from training.report import report_logits
from vitsd_export.data.cifar import load_cifar
from vitsd_export.data.dataset import ImageDataset
from vitsd_export.data.labels import CIFAR10_CLASSES
from vitsd_export.data.sample import load_sample
from vitsd_export.errors import InputError, UsageError
from vitsd_export.model.classifier import build_classifier
from vitsd_export.sources.checkpoint import LoadedModel, write_model

BUNDLED = "vit-tiny-cifar10"


@pytest.fixture(scope="session")
def cifar10(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pickles of original images: 100 to train on, 60 for the test."""
    train, test = load_sample("calibration"), load_sample("verification")
    assert train.labels is not None
    assert test.labels is not None
    return write_cifar10_pickles(
        tmp_path_factory.mktemp("cifar10"),
        (train.images[:100], train.labels[:100]),
        (test.images[:60], test.labels[:60]),
    )


@pytest.fixture(scope="session")
def image_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same test images in folders, which are read in the order of their names."""
    folder = tmp_path_factory.mktemp("images") / "pictures"
    data = load_sample("verification")
    assert data.labels is not None
    for index, (image, label) in enumerate(zip(data.images[:200], data.labels, strict=False)):
        place = folder / CIFAR10_CLASSES[label]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place / f"{index:03d}.png")
    return folder


@pytest.fixture(scope="session")
def evaluated(cifar10: Path) -> CheckpointEvaluation:
    """The bundled model on the 60 images."""
    return evaluate_checkpoint(BUNDLED, "cifar10", data_dir=cifar10, batch_size=25)


def loaded(labels: tuple[str, ...] | None, classes: int | None = None) -> LoadedModel:
    """A model that has classes and nothing else."""
    inputs = keras.Input((8, 8, 3))
    count = classes or len(labels or ())
    outputs = keras.layers.Dense(count)(keras.layers.GlobalAveragePooling2D()(inputs))
    card = {} if labels is None else {"labels": list(labels)}
    return LoadedModel(keras.Model(inputs, outputs), "m", Path("m.keras"), "", card)


def images_of(names: tuple[str, ...], labels: list[int]) -> ImageDataset:
    pixels = np.zeros((len(labels), 8, 8, 3), np.uint8)
    return ImageDataset(pixels, np.array(labels, np.int64), names, "x", "test", "folder x")


def run(*arguments: object) -> None:
    """Runs the command as a program would that has others too."""
    app = typer.Typer(pretty_exceptions_enable=False)
    register(app)
    app.callback()(lambda: None)
    app(["evaluate", *map(str, arguments)], standalone_mode=False)


def test_a_bundled_model_is_scored(evaluated: CheckpointEvaluation, cifar10: Path) -> None:
    data = load_cifar("cifar10", "test", cifar10)
    assert data.labels is not None
    logits = keras_logits(evaluated.checkpoint, data.images).astype(np.float64)
    expected = score_logits(logits, data.labels)
    report = evaluated.report
    assert (report.images, report.top1, report.top5) == (60, expected.top1, expected.top5)
    assert report.top1 > 0.6
    assert report.loss == pytest.approx(expected.loss, abs=1e-5)
    assert [row.name for row in report.classes] == list(CIFAR10_CLASSES)
    assert report.confusion.sum() == 60
    assert (evaluated.data, evaluated.split, evaluated.answers) == ("cifar10", "test", "logits")
    assert evaluated.source == str(cifar10)


def test_a_file_of_weights_is_scored(tmp_path: Path, cifar10: Path) -> None:
    from vitsd_export.model.config import preset_config

    model = build_classifier(preset_config("vit-tiny", num_classes=10))
    model.save_weights(tmp_path / "x.weights.h5")
    evaluation = evaluate_checkpoint(
        tmp_path / "x.weights.h5", "cifar10", data_dir=cifar10, preset="vit-tiny"
    )
    assert evaluation.report.images == 60
    with pytest.raises(UsageError, match="preset"):
        evaluate_checkpoint(tmp_path / "x.weights.h5", "cifar10", data_dir=cifar10)


def test_a_softmax_model_scores_as_its_logits_do(tmp_path: Path, cifar10: Path) -> None:
    plain = write_small_model(tmp_path / "plain.keras")
    model = keras.saving.load_model(plain)
    outputs = keras.layers.Softmax()(model.output)
    keras.Model(model.input, outputs).save(tmp_path / "softmax.keras")
    logits, probabilities = (
        evaluate_checkpoint(path, "cifar10", data_dir=cifar10)
        for path in (plain, tmp_path / "softmax.keras")
    )
    assert (logits.answers, probabilities.answers) == ("logits", "probabilities")
    np.testing.assert_array_equal(logits.report.confusion, probabilities.report.confusion)
    assert probabilities.report.loss == pytest.approx(logits.report.loss, rel=1e-4)
    assert probabilities.report.calibration_error == pytest.approx(
        logits.report.calibration_error, abs=1e-4
    )


def test_probabilities_become_logits_of_the_same_softmax() -> None:
    probabilities = softmax(np.random.default_rng(0).normal(0, 3, (20, 5)))
    # As softmax gives in float32: a class may have 0.
    probabilities[0] = [1, 0, 0, 0, 0]
    probabilities[1, 2] = np.nan
    logits, meaning = as_logits(probabilities, Path("m.keras"))
    assert meaning == "probabilities"
    np.testing.assert_allclose(softmax(logits)[2:], probabilities[2:], rtol=1e-9)
    np.testing.assert_allclose(softmax(logits)[0], probabilities[0], atol=1e-12)
    assert np.isfinite(logits[0]).all()
    assert np.isnan(logits[1]).any()


@pytest.mark.parametrize(
    "answers",
    [
        [[0.2, 1.5], [0.3, 0.7]],
        [[-0.1, 1.1], [0.3, 0.7]],
        [[0.0, 0.0], [0.0, 0.0]],
        [[np.nan, 0.5], [np.inf, 0.5]],
    ],
)
def test_other_answers_are_logits(answers: list[list[float]]) -> None:
    logits, meaning = as_logits(np.array(answers), Path("m.keras"))
    assert meaning == "logits"
    np.testing.assert_array_equal(logits, answers)


def test_answers_of_a_sigmoid_are_refused() -> None:
    answers = 1 / (1 + np.exp(-np.random.default_rng(0).normal(0, 3, (20, 5))))
    with pytest.raises(
        InputError, match=r"m\.keras answers with numbers between 0 and 1 .* sigmoid"
    ):
        as_logits(answers, Path("m.keras"))


def test_classes_in_another_order_are_matched() -> None:
    data = images_of(("ape", "bee", "cow"), [0, 1, 2, 2])
    matched = match_classes(data, loaded(("cow", "ape", "bee")))
    assert matched.class_names == ("cow", "ape", "bee")
    assert matched.labels is not None
    assert matched.labels.tolist() == [1, 2, 0, 0]
    assert match_classes(data, loaded(("ape", "bee", "cow"))) is data
    assert match_classes(data, loaded(None, classes=3)) is data


def test_other_numbers_of_classes_are_refused() -> None:
    data = images_of(("ape", "bee", "cow", "dog"), [0, 1, 2, 3])
    with pytest.raises(InputError) as caught:
        match_classes(data, loaded(("ape", "bee", "cow")))
    message = str(caught.value)
    assert "m.keras has 3 classes: ape, bee, cow, but" in message
    assert "folder x has 4: ape, bee, cow and 1 more" in message
    with pytest.raises(InputError, match="has 2 classes, but"):
        match_classes(data, loaded(None, classes=2))


def test_other_names_of_classes_are_refused() -> None:
    data = images_of(("ape", "bee", "cow"), [0, 1, 2])
    with pytest.raises(InputError, match="model alone has eel, the data alone bee"):
        match_classes(data, loaded(("ape", "eel", "cow")))


def test_cifar100_is_refused_by_a_model_of_cifar10(tmp_path: Path) -> None:
    images = np.zeros((5, 32, 32, 3), np.uint8)
    folder = write_cifar100_pickles(tmp_path, (images, np.arange(5)), (images, np.arange(5)))
    with pytest.raises(InputError, match=r"10 classes: airplane.* 100: apple"):
        evaluate_checkpoint(BUNDLED, "cifar100", data_dir=folder)


def test_a_folder_is_split_as_the_checkpoint_was_trained(
    image_folder: Path, tmp_path: Path
) -> None:
    from tests.support.keras_models import small_transformer
    from training.datasets import load_split

    card: dict[str, Any] = {"labels": list(CIFAR10_CLASSES), "seed": 7}
    path = tmp_path / "small.keras"
    write_model(small_transformer(), small_config(), path, card)
    data = f"folder:{image_folder}"
    held_out = load_split(data, None, "test", size=32, seed=7, tell=print)
    assert held_out.labels is not None
    # The same images, not only as many: their confusion matrix has the same entries.
    for options in ({}, {"seed": 7}):
        evaluation = evaluate_checkpoint(path, data, **options)
        expected = report_logits(
            keras_logits(path, held_out.images).astype(np.float64),
            held_out.labels,
            CIFAR10_CLASSES,
        )
        np.testing.assert_array_equal(evaluation.report.confusion, expected.confusion)
    other = evaluate_checkpoint(path, data, seed=8).report
    assert other.loss != pytest.approx(evaluation.report.loss, abs=1e-6)


def test_validation_is_what_the_training_held_out(cifar10: Path, tmp_path: Path) -> None:
    from tests.support.keras_models import small_transformer
    from training.loop import split_validation

    train = load_cifar("cifar10", "train", cifar10)
    card: dict[str, Any] = {
        "labels": list(CIFAR10_CLASSES),
        "seed": 5,
        "recipe": {"validation_images": 8},
        "data": {"training_images": 100, "sha256": train.sha256()},
    }
    path = tmp_path / "small.keras"
    write_model(small_transformer(), small_config(), path, card)
    evaluation = evaluate_checkpoint(path, "cifar10", data_dir=cifar10, split="validation")
    held_out = split_validation(train, 8, 5)[1]
    assert held_out.labels is not None
    expected = score_logits(keras_logits(path, held_out.images).astype(np.float64), held_out.labels)
    assert evaluation.report.images == 8
    assert evaluation.report.loss == pytest.approx(expected.loss, abs=1e-5)

    # A run that took a part of the training images.
    part = train.sample(50, 5)
    card["data"] = {"training_images": 50, "sha256": part.sha256()}
    write_model(small_transformer(), small_config(), path, card)
    evaluation = evaluate_checkpoint(path, "cifar10", data_dir=cifar10, split="validation")
    assert evaluation.report.images == 5

    card["data"]["sha256"] = "0" * 64
    write_model(small_transformer(), small_config(), path, card)
    with pytest.raises(InputError, match="does not hold the training images"):
        evaluate_checkpoint(path, "cifar10", data_dir=cifar10, split="validation")


def test_validation_of_a_model_that_tells_nothing_is_refused(
    cifar10: Path, small_model: Path
) -> None:
    with pytest.raises(UsageError, match="does not record which images its training held out"):
        evaluate_checkpoint(small_model, "cifar10", data_dir=cifar10, split="validation")


def shown(report_evaluation: CheckpointEvaluation, **options: Any) -> str:
    stream = io.StringIO()
    print_evaluation(report_evaluation, Console(file=stream, width=100), **options)
    return stream.getvalue()


def test_the_table_has_the_worst_class_first(evaluated: CheckpointEvaluation) -> None:
    text = shown(evaluated)
    report = evaluated.report
    for figure in (f"{report.top1:.2%}", f"{report.top5:.2%}", f"{report.loss:.4f}"):
        assert figure in text
    assert f"{report.calibration_error:.2%}" in text
    order = [line.split()[0] for line in text.splitlines() if line.split()[:1]]
    classes = [word for word in order if word in CIFAR10_CLASSES]
    recalls = {row.name: row.recall for row in report.classes}
    assert set(classes) == set(CIFAR10_CLASSES)
    values = [recalls[name] for name in classes]
    assert values == sorted(value for value in values if value is not None)
    assert "--all-classes" not in text


def test_of_many_classes_the_worst_are_shown(evaluated: CheckpointEvaluation) -> None:
    rng = np.random.default_rng(0)
    names = [f"[red]{index}" for index in range(50)]
    report = report_logits(rng.normal(size=(500, 50)), rng.integers(0, 50, 500), names)
    many = dataclasses.replace(evaluated, report=report)
    assert shown(many).count("[red]") >= 20
    lines = [line for line in shown(many).splitlines() if line.strip().startswith("[red]")]
    assert len(lines) == 20
    assert "The 20 worst of 50 classes; --all-classes shows them all." in shown(many)
    all_lines = shown(many, all_classes=True).splitlines()
    assert len([line for line in all_lines if line.strip().startswith("[red]")]) == 50


def test_images_without_an_answer_are_told(evaluated: CheckpointEvaluation) -> None:
    report = report_logits(np.full((3, 2), np.nan), np.zeros(3, np.int64), ["a", "b"])
    text = shown(dataclasses.replace(evaluated, report=report))
    assert "3 images" in text
    assert "–" in text


def test_the_command_prints_one_json_document(
    cifar10: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "confusion.png"
    run(BUNDLED, "--data", "cifar10", "--data-dir", cifar10, "--json", "--confusion", picture)
    captured = capfd.readouterr()
    document = json.loads(captured.out)
    assert document["images"] == 60
    assert document["split"] == "test"
    assert len(document["classes"]) == 10
    assert np.array(document["confusion_matrix"]).sum() == 60
    assert document["confusion_picture"] == str(picture)
    assert len(document["sha256"]) == 64
    with Image.open(picture) as image:
        assert image.format == "PNG"
    assert "60 images" in captured.err


def test_the_command_prints_tables(cifar10: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(BUNDLED, "--data", "cifar10", "--data-dir", cifar10, "--batch-size", 32)
    captured = capsys.readouterr()
    assert "top-1" in captured.out
    assert "most often taken for" in captured.out


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        (["missing.keras"], InputError, "does not exist"),
        (["--data", "mnist"], UsageError, "not 'mnist'"),
        (["--confusion", "x.jpg"], UsageError, "must end in .png"),
        (["--confusion", "missing/x.png"], InputError, "does not exist"),
        (["--data", "folder:x", "--data-dir", "y"], UsageError, "--data-dir is for"),
        (["--preset", "vit-tiny"], UsageError, "holds its own architecture"),
    ],
)
def test_wrong_options_are_told(
    options: list[str], kind: type[Exception], message: str, tmp_path: Path
) -> None:
    with pytest.raises(kind, match=message):
        run(*options)


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys, typer\n"
        "from training.evaluate_command import register\n"
        "app = typer.Typer()\n"
        "register(app)\n"
        "try:\n"
        "    app(['--help'])\n"
        "except SystemExit:\n"
        "    heavy = {'keras', 'tensorflow', 'jax', 'numpy', 'matplotlib', 'pyarrow', 'PIL'}\n"
        "    print('heavy', sorted(heavy & set(sys.modules)))\n"
    )
    shown = run_python(code)
    assert shown.splitlines()[-1] == "heavy []"
    assert "--confusion" in shown
