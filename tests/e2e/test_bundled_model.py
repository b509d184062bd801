"""The bundled model against the card beside it."""

import hashlib
import json

import numpy as np
import pytest

from tests.support.keras_models import TINY_MODEL, keras_logits, tiny_file
from vitsd_export.data.sample import load_sample
from vitsd_export.sources.checkpoint import load_model


def test_the_bundled_model_is_as_good_as_its_card_says() -> None:
    path = tiny_file()
    file = path.with_suffix(".json")
    if not file.exists():
        pytest.skip(f"{file.name} has not been written yet")
    card = json.loads(file.read_text(encoding="utf-8"))
    assert card["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    for fact in ("command", "seed", "date", "versions", "recipe"):
        assert card[fact] not in ("", None, {})
    assert "JPEG copy" in card["data"]["note"]
    assert card["test"]["images"] == 10_000
    assert card["test"]["top1"] >= 0.70
    data = load_sample("verification")
    measured = np.mean(keras_logits(path, data.images).argmax(axis=1) == data.labels)
    assert measured == pytest.approx(card["test"]["top1"], abs=0.05)
    # The card inside is the same, but for the digest of the file that it is in.
    del card["sha256"]
    assert load_model(TINY_MODEL).card == card
