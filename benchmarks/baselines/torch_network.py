"""The same network as one would write it in PyTorch."""

import dataclasses
from typing import Any, Literal

import torch
import torch.nn.functional as F  # noqa: N812  the name that everyone gives it
from torch import nn

# As in the Keras model: finite, so that a row which is masked everywhere stays a number.
_MASKED_SCORE = -1e9


@dataclasses.dataclass(frozen=True)
class Shape:
    """Hyperparameters that the weights' shapes do not tell.

    Attributes:
        image_size: Height and width to which images are resized, in pixels.
        patch_size: Height and width of a patch, in pixels.
        num_heads: Attention heads in a block.
        epsilon: Added to the variance in every LayerNorm.
        head: `flatten` concatenates all tokens, `mean` averages them.
        input_size: Height and width of the images, in pixels.
        dim: Width of a token.
        key_dim: Width of a head.
        mlp_units: Widths of a block's MLP layers.
        head_units: Widths of the head's hidden layers.
        depth: Blocks.
        num_classes: Outputs.
    """

    input_size: int
    image_size: int
    patch_size: int
    dim: int
    num_heads: int
    key_dim: int
    depth: int
    mlp_units: tuple[int, ...]
    head: Literal["flatten", "mean"]
    head_units: tuple[int, ...]
    num_classes: int
    epsilon: float


class ShiftedPatchTokenizer(nn.Module):
    """Shifted patch tokenization (Lee et al., 2021, arXiv:2112.13492, section 3.1).

    Input: [N, 3, size, size]. Output: [N, tokens, dim].
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.patch_size = shape.patch_size
        width = 5 * 3 * shape.patch_size**2
        self.norm = nn.LayerNorm(width, eps=shape.epsilon)
        self.projection = nn.Linear(width, shape.dim)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Returns the tokens."""
        half = self.patch_size // 2
        # A negative padding cuts: up-left, down-left, up-right, down-right.
        copies = [
            F.pad(images, (columns, -columns, rows, -rows))
            for columns in (-half, half)
            for rows in (-half, half)
        ]
        patches = F.unfold(
            torch.cat([images, *copies], dim=1), self.patch_size, stride=self.patch_size
        )
        return self.projection(self.norm(patches.transpose(1, 2)))


class LocalitySelfAttention(nn.Module):
    """Locality self-attention (arXiv:2112.13492, section 3.2). Input and output: [N, tokens, dim]."""

    mask: torch.Tensor

    def __init__(self, shape: Shape, tokens: int) -> None:
        super().__init__()
        self.num_heads = shape.num_heads
        width = shape.num_heads * shape.key_dim
        self.query = nn.Linear(shape.dim, width)
        self.key = nn.Linear(shape.dim, width)
        self.value = nn.Linear(shape.dim, width)
        self.projection = nn.Linear(width, shape.dim)
        self.temperature = nn.Parameter(torch.tensor(shape.key_dim**0.5))
        diagonal = torch.eye(tokens) * _MASKED_SCORE
        self.register_buffer("mask", diagonal, persistent=False)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Returns the attention's output."""
        query, key, value = (
            part.unflatten(2, (self.num_heads, -1)).transpose(1, 2)
            for part in (
                self.query(tokens) / self.temperature,
                self.key(tokens),
                self.value(tokens),
            )
        )
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=self.mask, scale=1.0)
        return self.projection(mixed.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """A transformer block, pre-norm. Input and output: [N, tokens, dim]."""

    def __init__(self, shape: Shape, tokens: int) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(shape.dim, eps=shape.epsilon)
        self.attention = LocalitySelfAttention(shape, tokens)
        self.mlp_norm = nn.LayerNorm(shape.dim, eps=shape.epsilon)
        self.mlp = mlp(shape.dim, shape.mlp_units)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Returns the block's output."""
        tokens = tokens + self.attention(self.attention_norm(tokens))
        return tokens + self.mlp(self.mlp_norm(tokens))


class Classifier(nn.Module):
    """Pixels 0–255, [N, size, size, 3] float32, to logits, [N, classes] float32."""

    mean: torch.Tensor
    deviation: torch.Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        tokens = (shape.image_size // shape.patch_size) ** 2
        self.register_buffer("mean", torch.zeros(3, 1, 1))
        self.register_buffer("deviation", torch.ones(3, 1, 1))
        self.tokenizer = ShiftedPatchTokenizer(shape)
        self.positions = nn.Parameter(torch.zeros(tokens, shape.dim))
        self.blocks = nn.Sequential(*(Block(shape, tokens) for _ in range(shape.depth)))
        self.norm = nn.LayerNorm(shape.dim, eps=shape.epsilon)
        width = shape.dim * (tokens if shape.head == "flatten" else 1)
        self.head = mlp(width, shape.head_units)
        self.logits = nn.Linear(
            shape.head_units[-1] if shape.head_units else width, shape.num_classes
        )

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Returns the logits."""
        x = (image.permute(0, 3, 1, 2) - self.mean) / self.deviation
        if self.shape.image_size != self.shape.input_size:
            size = (self.shape.image_size, self.shape.image_size)
            x = F.interpolate(x, size, mode="bilinear", align_corners=False)
        x = self.norm(self.blocks(self.tokenizer(x) + self.positions))
        x = x.flatten(1) if self.shape.head == "flatten" else x.mean(dim=1)
        return self.logits(self.head(x))


def mlp(inputs: int, units: tuple[int, ...]) -> nn.Sequential:
    """Returns dense layers with exact GELU after each."""
    layers: list[Any] = []
    for width in units:
        layers += [nn.Linear(inputs, width), nn.GELU()]
        inputs = width
    return nn.Sequential(*layers)
