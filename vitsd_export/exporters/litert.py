"""LiteRT (TensorFlow Lite): the inference graph as one .tflite file of built-in operators."""

import tempfile
import zipfile
from pathlib import Path

import tensorflow as tf
from tensorflow.lite.python.convert_phase import ConverterError

from vitsd_export.artifact.manifest import LABELS_FILE, MANIFEST_FILE, Manifest, label_lines
from vitsd_export.errors import InputError
from vitsd_export.exporters.saved_model import write_saved_model
from vitsd_export.lowering.inference_graph import InferenceGraph


def convert(graph: InferenceGraph, *, batch: int = 1) -> bytes:
    """Converts the inference graph to a float32 .tflite file of LiteRT's built-in operators.

    Fewer bits are the matter of `vitsd_export.quantization.litert.quantizer`, which starts from this file.

    Args:
        graph: What to export.
        batch: Number of images in a call; a fixed one, because XNNPACK does not take graphs of open shape.

    Returns:
        The file's content. Its signature `serving_default` takes `image`.

    Raises:
        InputError: If the model holds an operation that LiteRT has no built-in operator for.
    """
    with tempfile.TemporaryDirectory(prefix="vitsd-export-") as folder:
        # By way of a SavedModel the file gets a signature with our tensor names; from a concrete function
        # it has none, or variables that nothing initialises.
        saved_model = Path(folder) / "saved_model"
        write_saved_model(graph, saved_model, batch=batch)
        converter = tf.lite.TFLiteConverter.from_saved_model(str(saved_model))
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        try:
            return bytes(converter.convert())
        except (ConverterError, ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())
            raise InputError(
                f"The model cannot be written with LiteRT's built-in operators alone: {reason[:500]}"
            ) from error


def embed_manifest(path: Path, manifest: Manifest) -> None:
    """Appends the manifest and the labels as a zip archive, as LiteRT metadata's associated files are.

    MediaPipe reads entries that are stored alone, not compressed ones.
    """
    with zipfile.ZipFile(path, "a", zipfile.ZIP_STORED) as archive:
        archive.writestr(MANIFEST_FILE, manifest.to_json())
        archive.writestr(LABELS_FILE, label_lines(manifest.labels) + "\n")
