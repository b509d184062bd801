"""The same small network with plain and with folded attention, on whichever backend Keras has."""

import keras
import numpy as np

from tests.support.gradients import logits_and_gradients
from tests.support.small_models import random_pixels, set_random_weights, small_config
from training.folded_attention import FoldedSelfAttention
from vitsd_export.model.classifier import build_classifier
from vitsd_export.model.config import ModelConfig

# Like vit-small-ds: images are enlarged, the heads are as wide as the tokens, the head sees every token.
CONFIG = small_config(
    image_size=12, key_dim=8, depth=2, head="flatten", head_units=(10, 6), num_heads=3
)
PIXELS = random_pixels(6, 8)
ANSWERS = np.random.default_rng(1).normal(size=(6, 3)).astype(np.float32)


def plain_and_folded(config: ModelConfig = CONFIG) -> tuple[keras.Model, keras.Model]:
    """Both networks with the same random weights."""
    plain = build_classifier(config)
    folded = build_classifier(config, attention=FoldedSelfAttention)
    for model in (plain, folded):
        set_random_weights(model)
    return plain, folded


def relative_difference(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one - other).max() / max(np.abs(one).max(), np.abs(other).max(), 1e-30))


def check_equal(tolerance: float) -> None:
    """Compares logits and all gradients of both networks on the backend of this process."""
    plain, folded = plain_and_folded()
    logits, gradients = logits_and_gradients(plain, PIXELS, ANSWERS)
    other_logits, other_gradients = logits_and_gradients(folded, PIXELS, ANSWERS)
    assert np.abs(logits[0] - logits[1]).max() > 1e-2
    assert relative_difference(logits, other_logits) <= tolerance
    largest = max(float(np.abs(gradient).max()) for gradient in gradients)
    variables = zip(plain.trainable_variables, folded.trainable_variables, strict=True)
    pairs = zip(gradients, other_gradients, strict=True)
    biases_of_keys = 0
    for (variable, other_variable), (one, other) in zip(variables, pairs, strict=True):
        assert variable.path == other_variable.path
        if variable.path.endswith("key/bias"):
            biases_of_keys += 1
            assert not other.any()
            assert np.abs(one).max() <= tolerance * largest
        else:
            assert np.abs(one).max() > 1e-6 * largest, variable.path
            # τ's is a small sum of large terms.
            scale = largest if variable.name == "tau" else np.abs(one).max()
            assert np.abs(one - other).max() <= tolerance * scale, variable.path
    assert biases_of_keys == CONFIG.depth
