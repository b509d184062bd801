"""Opening HDF5 files that may come from anywhere."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py

from vitsd_export._internal.damaged_files import UNREADABLE_ERRORS, reason
from vitsd_export.errors import InputError
from vitsd_export.sources.published_architecture import PUBLISHED_EPSILON, NamedTensor, Tensors

SIGNATURE = b"\x89HDF\r\n\x1a\n"
# Keras does not compress weights; a tensor far larger than its file is there to fill the memory.
_LARGEST_EXPANSION = 100
_ALWAYS_FINE = 1 << 24


class ReachesOutside(Exception):
    """An HDF5 file that wants other files to be read; the message says where."""


@contextlib.contextmanager
def open_hdf5(path: Path) -> Iterator[tuple[h5py.File, int]]:
    """Opens a file whose every tensor lies in it; yields it, and how many numbers these hold.

    Raises:
        InputError: If it is damaged, refers to other files, or claims more numbers than it can hold; also
            for what goes wrong with it in the block.
    """
    try:
        with h5py.File(path, "r") as file:
            yield file, check_contained(file, path.stat().st_size)
    except ReachesOutside as error:
        raise InputError(
            f"The HDF5 file {path} is refused: {error}. Save the model again from the program that made it."
        ) from error
    except UNREADABLE_ERRORS as error:
        raise InputError(
            f"The HDF5 file {path} is damaged: {reason(error)}. Save or copy it again."
        ) from error


def check_contained(file: h5py.File, size: int) -> int:
    """Checks that nothing in a file refers to other files, and that its tensors fit into it.

    HDF5 reads external links, external storage and virtual datasets from any path they name
    (HDF5 User's Guide, sections 4.5 and 5.5).

    Args:
        file: The file.
        size: Its length in bytes.

    Returns:
        How many numbers its tensors hold.

    Raises:
        ReachesOutside: If something refers to other files, or the tensors are too large for the file.
    """
    visited: set[int] = set()
    waiting: list[h5py.Group] = [file]
    total = numbers = 0
    while waiting:
        group = waiting.pop()
        # Hard links may form cycles.
        address = h5py.h5o.get_info(group.id).addr
        if address in visited:
            continue
        visited.add(address)
        for name in group:
            link = group.get(name, getlink=True)
            if isinstance(link, h5py.ExternalLink):
                raise ReachesOutside(f"its entry {name!r} is a link to another file")
            if isinstance(link, h5py.SoftLink):
                continue
            item = group[name]
            if isinstance(item, h5py.Group):
                waiting.append(item)
            elif isinstance(item, h5py.Dataset):
                if item.external or item.is_virtual:
                    raise ReachesOutside(f"its tensor {name!r} lies in another file")
                total += item.nbytes
                numbers += item.size or 0
    if total > max(_LARGEST_EXPANSION * size, _ALWAYS_FINE):
        raise ReachesOutside(f"it claims {total} bytes of weights in a file of {size}")
    return numbers


def is_whole_model(file: h5py.File) -> bool:
    """Whether a file holds an architecture, as `Model.save("x.h5")` writes it."""
    return "model_config" in file.attrs


def is_keras_2_weights(file: h5py.File) -> bool:
    """Whether a file is laid out as `Model.save_weights("x.h5")` of Keras 2 does."""
    return "layer_names" in file.attrs


def read_layers(file: h5py.File) -> Tensors:
    """Returns the weights of a file of Keras 2, layer by layer.

    Raises:
        LookupError: If a layer or weight that it lists is not there.
    """
    group = file["model_weights"] if is_whole_model(file) else file
    tensors: Tensors = []
    for layer_name in _texts(group.attrs["layer_names"]):
        layer = group[layer_name]
        for weight_name in _texts(layer.attrs["weight_names"]):
            tensors.append(NamedTensor(weight_name, layer[weight_name][()]))
    return tensors


def input_size(file: h5py.File) -> int | None:
    """Returns the height and width of the images that a whole model takes, in pixels.

    None if it does not take square images, or holds layers that the published model does not: its
    LayerNormalizations have an epsilon of 1e-6.

    Raises:
        ValueError: If the architecture in the file is no JSON.
    """
    config = json.loads(file.attrs["model_config"])
    epsilons = set(_values(config, "epsilon"))
    # Keras 3 calls it batch_shape.
    shapes = [*_values(config, "batch_input_shape"), *_values(config, "batch_shape")]
    if not epsilons <= {PUBLISHED_EPSILON} or not shapes or len(shapes[0] or ()) != 4:
        return None
    _, height, width, _ = shapes[0]
    return height if isinstance(height, int) and height == width else None


def _values(config: Any, key: str) -> Iterator[Any]:
    """Yields what stands under a key anywhere in a configuration, in its order."""
    waiting = [config]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            if key in item:
                yield item[key]
            waiting.extend(reversed(item.values()))
        elif isinstance(item, list):
            waiting.extend(reversed(item))


def _texts(values: object) -> list[str]:
    return [
        value.decode() if isinstance(value, bytes) else str(value)
        for value in values  # type: ignore[attr-defined]
    ]
