"""The bundled models against the cards beside them."""

import hashlib
import json

import numpy as np
import pytest

from tests.support.keras_models import TINY_MODEL, keras_logits
from vitsd_export.data.sample import load_sample
from vitsd_export.pretrained import DEFAULT_MODEL, bundled_names, bundled_path
from vitsd_export.sources.checkpoint import load_model


def test_these_are_the_bundled_models() -> None:
    assert bundled_names() == ["resnet9-cifar100", "vit-small-ds-cifar100", TINY_MODEL]
    assert DEFAULT_MODEL == "vit-small-ds-cifar100"


@pytest.mark.parametrize(
    "name",
    [
        TINY_MODEL,
        pytest.param("resnet9-cifar100", marks=pytest.mark.slow),
        pytest.param("vit-small-ds-cifar100", marks=pytest.mark.slow),
    ],
)
def test_a_bundled_model_is_as_good_as_its_card_says(name: str) -> None:
    path = bundled_path(name)
    assert path is not None
    assert path.stat().st_size <= 50e6
    card = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    assert card["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    for fact in ("command", "seed", "date", "versions", "recipe"):
        assert card[fact] not in ("", None, {})
    assert card["test"]["images"] == 10_000
    data = load_sample("verification", card["data"]["name"])
    measured = np.mean(keras_logits(path, data.images).argmax(axis=1) == data.labels)
    # Two and a half standard deviations of 500 images.
    assert measured == pytest.approx(card["test"]["top1"], abs=0.055)
    # The card inside is the same, but for the digest of the file that it is in.
    del card["sha256"]
    assert load_model(name).card == card
