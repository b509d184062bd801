"""Keeps what calibration found, so that the same model and images are run only once."""

import contextlib
import hashlib
import io
import json
import os
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from vitsd_export._internal.cache import cache_folder
from vitsd_export.quantization.calibration.histogram import Histogram
from vitsd_export.quantization.calibration.ranges import Activation, Calibration, WeightedLayer

# Part of every key: raise it when the statistics change their meaning.
_VERSION = 1

_DAMAGED: tuple[type[Exception], ...] = (
    *(OSError, ValueError, LookupError, TypeError, AttributeError, EOFError, RuntimeError),
    *(NotImplementedError, zlib.error, zipfile.BadZipFile),
)


def cached(
    model: bytes, images_sha256: str, wanted: str, calibrate: Callable[[], Calibration]
) -> Calibration:
    """Returns the calibration of a model's file and images from the cache, or makes and stores it.

    `wanted` says what is asked of the calibration and is part of the key. A cache that cannot be read or
    written is ignored.
    """
    key = hashlib.sha256(f"{_VERSION} {images_sha256} {wanted} ".encode())
    key.update(model)
    path = cache_folder("calibration") / f"{key.hexdigest()}.npz"
    with contextlib.suppress(*_DAMAGED):
        return _read(path)
    calibration = calibrate()
    with contextlib.suppress(OSError):
        _write(path, calibration)
    return calibration


def _read(path: Path) -> Calibration:
    # By way of its bytes: NumPy leaves a damaged file open.
    with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as held:
        told = json.loads(str(held["told"]))
        counts, limits = held["counts"], held["limits"]
        spread = held["spread"]
        moments = {
            name: [held[f"moment {row} {group}"] for group in range(groups)]
            for row, (name, groups) in enumerate(told["moments"].items())
        }
    names = told["activations"]
    activations = {}
    for row, name in enumerate(names):
        low, high, variance = map(float, spread[row])
        histogram = Histogram(counts[row], float(limits[row])) if len(counts) else None
        activations[name] = Activation(low, high, variance, histogram)
    layers = tuple(WeightedLayer(*pair) for pair in told["layers"])
    return Calibration(layers, activations, told["images"], moments)


def _write(path: Path, calibration: Calibration) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    found = calibration.activations
    told = {
        "layers": [[layer.input, layer.output] for layer in calibration.layers],
        "activations": list(found),
        "images": calibration.images,
        "moments": {name: len(groups) for name, groups in calibration.moments.items()},
    }
    moments = {
        f"moment {row} {group}": values
        for row, groups in enumerate(calibration.moments.values())
        for group, values in enumerate(groups)
    }
    histograms = [entry.histogram for entry in found.values() if entry.histogram is not None]
    # Written beside its place and renamed: another process may be reading.
    part = path.with_name(f"{path.stem}.{os.getpid()}.part.npz")
    try:
        arrays: dict[str, Any] = {
            "told": json.dumps(told),
            "spread": np.array([[a.low, a.high, a.variance] for a in found.values()]),
            "counts": np.array([histogram.counts for histogram in histograms]),
            "limits": np.array([histogram.limit for histogram in histograms]),
            **moments,
        }
        np.savez_compressed(part, allow_pickle=False, **arrays)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
