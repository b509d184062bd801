"""Reads the weights of a TF-Keras 2 SavedModel from its checkpoint, without running its graph."""

import math
from pathlib import Path
from typing import Any

from vitsd_export._internal.native_stderr import quiet_native_stderr
from vitsd_export._internal.tensorflow import import_tensorflow
from vitsd_export.sources.published_architecture import NamedTensor, Tensors

OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"


def read_variables(folder: Path) -> Tensors:
    """Returns the values of a model's `variables`, in the order of its layers.

    TF-Keras 2 keeps the list `Model.variables` as a child of the object graph's root
    (tensorflow/core/protobuf/trackable_object_graph.proto); the optimizer's variables are not in it.

    Args:
        folder: A SavedModel.

    Raises:
        ValueError: If the checkpoint holds no such list.
        OSError: If it is missing.
        RuntimeError: If it holds tensors larger than its files.
        tensorflow.errors.OpError: If it is damaged.
    """
    reader = open_checkpoint(folder)
    nodes = _object_graph(reader).nodes
    shapes = reader.get_variable_to_shape_map()
    tensors: Tensors = []
    for node_id in _variable_nodes(nodes):
        attributes = nodes[node_id].attributes
        if len(attributes) != 1:
            raise ValueError(f"variable {len(tensors)} has {len(attributes)} values, not one")
        key = attributes[0].checkpoint_key
        if key not in shapes:
            raise ValueError(f"the checkpoint has no tensor {key!r}")
        with quiet_native_stderr():
            tensors.append(NamedTensor(attributes[0].full_name or key, reader.get_tensor(key)))
    return tensors


def open_checkpoint(folder: Path) -> Any:
    """Opens the checkpoint of a SavedModel; no tensor of it is larger than its files.

    TensorFlow makes room for a tensor before it looks whether the file holds it.

    Raises:
        OSError: If it is missing.
        RuntimeError: If a tensor is larger.
        tensorflow.errors.OpError: If it is damaged.
    """
    tf = import_tensorflow()
    prefix = folder / "variables" / "variables"
    if not prefix.with_suffix(".index").is_file():
        raise FileNotFoundError(f"there is no {prefix.name}.index")
    with quiet_native_stderr():
        reader = tf.train.load_checkpoint(str(prefix))
    # TensorFlow does not mind a missing part until a tensor in it is read.
    stored = sum(path.stat().st_size for path in prefix.parent.glob("variables.data-*"))
    types = reader.get_variable_to_dtype_map()
    for key, shape in reader.get_variable_to_shape_map().items():
        # Strings have no fixed size.
        if math.prod(shape) * max(types[key].size, 1) > stored:
            raise RuntimeError(f"the tensor {key!r} of shape {shape} is larger than the checkpoint")
    return reader


def _object_graph(reader: Any) -> Any:
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import trackable_object_graph_pb2

    graph = trackable_object_graph_pb2.TrackableObjectGraph()
    try:
        with quiet_native_stderr():
            graph.ParseFromString(reader.get_tensor(OBJECT_GRAPH))
    except DecodeError as error:
        raise ValueError(f"the checkpoint's object graph is damaged ({error})") from error
    if not graph.nodes:
        raise ValueError("the checkpoint's object graph is empty")
    return graph


def _variable_nodes(nodes: Any) -> list[int]:
    lists = [child.node_id for child in nodes[0].children if child.local_name == "variables"]
    if len(lists) != 1 or not 0 <= lists[0] < len(nodes):
        raise ValueError("the checkpoint does not list the model's variables")
    places = {}
    for child in nodes[lists[0]].children:
        if not child.local_name.isdecimal() or not 0 <= child.node_id < len(nodes):
            raise ValueError(f"the list of variables has an entry {child.local_name!r}")
        places[int(child.local_name)] = child.node_id
    if sorted(places) != list(range(len(places))) or len(set(places.values())) != len(places):
        raise ValueError("the list of variables has gaps or names a variable twice")
    return [places[index] for index in range(len(places))]
