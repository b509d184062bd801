"""Code that runs or converts one artifact, with its names, shapes and labels filled in.

The code lies in `templates`, a file for each format and language.
"""

import json
import re
from importlib import resources
from pathlib import Path
from typing import Literal, get_args

from vitsd_export.artifact.formats import LITERT, ONNX, SAVED_MODEL, ArtifactFormat
from vitsd_export.artifact.manifest import Manifest
from vitsd_export.errors import InputError, UsageError

Language = Literal["kotlin", "swift", "c", "cpp", "python", "javascript", "coreml"]
LANGUAGES: tuple[Language, ...] = get_args(Language)

# File suffix, and how far labels are indented.
_STYLES: dict[Language, tuple[str, str]] = {
    "kotlin": ("kt", " " * 16),
    "swift": ("swift", " " * 4),
    "c": ("c", " " * 4),
    "cpp": ("cpp", " " * 4),
    "python": ("py", ""),
    "javascript": ("mjs", "  "),
    "coreml": ("coreml.py", "    "),
}
# The languages that there is code in.
_LANGUAGES_OF: dict[ArtifactFormat, tuple[Language, ...]] = {
    ONNX: ("kotlin", "swift", "c", "cpp", "python", "javascript"),
    LITERT: ("kotlin", "swift", "python"),
    SAVED_MODEL: ("coreml",),
}
_PLACE = re.compile(r"\{\{(\w+)\}\}")
_LABELS_WIDTH = 90

# The words that differ between an input of bytes and one of floats.
_WORDS = {
    "uint8": {
        "array": "Uint8Array",
        "bytes": "1",
        "c_type": "uint8_t",
        "kotlin_put": "put((color shr shift and 255).toByte())",
        "kotlin_type": ", OnnxJavaType.UINT8",
        "kotlin_view": "",
        "onnx_type": "UINT8",
        "swift_type": "uInt8",
        "swift_value": "UInt8",
    },
    "float32": {
        "array": "Float32Array",
        "bytes": "4",
        "c_type": "float",
        "kotlin_put": "putFloat((color shr shift and 255).toFloat())",
        "kotlin_type": "",
        "kotlin_view": ".asFloatBuffer()",
        "onnx_type": "FLOAT",
        "swift_type": "float",
        "swift_value": "Float",
    },
}
# Integers that answers may come in: how Kotlin reads one, and its type in Swift.
_INTEGERS = {
    "uint8": ("(answers[0][it].toInt() and 255)", "UInt8"),
    "int8": ("answers[0][it].toInt()", "Int8"),
}


def write_snippet(language: Language, artifact: Path) -> str:
    """Returns code that classifies a picture with an artifact.

    Args:
        language: The app's language.
        artifact: An artifact with its manifest inside.

    Raises:
        InputError: If the artifact cannot be used, or carries no manifest.
        UsageError: If there is no code for this language and format.
    """
    from vitsd_export.artifact.damage import unusable
    from vitsd_export.artifact.format_detection import find_format
    from vitsd_export.runtimes.opening import open_runner

    form = find_format(artifact)
    if form not in _LANGUAGES_OF:
        raise unusable(artifact, f"there is no code for {form.phrase}")
    with open_runner(artifact) as runner:
        manifest = runner.manifest
    if manifest is None:
        raise unusable(artifact, "it carries no manifest, which has the names and labels")
    return fill_in(language, form, manifest, artifact.name)


