"""The manifest: what an artifact is, where it came from, and how it was proven.

It travels inside the artifact and beside it as `<artifact>.json`:

| format | inside, manifest | inside, labels |
|---|---|---|
| ONNX | `metadata_props["vitsd_export"]` | `metadata_props["labels"]`, one a line |
| LiteRT | `vitsd_export.json` in the zip appended to the file | `labels.txt` in the zip |
| SavedModel | `assets.extra/vitsd_export.json` | `assets.extra/labels.txt` |

This module imports neither TensorFlow nor a runtime.
"""

import dataclasses
import json
from pathlib import Path
from typing import Any, Self

from vitsd_export.artifact.tensor_info import TensorInfo
from vitsd_export.errors import InputError

MANIFEST_KEY = "vitsd_export"
MANIFEST_FILE = "vitsd_export.json"
LABELS_KEY = "labels"
LABELS_FILE = "labels.txt"
SAVED_MODEL_EXTRAS = "assets.extra"
SCHEMA_VERSION = 1

# The name of one of `artifact.formats.FORMATS`.
Format = str


@dataclasses.dataclass(frozen=True)
class TensorSpec(TensorInfo):
    """An artifact's input or output.

    Attributes:
        meaning: What the numbers are: `pixels 0-255 RGB`, `probabilities` or `logits`.
    """

    meaning: str


@dataclasses.dataclass(frozen=True)
class Manifest:
    """Description and provenance of an artifact.

    Attributes:
        format: Name of the artifact's format, such as `onnx`: see `artifact.formats`.
        scheme: Numeric scheme, such as `float32` or `int8`: see `quantization.schemes`.
        input: The image tensor.
        output: The answer tensor.
        labels: Class names in the order of the output.
        source: Reference model: `name`, `sha256` of its file or folder, `parameters`, `form`; `origin` and
            `revision` of a download; `input_range` and `custom_objects` where they were given.
        options: What was asked for: `opset`, `batch`, …
        calibration: Images the ranges were taken from (`source`, `split`, `count`, `seed`, `method`,
            `sha256`) and in how many of the `weighted_layers` they are used (`calibrated_layers`); None where
            nothing was calibrated.
        verification: Result of the parity check that let the artifact pass; None before it.
        tools: Version of each package that took part.
        created: UTC time of the export, ISO 8601.
        file: `bytes` and `sha256` of the artifact; only in the copy beside the artifact.
    """

    format: Format
    scheme: str
    input: TensorSpec
    output: TensorSpec
    labels: tuple[str, ...]
    source: dict[str, Any]
    options: dict[str, Any]
    tools: dict[str, str]
    created: str
    calibration: dict[str, Any] | None = None
    verification: dict[str, Any] | None = None
    file: dict[str, Any] | None = None

    def to_json(self) -> str:
        """Returns the manifest as an indented JSON document."""
        document = {"schema_version": SCHEMA_VERSION, **dataclasses.asdict(self)}
        return json.dumps(document, indent=2, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Parses what `to_json` wrote.

        Raises:
            InputError: If the text is not a manifest of a schema this version reads.
        """
        try:
            document = json.loads(text)
            version = document.pop("schema_version")
            if version != SCHEMA_VERSION:
                raise InputError(
                    f"The manifest has schema version {version}; this vitsd-export reads "
                    f"{SCHEMA_VERSION}. Use the version that wrote the artifact, or export again."
                )
            for key in ("input", "output"):
                spec = document[key]
                document[key] = TensorSpec(**{**spec, "shape": tuple(spec["shape"])})
            document["labels"] = tuple(document["labels"])
            return cls(**document)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"The artifact's manifest cannot be read: {error!r}.") from error


def label_lines(labels: tuple[str, ...]) -> str:
    """Returns labels one a line, as tools read them: a label of several lines becomes one."""
    return "\n".join(label.replace("\n", " ") for label in labels)


def sidecar_path(artifact: Path) -> Path:
    """Returns where the manifest beside an artifact lies: `<artifact>.json`."""
    return artifact.with_name(artifact.name + ".json")
