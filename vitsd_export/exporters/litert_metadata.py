"""`TFLITE_METADATA`: what MediaPipe, Android Studio and other tools read of a classifier.

The format is the FlatBuffers schema `metadata_schema.fbs` of TensorFlow Lite's metadata library: tables of
numbered fields, written here with the flatbuffers library itself.
"""

from collections.abc import Sequence

import flatbuffers

from vitsd_export.artifact.manifest import LABELS_FILE, Manifest

_IDENTIFIER = b"M001"
# The parser that knows all that is used here.
_MINIMUM_PARSER = "1.0.0"
# Members of the schema's enumerations and unions.
_RGB, _TENSOR_AXIS_LABELS, _IMAGE_PROPERTIES, _NORMALIZATION_OPTIONS = 1, 2, 2, 1


def classifier_metadata(manifest: Manifest) -> bytes:
    """Returns the metadata of a classifier: an RGB image in, a score for each label out.

    Float images are taken as raw pixel values: normalization by mean 0 and deviation 1.
    """
    builder = flatbuffers.Builder(1024)
    text = builder.CreateString

    _, height, width, _ = manifest.input.shape
    image_size = _table(builder, 2, uint32={0: width or 0, 1: height or 0})
    properties = _table(builder, 2, int8={0: _RGB}, offsets={1: image_size})
    content = _table(builder, 3, uint8={0: _IMAGE_PROPERTIES}, offsets={1: properties})
    image = {0: text(manifest.input.name), 1: text("RGB image, pixel values 0 to 255."), 3: content}
    if manifest.input.dtype == "float32":
        mean, deviation = _floats(builder, [0.0]), _floats(builder, [1.0])
        options = _table(builder, 2, offsets={0: mean, 1: deviation})
        unit = _table(builder, 2, uint8={0: _NORMALIZATION_OPTIONS}, offsets={1: options})
        image[4] = _vector(builder, [unit])
    image_metadata = _table(builder, 7, offsets=image)

    labels = _table(
        builder,
        5,
        offsets={0: text(LABELS_FILE), 1: text("Class names, one a line.")},
        int8={2: _TENSOR_AXIS_LABELS},
    )
    answer = {
        0: text(manifest.output.name),
        1: text(f"{manifest.output.meaning.capitalize()} of the classes."),
        6: _vector(builder, [labels]),
    }
    answer_metadata = _table(builder, 7, offsets=answer)

    graph = {2: _vector(builder, [image_metadata]), 3: _vector(builder, [answer_metadata])}
    model = {
        0: text(str(manifest.source.get("name", "classifier"))),
        1: text("Image classifier."),
        3: _vector(builder, [_table(builder, 10, offsets=graph)]),
        7: text(_MINIMUM_PARSER),
    }
    builder.Finish(_table(builder, 8, offsets=model), _IDENTIFIER)
    return bytes(builder.Output())


def _table(
    builder: flatbuffers.Builder,
    fields: int,
    *,
    offsets: dict[int, int] | None = None,
    int8: dict[int, int] | None = None,
    uint8: dict[int, int] | None = None,
    uint32: dict[int, int] | None = None,
) -> int:
    """Writes a table and returns where it is; fields by their number in the schema."""
    builder.StartObject(fields)
    for field, value in (uint32 or {}).items():
        builder.PrependUint32Slot(field, value, 0)
    for field, value in (offsets or {}).items():
        builder.PrependUOffsetTRelativeSlot(field, value, 0)
    for field, value in (uint8 or {}).items():
        builder.PrependUint8Slot(field, value, 0)
    for field, value in (int8 or {}).items():
        builder.PrependInt8Slot(field, value, 0)
    return int(builder.EndObject())


def _vector(builder: flatbuffers.Builder, tables: Sequence[int]) -> int:
    builder.StartVector(4, len(tables), 4)
    for table in reversed(tables):
        builder.PrependUOffsetTRelative(table)
    return int(builder.EndVector())


def _floats(builder: flatbuffers.Builder, values: Sequence[float]) -> int:
    builder.StartVector(4, len(values), 4)
    for value in reversed(values):
        builder.PrependFloat32(value)
    return int(builder.EndVector())
