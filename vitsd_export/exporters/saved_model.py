"""SavedModel: the inference graph with one signature, for TensorFlow Serving and tf.saved_model.load."""

import errno
import os
from pathlib import Path

import tensorflow as tf

from vitsd_export.artifact.manifest import (
    LABELS_FILE,
    MANIFEST_FILE,
    SAVED_MODEL_EXTRAS,
    Manifest,
    label_lines,
)
from vitsd_export.lowering.inference_graph import InferenceGraph


def write_saved_model(graph: InferenceGraph, path: Path, *, batch: int | None = None) -> None:
    """Writes the inference graph as a SavedModel folder whose `serving_default` takes `image`.

    Args:
        graph: What to export.
        path: Folder to write; it must not exist.
        batch: Number of images in a call; None to leave it open.

    Raises:
        OSError: If the disk is full.
    """
    module = tf.Module()
    function = graph.concrete_function(batch)
    # The variables of the traced function are what must be saved; the Keras model is not.
    module.variables_ = list(function.variables)
    module.serve = function
    try:
        tf.saved_model.save(
            module,
            str(path),
            signatures={"serving_default": function},
            options=tf.saved_model.SaveOptions(experimental_image_format=False),
        )
    except tf.errors.ResourceExhaustedError as error:
        # TensorFlow's name for a full disk.
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error


def embed_manifest(path: Path, manifest: Manifest) -> None:
    """Puts the manifest and the labels into the folder.

    They lie in `assets.extra`, which the SavedModel format reserves for files that TensorFlow does not
    read (tensorflow/python/saved_model/README.md); `assets` is for files the graph opens.
    """
    extras = path / SAVED_MODEL_EXTRAS
    extras.mkdir(exist_ok=True)
    (extras / MANIFEST_FILE).write_text(manifest.to_json(), encoding="utf-8")
    (extras / LABELS_FILE).write_text(label_lines(manifest.labels) + "\n", encoding="utf-8")
