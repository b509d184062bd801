"""The code that is printed runs, and answers as the artifact's runner does."""

import dataclasses
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.support.command_line import Artifacts, run_command
from tests.support.node_process import find_program
from tests.support.predictions import predicted
from tests.support.running_apps import run_app
from tests.support.tiny_artifacts import CLASSES, IMAGES, LABELS, SIZE, tiny_manifest, write_onnx
from vitsd_export.artifact.formats import FORMATS
from vitsd_export.artifact.manifest import Format, Manifest, TensorSpec
from vitsd_export.data.labels import CIFAR10_CLASSES
from vitsd_export.deploy.snippets import LANGUAGES, Language, fill_in, write_snippet
from vitsd_export.errors import InputError, UsageError
from vitsd_export.runtimes import open_runner
from vitsd_export.workflows.export import Export
from vitsd_export.workflows.targets import Target

HEADERS = (os.environ.get("ONNXRUNTIME_INCLUDE", ""), "/usr/include/onnxruntime")
LITERT_LANGUAGES: tuple[Language, ...] = ("kotlin", "swift", "python")
BOTH: list[tuple[Language, Format]] = [
    *((language, "onnx") for language in LANGUAGES if language != "coreml"),
    *((language, "tflite") for language in LITERT_LANGUAGES),
    ("coreml", "saved_model"),
]


def odd_manifest(form: Format, dtype: str, batch: int | None, meaning: str) -> Manifest:
    labels = ('a "quoted" one', "a $dollar", "back\\slash", "größer", *LABELS[4:])
    return dataclasses.replace(
        tiny_manifest(form, meaning, labels),
        input=TensorSpec("pixels_in", dtype, (batch, 24, 24, 3), "pixels 0-255 RGB"),
        output=TensorSpec("scores_out", "float32", (batch, CLASSES), meaning),
    )


@pytest.mark.parametrize(("language", "form"), BOTH)
def test_names_shapes_and_labels_are_the_artifacts(language: Language, form: Format) -> None:
    manifest = odd_manifest(form, "uint8", 4, "probabilities")
    code = fill_in(language, FORMATS[form], manifest, "my model.bin")
    assert "{{" not in code.replace("{{{", "")
    for text in ("my model.bin", "pixels_in", "scores_out", "24"):
        assert text in code
    if language == "python":
        assert 'split("\\n")' in code
    else:
        assert '"größer"' in code
        assert '"a \\"quoted\\" one"' in code
        assert '"back\\\\slash"' in code
        assert ('"a \\$dollar"' in code) == (language == "kotlin")
        assert code.count("tiny ") == CLASSES - 4


@pytest.mark.parametrize(("language", "form"), BOTH)
def test_floats_and_logits_are_heeded(language: Language, form: Format) -> None:
    bytes_ = fill_in(
        language, FORMATS[form], odd_manifest(form, "uint8", None, "probabilities"), "m"
    )
    floats = fill_in(language, FORMATS[form], odd_manifest(form, "float32", None, "logits"), "m")
    assert "logits" in floats
    assert "probabilit" not in floats
    assert "logits" not in bytes_
    assert "float" in floats.lower()
    assert "uint8" in bytes_.lower()
    assert "uint8_t" not in floats


def test_python_answers_as_the_runner(
    exported: Artifacts, odd_pictures: list[Path], tmp_path: Path
) -> None:
    picture = next(path for path in odd_pictures if path.name == "rgb.png")
    for artifact in (exported.onnx, exported.int8):
        shutil.copy(artifact, tmp_path)
        (tmp_path / "snippet.py").write_text(write_snippet("python", artifact))
        ended = run_app([sys.executable, "snippet.py"], picture, folder=tmp_path)
        assert_answers(ended.stdout, artifact, picture)


