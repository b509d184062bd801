"""Tests of artifacts that cannot be used: an InputError each, never a crash."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx import helper, numpy_helper

from tests.support.tiny_artifacts import (
    IMAGES,
    LABELS,
    SIZE,
    append_zip,
    onnx_model,
    reference_probabilities,
    tflite_bytes,
    tiny_manifest,
    write_onnx,
    write_saved_model,
    write_sidecar,
    write_tflite,
)
from vitsd_export.artifact import litert_file
from vitsd_export.artifact.format_detection import find_format
from vitsd_export.artifact.inspection import inspect_artifact
from vitsd_export.artifact.manifest import MANIFEST_KEY, SAVED_MODEL_EXTRAS, sidecar_path
from vitsd_export.errors import InputError
from vitsd_export.runtimes import open_runner

ROOT = Path(__file__).parents[2]


def _refused(path: Path, match: str) -> None:
    """Both ways into an artifact refuse it, naming it and the remedy."""
    for enter in (open_runner, inspect_artifact):
        with pytest.raises(InputError, match=match) as caught:
            enter(path)
        message = str(caught.value)
        assert path.name in message
        assert "\n" not in message
        assert "xport" in message


def test_format_is_detected_by_content(
    tmp_path: Path, tiny_onnx: Path, tiny_tflite: Path, tiny_saved_model: Path
) -> None:
    assert find_format(Path(shutil.copy(tiny_tflite, tmp_path / "a.onnx"))).name == "tflite"
    assert find_format(Path(shutil.copy(tiny_onnx, tmp_path / "b.bin"))).name == "onnx"
    assert find_format(tiny_saved_model).name == "saved_model"


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("empty.onnx", b"", "is empty"),
        ("checkpoint.keras", b"PK\x03\x04" + bytes(50), "zip archive.*exported first"),
        ("weights.h5", b"\x89HDF\r\n\x1a\n" + bytes(50), "HDF5"),
        ("picture.png", b"\x89PNG\r\n\x1a\n" + bytes(50), "PNG image"),
        ("picture.jpg", b"\xff\xd8\xff\xe0" + bytes(50), "JPEG image"),
        ("text.onnx", b"not a model at all", "truncated, damaged"),
        ("zeros.onnx", bytes(1000), "truncated, damaged"),
        ("text.tflite", b"not a model at all", "lacks the mark"),
        ("mark-only.tflite", bytes(4) + b"TFL3", "truncated, damaged"),
        ("mark-only.bin", b"\xff\xff\xff\x7fTFL3" + bytes(100), "truncated, damaged"),
    ],
)
def test_what_is_not_an_artifact_is_refused(
    tmp_path: Path, name: str, content: bytes, match: str
) -> None:
    (tmp_path / name).write_bytes(content)
    _refused(tmp_path / name, match)


def test_missing_artifact_is_refused(tmp_path: Path) -> None:
    _refused(tmp_path / "absent.onnx", "does not exist")


def test_folder_without_a_saved_model_is_refused(tmp_path: Path) -> None:
    _refused(tmp_path, "no saved_model.pb")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_named_pipe_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.onnx")
    _refused(tmp_path / "pipe.onnx", "neither a file nor a folder")


# Every cut is opened in one process, so that a crash of any of them fails the test by its exit
# status.
_OPEN_EVERY_CUT = """
import pathlib, sys
from vitsd_export.errors import InputError
from vitsd_export.runtimes import open_runner
data = pathlib.Path(sys.argv[1]).read_bytes()
cut = pathlib.Path(sys.argv[2])
end, step = int(sys.argv[3]), int(sys.argv[4])
for length in [*range(0, end, step), end - 1]:
    cut.write_bytes(data[:length])
    try:
        open_runner(cut, trusted=True).close()
    except InputError:
        continue
    raise SystemExit(f"a file cut off at {length} of {len(data)} bytes was opened")
