"""A folder that `@huggingface/transformers` and Optimum load: an ONNX file, its labels and its preprocessing.

Both give an image classifier `pixel_values`, float32 [N, 3, size, size], and take `logits`, float32
[N, classes], from it. The artifact's graph gets a Transpose in front and loses the softmax at its end.
"""

import json
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto, helper

from vitsd_export._internal.atomic_write import check_new_folder, publish_folder, staging
from vitsd_export.artifact.damage import unusable
from vitsd_export.artifact.format_detection import find_format
from vitsd_export.artifact.formats import ONNX
from vitsd_export.artifact.manifest import Manifest
from vitsd_export.errors import InputError
from vitsd_export.quantization.schemes import SCHEMES
from vitsd_export.runtimes.opening import open_runner

_INPUT, _OUTPUT = "pixel_values", "logits"
# PIL's number of bilinear interpolation.
_BILINEAR = 2


def write_transformers_folder(artifact: Path, output: Path, *, force: bool = False) -> Path:
    """Writes the folder, or adds a file of another scheme to it.

    Args:
        artifact: ONNX file with its manifest inside.
        output: The folder.
        force: Write into a folder that holds something already, over files of the same names.

    Returns:
        The ONNX file within the folder: `onnx/model.onnx`, or with the suffix by which transformers.js
        names the scheme, such as `onnx/model_quantized.onnx`.

    Raises:
        InputError: If the artifact is no ONNX file, cannot be used, or carries no manifest.
        UsageError: If the folder holds something and `force` is not given.
        EnvironmentProblem: If the folder cannot be written, or onnxruntime is not installed.
    """
    form = find_format(artifact)
    if form is not ONNX:
        raise InputError(
            f"Transformers reads ONNX files, but {artifact} is {form.phrase}. Export the model to ONNX."
        )
    check_new_folder(output, force=force)
    with open_runner(artifact) as runner:
        manifest = runner.manifest
    if manifest is None:
        raise unusable(artifact, "it carries no manifest, which has the labels")
    name = f"onnx/model{SCHEMES[manifest.scheme].transformers_suffix}.onnx"
    with staging(output) as staged:
        (staged / "onnx").mkdir(parents=True)
        onnx.save(_adapted(onnx.load(artifact), manifest), staged / name)
        for file, document in (
            ("config.json", _configuration(manifest)),
            ("preprocessor_config.json", _preprocessing(manifest)),
        ):
            text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
            (staged / file).write_text(text, encoding="utf-8")
        publish_folder(staged, output)
    return output / name


def _adapted(model: onnx.ModelProto, manifest: Manifest) -> onnx.ModelProto:
    graph = model.graph
    batch, height, width, _ = manifest.input.shape
    leading = "batch" if batch is None else batch
    image, answer = graph.input[0].name, graph.output[0].name
    pixels = helper.make_tensor_value_info(_INPUT, TensorProto.FLOAT, (leading, 3, height, width))
    order = [0, 2, 3, 1]
    if manifest.input.dtype == "float32":
        first = [helper.make_node("Transpose", [_INPUT], [image], perm=order)]
    else:
        # Pixels are whole numbers, in float32, as the preprocessing neither scales nor normalizes.
        first = [
            helper.make_node("Transpose", [_INPUT], [f"{_INPUT}/last"], perm=order),
            helper.make_node("Cast", [f"{_INPUT}/last"], [image], to=TensorProto.UINT8),
        ]
    last = next(node for node in graph.node if answer in node.output)
    nodes = list(graph.node)
    if manifest.output.meaning == "logits":
        nodes.append(helper.make_node("Identity", [answer], [_OUTPUT]))
    elif last.op_type == "Softmax":
        nodes.remove(last)
        nodes.append(helper.make_node("Identity", [last.input[0]], [_OUTPUT]))
    else:
        # The softmax of the logarithms of probabilities are these probabilities.
        nodes.append(helper.make_node("Log", [answer], [_OUTPUT]))
    if any(_OUTPUT in node.output for node in graph.node):
        _rename(nodes[:-1], _OUTPUT, f"{_OUTPUT}/inner")
        _rename_inputs(nodes[-1], _OUTPUT, f"{_OUTPUT}/inner")
    del graph.node[:]
    graph.node.extend([*first, *nodes])
    del graph.input[:]
    graph.input.append(pixels)
    del graph.output[:]
    graph.output.append(
        helper.make_tensor_value_info(_OUTPUT, TensorProto.FLOAT, (leading, len(manifest.labels)))
    )
    return model


def _rename(nodes: list[onnx.NodeProto], old: str, new: str) -> None:
    for node in nodes:
        _rename_inputs(node, old, new)
        for index, name in enumerate(node.output):
            if name == old:
                node.output[index] = new


def _rename_inputs(node: onnx.NodeProto, old: str, new: str) -> None:
    for index, name in enumerate(node.input):
        if name == old:
            node.input[index] = new


def _configuration(manifest: Manifest) -> dict[str, Any]:
    return {
        "model_type": "vit",
        "architectures": ["ViTForImageClassification"],
        "image_size": manifest.input.shape[1],
        "num_channels": 3,
        "id2label": {str(index): label for index, label in enumerate(manifest.labels)},
        "label2id": {label: index for index, label in enumerate(manifest.labels)},
    }


def _preprocessing(manifest: Manifest) -> dict[str, Any]:
    """The shorter side to the model's size, the middle cut out, no other change of the pixels."""
    size = manifest.input.shape[1]
    return {
        "image_processor_type": "CLIPImageProcessor",
        "do_convert_rgb": True,
        "do_resize": True,
        "size": {"shortest_edge": size},
        "resample": _BILINEAR,
        "do_center_crop": True,
        "crop_size": {"height": size, "width": size},
        "do_rescale": False,
        "do_normalize": False,
    }
