"""Architecture of a vision transformer for small datasets, as plain data, and the presets."""

import dataclasses
from typing import Literal

from vitsd_export.errors import UsageError

_COUNTS = (
    "input_size",
    "image_size",
    "patch_size",
    "dim",
    "num_heads",
    "key_dim",
    "depth",
    "num_classes",
)
_RATES = ("attention_dropout", "mlp_dropout", "head_dropout")


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """Hyperparameters that fix the network's graph and the shape of every weight.

    Attributes:
        input_size: Height and width of the raw input image, in pixels.
        image_size: Height and width the image is resized to before tokenization, in pixels.
        patch_size: Height and width of a patch, in pixels of the resized image; even, because
            the tokenizer shifts by half a patch.
        dim: Width of a token.
        num_heads: Attention heads in a block.
        key_dim: Width of one head's queries, keys and values.
        depth: Number of transformer blocks.
        mlp_units: Widths of a block's MLP layers, the last of which must equal `dim`.
        attention_dropout: Dropout rate on attention weights while training.
        mlp_dropout: Dropout rate after each MLP layer of a block while training.
        head: `flatten` concatenates all tokens, `mean` averages them.
        head_units: Widths of the head's hidden layers.
        head_dropout: Dropout rate before and inside the head while training.
        layer_norm_epsilon: Added to the variance in every LayerNormalization.
        num_classes: Number of logits.
    """

    input_size: int = 32
    image_size: int = 72
    patch_size: int = 6
    dim: int = 64
    num_heads: int = 4
    key_dim: int = 64
    depth: int = 8
    mlp_units: tuple[int, ...] = (128, 64)
    attention_dropout: float = 0.1
    mlp_dropout: float = 0.1
    head: Literal["flatten", "mean"] = "flatten"
    head_units: tuple[int, ...] = (2048, 1024)
    head_dropout: float = 0.5
    layer_norm_epsilon: float = 1e-6
    num_classes: int = 100

    def __post_init__(self) -> None:
        for name in _COUNTS:
            if getattr(self, name) < 1:
                raise UsageError(f"{name} must be at least 1, not {getattr(self, name)}.")
        for name in _RATES:
            if not 0 <= getattr(self, name) < 1:
                raise UsageError(
                    f"{name} must be at least 0 and less than 1, not {getattr(self, name)}."
                )
        if self.image_size % self.patch_size or self.patch_size % 2:
            raise UsageError(
                f"patch_size {self.patch_size} must be even and divide image_size {self.image_size}."
            )
        if not self.mlp_units or self.mlp_units[-1] != self.dim:
            raise UsageError(
                f"The last of mlp_units {self.mlp_units} must equal dim {self.dim}: "
                "it is added to the residual stream."
            )
        if self.head not in ("flatten", "mean"):
            raise UsageError(f"head must be 'flatten' or 'mean', not {self.head!r}.")

    @property
    def num_tokens(self) -> int:
        """Number of patches the resized image is cut into."""
        return (self.image_size // self.patch_size) ** 2


PRESETS: dict[str, ModelConfig] = {
    # The published configuration, https://keras.io/examples/vision/vit_small_ds/
    "vit-small-ds": ModelConfig(),
    "vit-tiny": ModelConfig(
        image_size=32,
        patch_size=4,
        dim=96,
        num_heads=3,
        key_dim=32,
        depth=6,
        mlp_units=(192, 96),
        attention_dropout=0.0,
        mlp_dropout=0.0,
        head="mean",
        head_units=(),
        head_dropout=0.0,
        num_classes=10,
    ),
}


def preset_config(name: str, *, num_classes: int | None = None) -> ModelConfig:
    """Returns a preset's configuration.

    Args:
        name: A key of `PRESETS`.
        num_classes: Number of logits; the preset's own when None.

    Raises:
        UsageError: If no preset has that name.
    """
    if name not in PRESETS:
        raise UsageError(f"There is no preset {name!r}. Presets: {', '.join(PRESETS)}.")
    config = PRESETS[name]
    return config if num_classes is None else dataclasses.replace(config, num_classes=num_classes)
