"""SavedModel folders: of TF-Keras 2, of Keras 3, or of any other tool."""

from pathlib import Path
from typing import Any

import keras
import numpy as np

from vitsd_export._internal.damaged_files import reason
from vitsd_export._internal.tensorflow import import_tensorflow
from vitsd_export.errors import InputError
from vitsd_export.sources.adapting import require_image_size
from vitsd_export.sources.checkpoint_tensors import read_variables
from vitsd_export.sources.graph_layer import SavedModelGraph
from vitsd_export.sources.graph_safety import read_safe_graph
from vitsd_export.sources.graph_trial import try_graph
from vitsd_export.sources.published_architecture import (
    PUBLISHED_EPSILON,
    OtherWeights,
    Tensors,
    map_weights,
)
from vitsd_export.sources.reading import Content
from vitsd_export.sources.signature import find_signature

# Of LayerNormalization: the published model's, Keras's default, PyTorch's. No weight tells it, but the
# graph does.
EPSILONS = (PUBLISHED_EPSILON, 1e-3, 1e-5)
# Two implementations of one network in float32 differ by about a millionth of the largest score.
AGREEMENT = 1e-4
_TRIAL_IMAGES = 4


def load_saved_model(folder: Path) -> Content:
    """Loads a SavedModel: by its weights if it is the published architecture, else as it is.

    The mapped model must answer as the graph does; otherwise the graph is what is exported.

    Raises:
        InputError: If it is damaged, unsafe, or not a classifier of RGB images.
    """
    meta_graph = read_safe_graph(folder)
    signature = find_signature(meta_graph, folder)
    size = require_image_size(signature.shape, f"The SavedModel {folder}")
    # A size that no image has would fill the memory.
    if not 1 <= size <= 4096:
        raise InputError(f"The SavedModel {folder} takes images of {size} pixels.")
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (_TRIAL_IMAGES, size, size, 3)).astype(signature.dtype)
    weights = (
        _weights(folder) if _has_variables(meta_graph) else OtherWeights("it has no variables")
    )
    form = _form(meta_graph)
    mapped = f"{form}, weights mapped"
    try:
        answers = try_graph(folder, signature.name, images)
    except InputError as error:
        if isinstance(weights, OtherWeights):
            raise
        try:
            model = map_weights(weights, size)
        except OtherWeights:
            raise error from None
        note = (
            "its weights fit the published architecture, but could not be compared with its graph: "
            f"{error}"
        )
        return Content(model, mapped, notes=(note,))
    _check_answers(answers, len(images), folder)
    try:
        model, difference = _mapped(weights, images.astype(np.float32), answers)
    except OtherWeights as other:
        layer = SavedModelGraph(folder, signature, answers.shape[1])
        image = keras.Input((size, size, 3), name="image")
        return Content(
            keras.Model(image, layer(image)),
            f"{form}, graph",
            takes_uint8=signature.dtype == "uint8",
            parameters=layer.parameters,
            is_graph=True,
            notes=(f"its graph is exported as it is: {other}",),
        )
    return Content(model, mapped, difference=difference)


def _check_answers(answers: np.ndarray, count: int, folder: Path) -> None:
    if answers.ndim != 2 or len(answers) != count or answers.dtype.kind != "f":
        raise InputError(
            f"The SavedModel {folder} answers {count} images with shape {answers.shape} of "
            f"{answers.dtype}; expected one score a class, (None, classes)."
        )


def _has_variables(meta_graph: Any) -> bool:
    return any(node.HasField("variable") for node in meta_graph.object_graph_def.nodes)


def _weights(folder: Path) -> Tensors | OtherWeights:
    """Returns the model's weights, or why they cannot be told apart.

    Raises:
        InputError: If they are damaged or missing.
    """
    tf = import_tensorflow()
    try:
        return read_variables(folder)
    except (tf.errors.OpError, OSError, LookupError, RuntimeError, TypeError) as error:
        raise InputError(
            f"The SavedModel {folder} is incomplete or damaged: its weights in variables/ cannot be read "
            f"({reason(error)}). Save or copy it again, the folder with all that is in it."
        ) from error
    except ValueError as error:
        # Not every SavedModel has a list of variables.
        return OtherWeights(f"its weights cannot be told apart: {error}")


def _mapped(
    tensors: Tensors | OtherWeights, images: np.ndarray, answers: np.ndarray
) -> tuple[keras.Model, float]:
    """Returns the mapped model, and how far its scores are from the graph's.

    Raises:
        OtherWeights: If the weights do not fit, or the graph does something else with them.
    """
    if isinstance(tensors, OtherWeights):
        raise tensors
    found = {}
    for epsilon in EPSILONS:
        model = map_weights(tensors, images.shape[1], epsilon)
        scores = np.asarray(model(images, training=False))
        # Of a graph that ends in a softmax the mapped model gives the logits.
        probabilities = np.asarray(keras.ops.softmax(scores))
        difference = min(_difference(scores, answers), _difference(probabilities, answers))
        if difference <= AGREEMENT:
            return model, difference
        found[epsilon] = difference
    raise OtherWeights(
        f"its weights fit, but its graph answers otherwise (by {min(found.values()):.2g})"
    )


def _difference(own: np.ndarray, theirs: np.ndarray) -> float:
    if own.shape != theirs.shape:
        return float("inf")
    # NaN equals NaN: the verification is there to find it.
    if np.array_equal(own, theirs, equal_nan=True):
        return 0.0
    difference = float(np.abs(own - theirs).max() / max(float(np.abs(theirs).max()), 1e-6))
    return difference if np.isfinite(difference) else float("inf")


def _form(meta_graph: Any) -> str:
    objects = {node.user_object.identifier for node in meta_graph.object_graph_def.nodes}
    if any(identifier.startswith("_tf_keras") for identifier in objects):
        return "SavedModel of TF-Keras 2"
    return "SavedModel"