def fill_in(language: Language, form: ArtifactFormat, manifest: Manifest, file_name: str) -> str:
    """Returns the code for a language and format, with what a manifest says filled in.

    `file_name` is the artifact's, without its folder.

    Raises:
        UsageError: If there is no code for this language and format.
        InputError: If the artifact's input is of a type that the code cannot fill.
    """
    if language not in LANGUAGES:
        raise UsageError(f"The languages are {', '.join(LANGUAGES)}; not {language!r}.")
    languages = _LANGUAGES_OF[form]
    if language not in languages:
        other = next(each for each, those in _LANGUAGES_OF.items() if language in those)
        raise UsageError(
            f"For {form.title} artifacts there is code in {', '.join(languages)}. For {language}, "
            f"export the model to {other.title}."
        )
    words = _WORDS.get(manifest.input.dtype)
    if words is None:
        raise InputError(
            f"{file_name} takes pixels as {manifest.input.dtype}; there is code for "
            f"{' and '.join(_WORDS)} alone. Export it again with --input uint8."
        )
    suffix, indent = _STYLES[language]
    values = {
        **words,
        **_answer_words(manifest, file_name),
        "answer_noun": "logit" if manifest.output.meaning == "logits" else "probability",
        "batch": str(manifest.input.shape[0] or 1),
        "classes": str(len(manifest.labels)),
        "dtype": manifest.input.dtype,
        "file": _quoted(file_name, language),
        "input": _quoted(manifest.input.name, language),
        "input_name": manifest.input.name,
        "labels": _label_lines(manifest.labels, language, indent),
        "meaning": manifest.output.meaning,
        "name": file_name,
        "output": _quoted(manifest.output.name, language),
        "output_name": manifest.output.name,
        "size": str(manifest.input.shape[1]),
    }
    if language in ("kotlin", "swift"):
        values[f"{language}_pixels"] = _fill(f"pixels.{suffix}", values).rstrip("\n")
    return _fill(f"{form.slug}.{suffix}", values)


def _answer_words(manifest: Manifest, file_name: str) -> dict[str, str]:
    """Returns the code that reads LiteRT's answers: floats, or steps of the scale that the file tells."""
    answer = manifest.output
    count = len(manifest.labels)
    if answer.dtype == "float32":
        return {
            "kotlin_array": "FloatArray",
            "kotlin_answer": "answers[0]",
            "python_dequantize": "",
            "swift_answer": f"Array(bytes.bindMemory(to: Float.self).prefix({count}))",
        }
    if answer.dtype not in _INTEGERS:
        raise InputError(
            f"{file_name} answers in {answer.dtype}; there is code for float32, {' and '.join(_INTEGERS)}."
        )
    kotlin, swift = _INTEGERS[answer.dtype]
    name, output = answer.meaning, json.dumps(answer.name)
    return {
        "kotlin_array": "ByteArray",
        "kotlin_answer": (
            "interpreter.getOutputTensor(0).quantizationParams().let { steps ->\n"
            f"            FloatArray({count}) {{ ({kotlin} - steps.zeroPoint) * steps.scale }}\n"
            "        }"
        ),
        "python_dequantize": (
            f'scale, zero_point = classify.get_output_details()[{output}]["quantization"]\n'
            f'{name} = ({name}.astype("float32") - zero_point) * scale\n'
        ),
        "swift_answer": (
            f"bytes.bindMemory(to: {swift}.self).prefix({count}).map {{\n"
            "        Float(Int($0) - output.quantizationParameters!.zeroPoint) * "
            "output.quantizationParameters!.scale\n      }"
        ),
    }


def _fill(template: str, values: dict[str, str]) -> str:
    file = resources.files("vitsd_export.deploy.snippets") / "templates" / f"{template}.template"
    return _PLACE.sub(lambda place: values[place[1]], file.read_text(encoding="utf-8"))


def _quoted(text: str, language: Language) -> str:
    """Returns a string literal; JSON's escapes are those of all of these languages."""
    literal = json.dumps(text, ensure_ascii=False)
    # Kotlin would fill in variables.
    return literal.replace("$", r"\$") if language == "kotlin" else literal


def _label_lines(labels: tuple[str, ...], language: Language, indent: str) -> str:
    lines, line = [], indent
    for label in labels:
        item = _quoted(label, language) + ","
        if len(line) + len(item) + 1 > _LABELS_WIDTH and line.strip():
            lines.append(line.rstrip() + "\n")
            line = indent
        line += item + " "
    return "".join([*lines, line.rstrip() + "\n"])