@pytest.fixture(scope="module")
def integers(small_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that answers in steps of uint8."""
    path = tmp_path_factory.mktemp("integers") / "full.tflite"
    Export(small_model, verify=False).run(Target("tflite", path, "full-int8"))
    return path


def test_python_reads_integers_by_the_files_scale(
    integers: Path, bundled_pictures: list[Path], tmp_path: Path
) -> None:
    picture = bundled_pictures[0]
    shutil.copy(integers, tmp_path)
    (tmp_path / "snippet.py").write_text(write_snippet("python", integers))
    ended = run_app([sys.executable, "snippet.py"], picture, folder=tmp_path)
    assert_answers(ended.stdout, integers, picture)
    app = Path(__file__).parents[2] / "apps" / "python" / "classify_litert.py"
    told = run_app([sys.executable, app], integers, picture, "--json").answers
    assert sum(told[str(picture)].values()) == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize(("dtype", "kotlin", "swift"), [
    ("uint8", "((answers[0][it].toInt() and 255) - steps.zeroPoint)", "to: UInt8.self"),
    ("int8", "(answers[0][it].toInt() - steps.zeroPoint)", "to: Int8.self"),
])  # fmt: skip
def test_phones_read_integers_by_the_files_scale(dtype: str, kotlin: str, swift: str) -> None:
    manifest = tiny_manifest("tflite")
    manifest = dataclasses.replace(
        manifest, output=dataclasses.replace(manifest.output, dtype=dtype)
    )
    code = fill_in("kotlin", FORMATS["tflite"], manifest, "m.tflite")
    assert "ByteArray(" in code
    assert "quantizationParams()" in code
    assert kotlin in code
    code = fill_in("swift", FORMATS["tflite"], manifest, "m.tflite")
    assert swift in code
    assert "quantizationParameters!.zeroPoint" in code


def test_an_answer_of_another_type_is_refused() -> None:
    manifest = tiny_manifest("tflite")
    manifest = dataclasses.replace(
        manifest, output=dataclasses.replace(manifest.output, dtype="int16")
    )
    with pytest.raises(InputError, match=r"answers in int16; .*float32, uint8 and int8"):
        fill_in("kotlin", FORMATS["tflite"], manifest, "m.tflite")


def test_javascript_answers_as_the_runner(
    exported: Artifacts, bundled_pictures: list[Path], node_app: Path
) -> None:
    artifact, picture = exported.onnx, bundled_pictures[3]
    shutil.copy(artifact, node_app)
    (node_app / "snippet.mjs").write_text(write_snippet("javascript", artifact))
    ended = run_app([find_program("node"), "snippet.mjs"], picture, folder=node_app)
    assert_answers(ended.stdout, artifact, picture)


@pytest.mark.parametrize(("language", "compiler"), [("c", "gcc"), ("cpp", "g++")])
def test_c_and_cpp_answer_as_the_runner(
    language: Language,
    compiler: str,
    exported: Artifacts,
    bundled_pictures: list[Path],
    images: np.ndarray,
    tmp_path: Path,
) -> None:
    artifact = exported.onnx
    shutil.copy(artifact, tmp_path)
    (tmp_path / f"snippet.{language}").write_text(write_snippet(language, artifact))
    compile_against_wheel(language, compiler, tmp_path)
    images[7].tofile(tmp_path / "7.rgb")
    ended = run_app([tmp_path / "program"], "7.rgb", folder=tmp_path)
    assert ended.exit_code == 0, ended.stderr
    assert_answers(ended.stdout, artifact, bundled_pictures[7])
    assert run_app([tmp_path / "program"], "none.rgb", folder=tmp_path).exit_code == 2


@pytest.mark.parametrize(("language", "compiler"), [("c", "gcc"), ("cpp", "g++")])
def test_c_and_cpp_heed_a_fixed_batch_of_floats(
    language: Language, compiler: str, tmp_path: Path
) -> None:
    options = {"shape": (2, SIZE, SIZE, 3), "dtype": "float32"}
    artifact = write_onnx(tmp_path / "two.onnx", **options)
    manifest = dataclasses.replace(
        tiny_manifest("onnx"),
        input=TensorSpec("image", "float32", (2, SIZE, SIZE, 3), "pixels 0-255 RGB"),
    )
    (tmp_path / f"snippet.{language}").write_text(
        fill_in(language, FORMATS["onnx"], manifest, "two.onnx")
    )
    compile_against_wheel(language, compiler, tmp_path)
    IMAGES[1].tofile(tmp_path / "1.rgb")
    ended = run_app([tmp_path / "program"], "1.rgb", folder=tmp_path)
    assert ended.exit_code == 0, ended.stderr
    with open_runner(artifact) as runner:
        row = runner.probabilities(IMAGES[1:2])[0]
    assert ended.stdout.rsplit(" ", 1)[0] == LABELS[int(row.argmax())]
    assert float(ended.stdout.rsplit(" ", 1)[1]) == pytest.approx(row.max(), abs=1e-5)


def compile_against_wheel(language: str, compiler: str, folder: Path) -> None:
    """Compiles `snippet` with onnxruntime's headers and the library in its Python wheel."""
    import onnxruntime

    include = next((path for path in HEADERS if (Path(path) / "onnxruntime_c_api.h").is_file()), "")
    if not include or shutil.which(compiler) is None:
        pytest.skip(f"no {compiler}, or no headers of onnxruntime; see .ci/onnxruntime-headers")
    wheel = Path(onnxruntime.__file__).parent / "capi"
    libraries = sorted(wheel.glob("libonnxruntime.so.*"))
    if not libraries:
        pytest.skip("onnxruntime's wheel has no library that C can link on this system")
    # The loader looks for the major version alone.
    (folder / "libonnxruntime.so.1").symlink_to(libraries[0])
    command = [compiler, f"-std={'c11' if language == 'c' else 'c++17'}"]
    # The headers are older than some compilers' warnings.
    command += ["-Wall", "-Wextra", "-Werror", "-isystem", include, f"snippet.{language}"]
    command += ["-o", "program", "libonnxruntime.so.1", f"-Wl,-rpath,{folder}"]
    process = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr


def assert_answers(printed: str, artifact: Path, picture: Path) -> None:
    label, number = printed.strip().rsplit(" ", 1)
    answer = predicted(artifact, [picture], len(CIFAR10_CLASSES))[str(picture)]
    assert label == next(iter(answer))
    assert float(number) == pytest.approx(answer[label], abs=1e-4)


def test_the_command_prints_the_code(exported: Artifacts) -> None:
    outcome = run_command("snippet", "cpp", exported.onnx)
    assert outcome.exit_code == 0, outcome.stderr
    assert outcome.stdout == write_snippet("cpp", exported.onnx)


@pytest.mark.parametrize("language", ["c", "cpp", "javascript"])
def test_languages_without_litert_are_refused(
    language: Language, tiny_tflite_manifest: Manifest
) -> None:
    with pytest.raises(UsageError, match="ONNX"):
        fill_in(language, FORMATS["tflite"], tiny_tflite_manifest, "m.tflite")


@pytest.fixture
def tiny_tflite_manifest() -> Manifest:
    return tiny_manifest("tflite")


def test_a_type_of_pixels_without_code_is_refused() -> None:
    manifest = odd_manifest("onnx", "float16", None, "probabilities")
    with pytest.raises(InputError, match="float16"):
        fill_in("c", FORMATS["onnx"], manifest, "m.onnx")


def test_an_artifact_without_a_manifest_is_refused(tmp_path: Path) -> None:
    artifact = write_onnx(tmp_path / "foreign.onnx", with_manifest=False)
    outcome = run_command("snippet", "c", artifact)
    assert outcome.exit_code == 3
    assert "manifest" in outcome.error


def test_phones_run_no_saved_model(exported: Artifacts) -> None:
    outcome = run_command("snippet", "kotlin", exported.saved_model)
    assert outcome.exit_code == 2
    assert "export the model to ONNX" in outcome.error


def test_core_ml_takes_a_saved_model(exported: Artifacts) -> None:
    outcome = run_command("snippet", "coreml", exported.onnx)
    assert outcome.exit_code == 2
    assert "export the model to SavedModel" in outcome.error