"""


def _open_every_cut(artifact: Path, folder: Path, end: int, step: int) -> None:
    cut = folder / f"cut{artifact.suffix}"
    command = [sys.executable, "-c", _OPEN_EVERY_CUT, str(artifact), str(cut), str(end), str(step)]
    finished = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert finished.returncode == 0, finished.stderr


def test_truncated_onnx_is_refused_wherever_it_is_cut(tmp_path: Path) -> None:
    # Without metadata, whose absence nothing in the file would tell.
    path = write_onnx(tmp_path / "whole.onnx", with_manifest=False)
    _open_every_cut(path, tmp_path, path.stat().st_size, 61)


def test_truncated_litert_is_refused_wherever_it_is_cut(tmp_path: Path) -> None:
    path = write_tflite(tmp_path / "whole.tflite", with_manifest=False)
    _open_every_cut(path, tmp_path, path.stat().st_size, 61)


def test_litert_that_lost_the_end_of_its_zip_is_refused(tmp_path: Path, tiny_tflite: Path) -> None:
    data = tiny_tflite.read_bytes()
    path = tmp_path / "cut.tflite"
    flatbuffer = len(tflite_bytes())
    for length in (flatbuffer + 60, (flatbuffer + len(data)) // 2, len(data) - 1):
        path.write_bytes(data[:length])
        _refused(path, "cut off")


@pytest.mark.parametrize("share", [0.05, 0.5, 0.95])
def test_truncated_files_are_refused_without_trust(
    tmp_path: Path, tiny_onnx: Path, share: float
) -> None:
    bare = write_tflite(tmp_path / "whole.tflite", with_manifest=False)
    for whole in (tiny_onnx, bare):
        data = whole.read_bytes()
        path = tmp_path / f"cut{whole.suffix}"
        path.write_bytes(data[: int(share * len(data))])
        _refused(path, "truncated")


def test_flipped_bits_never_crash(tmp_path: Path, tiny_onnx: Path) -> None:
    rng = np.random.default_rng(5)
    bare = write_tflite(tmp_path / "whole.tflite", with_manifest=False)
    refused = 0
    for whole, count in ((tiny_onnx, 150), (bare, 10)):
        data = whole.read_bytes()
        path = tmp_path / f"flipped{whole.suffix}"
        for _ in range(count):
            flipped = bytearray(data)
            # Most bytes are weights, in which any bits are a sound file: half of the flips go
            # elsewhere.
            high = len(data) if rng.random() < 0.5 else 600
            flipped[rng.integers(high)] ^= 1 << int(rng.integers(8))
            path.write_bytes(flipped)
            try:
                with open_runner(path) as runner:
                    runner.run(np.zeros((1, runner.image_size, runner.image_size, 3), np.uint8))
            except InputError:
                refused += 1
    assert 0 < refused < 160


@pytest.mark.parametrize(
    ("program", "match"),
    [
        ("import os; os.abort()", "crashes the LiteRT interpreter"),
        ("import time; time.sleep(60)", "did not answer"),
    ],
)
def test_litert_file_that_crashes_or_hangs_is_refused(
    tmp_path: Path,
    tiny_tflite: Path,
    monkeypatch: pytest.MonkeyPatch,
    program: str,
    match: str,
) -> None:
    probe = tmp_path / "probe.py"
    probe.write_text(program)
    monkeypatch.setattr(litert_file.litert_probe, "__file__", str(probe))
    monkeypatch.setattr(litert_file, "_PROBE_SECONDS", 1)
    _refused(tiny_tflite, match)


@pytest.mark.parametrize("kind", ["onnx", "tflite"])
def test_file_that_differs_from_its_manifest_is_refused(tmp_path: Path, kind: str) -> None:
    write = {"onnx": write_onnx, "tflite": write_tflite}[kind]
    path = write(tmp_path / f"model.{kind}")
    write_sidecar(path, kind)  # type: ignore[arg-type]
    open_runner(path).close()
    data = bytearray(path.read_bytes())
    # In the middle of the weights, where no runtime can notice it.
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    _refused(path, "is not the file that model.* beside it describes")
    sidecar_path(path).unlink()
    open_runner(path).close()


def test_foreign_json_beside_a_file_is_ignored(tmp_path: Path) -> None:
    path = write_onnx(tmp_path / "model.onnx")
    for content in ("{}", "[1, 2]", "not json", tiny_manifest("onnx").to_json()):
        sidecar_path(path).write_text(content)
        open_runner(path).close()


def test_litert_proven_by_its_manifest_needs_no_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_tflite(tmp_path / "model.tflite")
    probe = tmp_path / "probe.py"
    probe.write_text("import os; os.abort()")
    monkeypatch.setattr(litert_file.litert_probe, "__file__", str(probe))
    with pytest.raises(InputError, match="crashes"):
        open_runner(path)
    write_sidecar(path, "tflite")
    with open_runner(path) as runner:
        np.testing.assert_allclose(runner.run(IMAGES), reference_probabilities(IMAGES), atol=2e-6)


def _cut(name: str, share: float) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        file = next(folder.glob(name))
        data = file.read_bytes()
        file.write_bytes(data[: int(share * len(data))])

    return damage


def _remove(name: str) -> Callable[[Path], None]:
    return lambda folder: next(folder.glob(name)).unlink()


@pytest.mark.parametrize(
    "damage",
    [
        _cut("saved_model.pb", 0.3),
        _cut("saved_model.pb", 0),
        _cut("variables/variables.index", 0.5),
        _cut("variables/variables.data-*", 0.9),
        _remove("variables/variables.data-*"),
        _cut(f"{SAVED_MODEL_EXTRAS}/*.json", 0.5),
    ],
    ids=["graph-cut", "graph-empty", "index-cut", "weights-cut", "no-weights", "manifest-cut"],
)
def test_damaged_saved_model_is_refused(
    tmp_path: Path, tiny_saved_model: Path, damage: Callable[[Path], None]
) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(tiny_saved_model, folder)
    damage(folder)
    _refused(folder, "cannot be used")


def test_saved_model_without_a_serving_signature_is_refused(tmp_path: Path) -> None:
    folder = write_saved_model(tmp_path / "other", signature="train")
    _refused(folder, "no signature 'serving_default'")


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"shape": ("N", SIZE * SIZE, 3)}, r"\[\?, 64, 3\].*Expected one input of shape"),
        ({"shape": ("N", SIZE, SIZE, 1)}, r"\[\?, 8, 8, 1\].*Expected one input of shape"),
        ({"shape": ("N", 3, SIZE, SIZE)}, r"\[\?, 3, 8, 8\].*Expected one input of shape"),
        ({"shape": ("N", "H", "W", 3)}, r"\[\?, \?, \?, 3\].*Expected one input of shape"),
        ({"dtype": "int64"}, "int64.*type uint8 or float32"),
        ({"extra_input": True}, "2 inputs.*'training'"),
    ],
)
def test_onnx_of_another_shape_is_refused(
    tmp_path: Path, options: dict[str, object], match: str
) -> None:
    path = write_onnx(tmp_path / "other.onnx", with_manifest=False, **options)
    with pytest.raises(InputError, match=match):
        open_runner(path)


def test_saved_model_of_another_shape_is_refused(tmp_path: Path) -> None:
    folder = write_saved_model(tmp_path / "grey", shape=(None, SIZE, SIZE * 3, 1))
    with pytest.raises(InputError, match=r"\[\?, 8, 24, 1\].*Expected one input"):
        open_runner(folder)


def test_output_that_is_no_list_of_classes_is_refused(tmp_path: Path) -> None:
    model = onnx_model()
    model.graph.node[-1].output[0] = "wide"
    model.graph.node.append(helper.make_node("ReduceMax", ["wide"], ["probabilities"], keepdims=0))
    del model.graph.output[0].type.tensor_type.shape.dim[:]
    path = tmp_path / "scalar.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(InputError, match="Expected one output of shape"):
        open_runner(path)


def test_artifact_that_fails_on_a_batch_says_so(tmp_path: Path) -> None:
    model = onnx_model()
    flat = next(tensor for tensor in model.graph.initializer if tensor.name == "flat")
    # The batch is declared dynamic, but the graph only takes one image.
    flat.CopyFrom(numpy_helper.from_array(np.array([1, SIZE * SIZE * 3]), "flat"))
    path = tmp_path / "one.onnx"
    path.write_bytes(model.SerializeToString())
    with open_runner(path) as runner:
        np.testing.assert_allclose(
            runner.run(IMAGES[:1]), reference_probabilities(IMAGES[:1]), atol=2e-6
        )
        with pytest.raises(InputError, match=r"fails in onnxruntime .* on a batch of 7 images"):
            runner.run(IMAGES)


def test_manifest_of_other_classes_is_refused(tmp_path: Path) -> None:
    manifest = tiny_manifest("tflite", labels=LABELS[:4])
    path = tmp_path / "labels.tflite"
    path.write_bytes(tflite_bytes())
    append_zip(path, manifest)
    with pytest.raises(InputError, match=r"gives 10 numbers.*manifest names 4 classes"):
        open_runner(path)


def test_unreadable_manifest_is_refused(tmp_path: Path) -> None:
    future = json.dumps({**json.loads(tiny_manifest("onnx").to_json()), "schema_version": 99})
    for text, match in (("{", "manifest cannot be read"), (future, "schema version 99")):
        path = tmp_path / "manifest.onnx"
        path.write_bytes(onnx_model(metadata={MANIFEST_KEY: text}).SerializeToString())
        _refused(path, match)


def test_damaged_zip_entry_is_refused(tmp_path: Path, tiny_tflite: Path) -> None:
    data = bytearray(tiny_tflite.read_bytes())
    data[len(tflite_bytes()) + 200] ^= 1
    path = tmp_path / "flipped.tflite"
    path.write_bytes(data)
    _refused(path, "manifest inside it is damaged")


def test_the_reason_of_onnxruntime_is_told_however_long_the_path(tmp_path: Path) -> None:
    from onnx import TensorProto, helper

    folder = tmp_path.joinpath(*["a" * 60] * 5)
    folder.mkdir(parents=True)
    tensors = [helper.make_tensor_value_info(name, TensorProto.FLOAT, (1,)) for name in "xy"]
    node = helper.make_node("NoSuchOperator", ["x"], ["y"])
    graph = helper.make_graph([node], "graph", tensors[:1], tensors[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(InputError, match="NoSuchOperator"):
        open_runner(path)
