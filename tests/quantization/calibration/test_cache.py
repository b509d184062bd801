"""Calibrations that are kept."""

from pathlib import Path

import numpy as np
import pytest

from tests.support.onnx_networks import PICTURES, dense_network
from vitsd_export._internal.cache import cache_folder
from vitsd_export.quantization.calibration.cache import cached
from vitsd_export.quantization.calibration.ranges import Calibration
from vitsd_export.quantization.onnx.calibration import calibrate_onnx


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache for one test."""
    folder = tmp_path / "not" / "there" / "yet"
    monkeypatch.setenv("VITSD_EXPORT_CACHE", str(folder))
    return folder / "calibration"


def make(histograms: bool = True) -> Calibration:
    """A calibration with everything in it."""
    return calibrate_onnx(dense_network(), PICTURES, histograms=histograms, moments_up_to=64)


def forbidden() -> Calibration:
    raise AssertionError("it was to come from the cache")


@pytest.mark.parametrize("histograms", [False, True])
def test_what_is_kept_comes_back_whole(histograms: bool) -> None:
    made = cached(b"model", "images", "wish", lambda: make(histograms))
    kept = cached(b"model", "images", "wish", forbidden)
    assert kept.layers == made.layers
    assert kept.images == made.images
    assert kept.activations == made.activations
    for name, activation in made.activations.items():
        other = kept.activations[name].histogram
        if activation.histogram is None:
            assert other is None
            continue
        assert other is not None
        assert other.limit == activation.histogram.limit
        np.testing.assert_array_equal(other.counts, activation.histogram.counts)
    assert list(kept.moments) == list(made.moments) != []
    for name, groups in made.moments.items():
        np.testing.assert_array_equal(kept.moments[name], groups)


def test_other_models_images_and_wishes_are_other_entries(own_cache: Path) -> None:
    made = make()
    for key in (("m", "i", "w"), ("n", "i", "w"), ("m", "j", "w"), ("m", "i", "x")):
        cached(key[0].encode(), key[1], key[2], lambda: made)
    assert len(list(own_cache.iterdir())) == 4


def test_a_damaged_entry_is_made_again(own_cache: Path) -> None:
    cached(b"model", "images", "wish", make)
    (entry,) = own_cache.iterdir()
    whole = entry.read_bytes()
    for damaged in (b"", whole[:1000], b"nonsense" * 100, whole[:500] + b"?" * 100 + whole[600:]):
        entry.write_bytes(damaged)
        again = cached(b"model", "images", "wish", make)
        assert again.activations == make().activations


def test_a_cache_that_cannot_be_written_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "not").write_text("a file where a folder would have to be")
    assert cached(b"model", "images", "wish", make).images == len(PICTURES)


def test_without_a_wish_the_system_says_where(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VITSD_EXPORT_CACHE")
    assert "vitsd-export" in cache_folder("calibration").parts
