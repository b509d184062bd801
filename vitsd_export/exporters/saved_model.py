"""SavedModel: the inference graph with one signature, for TensorFlow Serving and tf.saved_model.load."""

import errno
import os
from pathlib import Path

import tensorflow as tf

from vitsd_export.lowering.inference_graph import InferenceGraph, InputType


def write_saved_model(
    graph: InferenceGraph,
    path: Path,
    *,
    batch: int | None = None,
    input_type: InputType | None = None,
) -> None:
    """Writes the inference graph as a SavedModel folder whose `serving_default` takes `image`.

    Args:
        graph: What to export.
        path: Folder to write; it must not exist.
        batch: Number of images in a call; None to leave it open.
        input_type: Element type of the image, if not the graph's.

    Raises:
        OSError: If the disk is full.
    """
    module = tf.Module()
    function = graph.concrete_function(batch, input_type=input_type)
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
