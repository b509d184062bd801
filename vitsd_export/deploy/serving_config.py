"""Folders from which inference servers answer: Triton with ONNX, TensorFlow Serving with a SavedModel."""

import dataclasses
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from vitsd_export._internal.atomic_write import check_new_folder, publish_folder, staging
from vitsd_export.artifact.damage import unusable
from vitsd_export.artifact.format_detection import find_format
from vitsd_export.artifact.formats import ONNX, SAVED_MODEL, ArtifactFormat
from vitsd_export.artifact.manifest import LABELS_FILE, Manifest, TensorSpec
from vitsd_export.errors import InputError, UsageError

Server = Literal["triton", "tf-serving"]

# Both servers make the name a part of URLs and of paths.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
# https://github.com/triton-inference-server/server/blob/main/docs/user_guide/model_configuration.md
_TRITON_TYPES = {"uint8": "TYPE_UINT8", "float32": "TYPE_FP32"}
_LARGEST_BATCH = 64
_WAIT_MICROSECONDS = 1000


@dataclasses.dataclass(frozen=True)
class ServingConfig:
    """A folder that was written.

    Attributes:
        folder: What the server is given.
        name: What clients call the model.
        command: Shell command, to be run in the folder, that starts the server.
    """

    folder: Path
    name: str
    command: str


def write_serving_config(
    server: Server, artifact: Path, output: Path, *, name: str | None = None
) -> ServingConfig:
    """Writes the folder from which a server answers with an artifact.

    Args:
        server: `triton` for an ONNX file, `tf-serving` for a SavedModel.
        artifact: The file or folder, with its manifest inside.
        output: A folder that is not there yet, or empty.
        name: What clients shall call the model; the artifact's name by default.

    Raises:
        InputError: If the artifact cannot be used, is of another format, or carries no manifest.
        UsageError: If the name cannot be part of a URL, or the folder holds something.
        EnvironmentProblem: If the folder cannot be written.
    """
    name = name if name is not None else artifact.resolve().name.removesuffix(ONNX.suffix)
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"The name {name!r} cannot be part of a URL. Give a --name of letters, digits, '_', '.' and '-'."
        )
    served = _SERVED[server]
    form = find_format(artifact)
    if form is not served.form:
        raise InputError(
            f"{server} serves what `vitsd-export {served.form.command}` writes; {artifact} is {form.phrase}. "
            "Export the model to that format."
        )
    check_new_folder(output)
    manifest = served.read_manifest(artifact)
    if manifest is None:
        raise unusable(artifact, "it carries no manifest, which has the names, shapes and labels")
    with staging(output) as staged:
        written = served.write(artifact, manifest, name, staged)
        publish_folder(staged, output)
    return ServingConfig(output, name, written)


def triton_config(manifest: Manifest, name: str) -> str:
    """Returns Triton's `config.pbtxt` for an ONNX file with this manifest; `name` is the model's.

    Raises:
        InputError: If Triton has no type for the file's input.
    """
    dynamic = manifest.input.shape[0] is None
    lines = [
        f"name: {json.dumps(name)}",
        'backend: "onnxruntime"',
        'default_model_filename: "model.onnx"',
        # 0: the shapes below are whole, with the batch that the file insists on.
        f"max_batch_size: {_LARGEST_BATCH if dynamic else 0}",
        *_triton_tensor("input", manifest.input, dynamic),
        *_triton_tensor("output", manifest.output, dynamic, f'label_filename: "{LABELS_FILE}"'),
    ]
    if dynamic:
        lines += [
            "# Requests that come within this time are answered together.",
            f"dynamic_batching {{ max_queue_delay_microseconds: {_WAIT_MICROSECONDS} }}",
        ]
    lines.append("instance_group [ { count: 1, kind: KIND_CPU } ]")
    return "\n".join(lines) + "\n"


def tf_serving_config(name: str) -> str:
    """Returns TensorFlow Serving's `models.config` for a model under `/models`."""
    return (
        "model_config_list {\n"
        "  config {\n"
        f"    name: {json.dumps(name)}\n"
        f"    base_path: {json.dumps(f'/models/{name}')}\n"
        '    model_platform: "tensorflow"\n'
        "  }\n"
        "}\n"
    )


def _triton_tensor(kind: str, spec: TensorSpec, dynamic: bool, *more: str) -> list[str]:
    if spec.dtype not in _TRITON_TYPES:
        raise InputError(f"There is no Triton configuration for the type {spec.dtype} of {kind}s.")
    # Where Triton makes the batches, it leaves their dimension out.
    dims = ", ".join(str(size) for size in spec.shape[1 if dynamic else 0 :])
    fields = [f"name: {json.dumps(spec.name)}", f"data_type: {_TRITON_TYPES[spec.dtype]}"]
    return [f"{kind} [ {{ {', '.join([*fields, f'dims: [ {dims} ]', *more])} }} ]"]


def _write_triton(artifact: Path, manifest: Manifest, name: str, folder: Path) -> str:
    version = folder / name / "1"
    version.mkdir(parents=True)
    shutil.copyfile(artifact, version / "model.onnx")
    config = triton_config(manifest, name)
    (folder / name / "config.pbtxt").write_text(config, encoding="utf-8")
    (folder / name / LABELS_FILE).write_text("\n".join(manifest.labels) + "\n", encoding="utf-8")
    command = 'tritonserver --model-repository="$PWD"'
    _write_readme(folder, f"In NVIDIA's Triton container: `{command}`", f"v2/models/{name}/infer")
    return command


def _write_tf_serving(artifact: Path, manifest: Manifest, name: str, folder: Path) -> str:
    shutil.copytree(artifact, folder / name / "1")
    (folder / "models.config").write_text(tf_serving_config(name), encoding="utf-8")
    command = (
        'docker run --rm -p 8501:8501 -v "$PWD":/models tensorflow/serving '
        "--model_config_file=/models/models.config"
    )
    _write_readme(folder, f"`{command}`", f"v1/models/{name}:predict on port 8501")
    return command


def _write_readme(folder: Path, start: str, route: str) -> None:
    text = f"Here, to start the server:\n\n{start}\n\nClients send pixels to /{route}.\n"
    (folder / "README.md").write_text(text, encoding="utf-8")


def _manifest_by_runtime(artifact: Path) -> Manifest | None:
    from vitsd_export.runtimes.opening import open_runner

    with open_runner(artifact) as runner:
        return runner.manifest


@dataclasses.dataclass(frozen=True)
class _Served:
    """What a server needs.

    Attributes:
        form: The format that it serves.
        read_manifest: Reads an artifact's manifest; for Triton the runtime proves the file first.
        write: Writes the folder from artifact, manifest and name; returns the command that starts it.
    """

    form: ArtifactFormat
    read_manifest: Callable[[Path], Manifest | None]
    write: Callable[[Path, Manifest, str, Path], str]


_SERVED: dict[Server, _Served] = {
    "triton": _Served(ONNX, _manifest_by_runtime, _write_triton),
    "tf-serving": _Served(SAVED_MODEL, SAVED_MODEL.read_manifest, _write_tf_serving),
}
