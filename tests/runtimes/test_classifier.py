"""Tests of the classifier that threads share."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.support.tiny_artifacts import (
    CLASSES,
    IMAGES,
    LABELS,
    SIZE,
    reference_probabilities,
    write_onnx,
    write_tflite,
)
from vitsd_export.data.images import resize_image
from vitsd_export.errors import InputError, UsageError
from vitsd_export.runtimes import Classification, Classifier
from vitsd_export.runtimes.pool import RunnerPool

REFERENCE = reference_probabilities(IMAGES)
RANDOM = np.random.default_rng(8)
# Of several sizes, so that decoding is part of the race.
PICTURES = [
    RANDOM.integers(0, 256, (*RANDOM.integers(1, 40, 2), 3), dtype=np.uint8) for _ in range(40)
]
PICTURES_REFERENCE = reference_probabilities(
    np.stack([resize_image(picture, SIZE) for picture in PICTURES])
)


@pytest.fixture(scope="module", params=["onnx", "tflite", "batch of 4"])
def artifact(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    if request.param == "batch of 4":
        return write_tflite(tmp_path_factory.mktemp("four") / "four.tflite", batch=4)
    path: Path = request.getfixturevalue(f"tiny_{request.param}")
    return path


@pytest.fixture(scope="module")
def classify(artifact: Path) -> Iterator[Classifier]:
    with Classifier(artifact, top=CLASSES, workers=3, batch_size=4) as classifier:
        yield classifier


def rows(answers: list[Classification]) -> np.ndarray:
    return np.stack([answer.probabilities for answer in answers])


def test_one_picture_gives_one_answer(classify: Classifier, tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    image = Image.fromarray(IMAGES[0])
    image.save(path)
    best = int(REFERENCE[0].argmax())
    for picture in (path, str(path), image, IMAGES[0]):
        answer = classify(picture)
        assert isinstance(answer, Classification)
        assert (answer.label, answer.top[0]) == (LABELS[best], (answer.label, answer.probability))
        assert answer.probability == pytest.approx(REFERENCE[0][best], abs=1e-5)
        np.testing.assert_allclose(answer.probabilities, REFERENCE[0], atol=1e-5)
        assert answer.probabilities.dtype == np.float32
        assert [label for label, _ in answer.top] == [
            LABELS[index] for index in np.argsort(-REFERENCE[0])
        ]


def test_several_pictures_give_a_list_in_their_order(classify: Classifier) -> None:
    np.testing.assert_allclose(rows(classify(IMAGES)), REFERENCE, atol=1e-5)
    np.testing.assert_allclose(rows(classify(iter(PICTURES))), PICTURES_REFERENCE, atol=1e-5)
    assert classify([]) == []
    assert classify(IMAGES[:0]) == []
    assert len(classify(IMAGES[:1])) == 1


def test_answers_cannot_be_changed(classify: Classifier) -> None:
    with pytest.raises(ValueError, match="read-only"):
        classify(IMAGES)[0].probabilities[0] = 1


def test_labels_and_size_are_the_artifacts(classify: Classifier) -> None:
    assert (classify.labels, classify.image_size) == (LABELS, SIZE)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data(), threads=st.integers(2, 8))
def test_threads_get_the_answers_of_one(
    classify: Classifier, data: st.DataObject, threads: int
) -> None:
    pick = st.lists(st.integers(0, len(PICTURES) - 1), min_size=0, max_size=11)
    calls = data.draw(st.lists(pick, min_size=threads, max_size=3 * threads))
    start = threading.Barrier(threads)

    def call(number: int) -> list[Classification]:
        if number < threads:
            start.wait(timeout=30)
        return classify([PICTURES[index] for index in calls[number]])

    with ThreadPoolExecutor(threads) as executor:
        answers = list(executor.map(call, range(len(calls))))
    for chosen, answer in zip(calls, answers, strict=True):
        assert len(answer) == len(chosen)
        if chosen:
            np.testing.assert_allclose(rows(answer), PICTURES_REFERENCE[chosen], atol=1e-5)


def test_a_closed_classifier_says_so(artifact: Path) -> None:
    with Classifier(artifact) as classifier:
        classifier(IMAGES[0])
    with pytest.raises(ValueError, match="closed"):
        classifier(IMAGES[0])
    classifier.close()


def test_closing_lets_batches_under_way_finish(artifact: Path) -> None:
    classifier = Classifier(artifact, workers=2, batch_size=1)
    started = threading.Event()

    def pictures() -> Iterator[np.ndarray]:
        for picture in PICTURES:
            yield picture
            started.set()

    def call() -> int | str:
        try:
            return len(classifier(pictures()))
        except ValueError as error:
            return str(error)

    with ThreadPoolExecutor(4) as executor:
        calls = [executor.submit(call) for _ in range(8)]
        assert started.wait(timeout=30)
        classifier.close()
        assert {call.result(timeout=60) for call in calls} <= {
            len(PICTURES),
            "The classifier is closed.",
        }
    with pytest.raises(ValueError, match="closed"):
        classifier(IMAGES[0])


class FakeRunner:
    """Counts how many threads are inside."""

    def __init__(self) -> None:
        self.inside = 0
        self.closed = False

    def close(self) -> None:
        self.closed = True


def test_a_pool_lends_a_runner_to_one_thread_at_a_time() -> None:
    opened: list[FakeRunner] = []

    def open_another() -> FakeRunner:
        opened.append(FakeRunner())
        return opened[-1]

    pool = RunnerPool(open_another, 2)  # type: ignore[arg-type]
    most = 0
    lock = threading.Lock()

    def work(_: int) -> None:
        nonlocal most
        with pool.lend() as runner:
            fake: FakeRunner = runner  # type: ignore[assignment]
            fake.inside += 1
            assert fake.inside == 1
            with lock:
                most = max(most, sum(other.inside for other in opened))
            threading.Event().wait(0.002)
            fake.inside -= 1

    with ThreadPoolExecutor(6) as executor:
        list(executor.map(work, range(60)))
    assert (len(opened), most) == (2, 2)
    pool.close()
    assert all(fake.closed for fake in opened)


def test_a_pool_survives_a_runner_that_cannot_be_opened() -> None:
    runners = iter([FakeRunner()])

    def open_another() -> FakeRunner:
        for runner in runners:
            return runner
        raise InputError("gone")

    pool = RunnerPool(open_another, 2)  # type: ignore[arg-type]
    with pool.lend() as first, pytest.raises(InputError, match="gone"), pool.lend():
        pass
    with pool.lend() as again:
        assert again is first
    pool.close()


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((8, 8), np.uint8),
        np.zeros((8, 8, 4), np.uint8),
        np.zeros((8, 8, 3), np.float32),
        np.zeros((0, 8, 3), np.uint8),
    ],
)
def test_an_array_that_is_no_picture_is_refused(classify: Classifier, picture: np.ndarray) -> None:
    with pytest.raises(InputError, match="RGB pixels"):
        classify(picture)
    with pytest.raises(InputError, match="RGB pixels"):
        classify([IMAGES[0], picture])


def test_a_file_that_is_no_picture_is_refused(classify: Classifier, tmp_path: Path) -> None:
    path = tmp_path / "text.png"
    path.write_text("no picture")
    with pytest.raises(InputError, match=r"text\.png"):
        classify(path)
    np.testing.assert_allclose(classify(IMAGES[0]).probabilities, REFERENCE[0], atol=1e-5)


def test_logits_become_probabilities(tmp_path: Path) -> None:
    path = write_onnx(tmp_path / "logits.onnx", softmax=False, output="logits")
    with Classifier(path) as classifier:
        np.testing.assert_allclose(rows(classifier(IMAGES)), REFERENCE, atol=1e-5)


def test_a_saved_model_is_refused(tiny_saved_model: Path) -> None:
    with pytest.raises(InputError, match="TensorFlow"):
        Classifier(tiny_saved_model)


@pytest.mark.parametrize("option", ["top", "workers", "batch_size", "threads"])
def test_numbers_below_one_are_refused(tiny_onnx: Path, option: str) -> None:
    with pytest.raises(UsageError, match="at least 1"):
        Classifier(tiny_onnx, **{option: 0})


@pytest.mark.parametrize("kind", ["onnx", "tflite"])
def test_tensorflow_is_not_imported(kind: str, request: pytest.FixtureRequest) -> None:
    path = request.getfixturevalue(f"tiny_{kind}")
    script = (
        "import sys, numpy; from vitsd_export import Classifier\n"
        f"with Classifier({str(path)!r}) as classify:\n"
        f"    assert classify(numpy.zeros((9, 9, 3), 'uint8')).label in {LABELS!r}\n"
        "print(sorted({'tensorflow', 'keras'} & set(sys.modules)))"
    )
    process = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stderr
    assert process.stdout.strip() == "[]"
