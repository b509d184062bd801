"""The manifest as a document."""

import dataclasses
import json

import pytest

from tests.support.tiny_artifacts import tiny_manifest
from vitsd_export.artifact.manifest import Manifest
from vitsd_export.errors import InputError


def test_what_is_written_is_read() -> None:
    manifest = dataclasses.replace(
        tiny_manifest("tflite"),
        labels=("größe", 'a "quoted" name', "猫"),
        calibration={"count": 512, "seed": 0},
        file={"bytes": 3, "sha256": "00"},
    )
    text = manifest.to_json()
    assert Manifest.from_json(text) == manifest
    assert json.loads(text)["schema_version"] == 1
    assert "größe" in text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "7",
        "{}",
        '{"schema_version": 1}',
        '{"schema_version": 1, "format": "onnx"}',
        "not json",
    ],
)
def test_other_documents_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="manifest"):
        Manifest.from_json(text)


def test_a_later_schema_is_refused_with_the_remedy() -> None:
    document = json.loads(tiny_manifest("onnx").to_json())
    document["schema_version"] = 2
    with pytest.raises(InputError, match=r"schema version 2.*export again"):
        Manifest.from_json(json.dumps(document))


@pytest.mark.parametrize("change", [{"unknown": 1}, {"input": {"name": "x"}}, {"labels": None}])
def test_documents_with_other_fields_are_refused(change: dict[str, object]) -> None:
    document = {**json.loads(tiny_manifest("onnx").to_json()), **change}
    with pytest.raises(InputError, match="cannot be read"):
        Manifest.from_json(json.dumps(document))
