"""The architectures that can be trained, as plain data."""

import dataclasses

from vitsd_export.errors import UsageError
from vitsd_export.model.config import PRESETS, ModelConfig


@dataclasses.dataclass(frozen=True)
class ResidualConfig:
    """A small residual network (He et al., 2015, arXiv:1512.03385) on the plan known as ResNet-9.

    Attributes:
        widths: Channels of its four levels, each of half the height and width of the one before.
        input_size: Height and width of the input image, in pixels; a multiple of 8.
        num_classes: Number of logits.
    """

    widths: tuple[int, int, int, int] = (32, 64, 128, 256)
    input_size: int = 32
    num_classes: int = 100


Config = ModelConfig | ResidualConfig

TEACHERS: dict[str, ResidualConfig] = {"resnet9": ResidualConfig()}


def config_of(preset: str, *, num_classes: int | None = None) -> Config:
    """Returns the configuration of a preset, with another number of logits unless that is None.

    Raises:
        UsageError: If there is no such preset.
    """
    presets: dict[str, Config] = {**PRESETS, **TEACHERS}
    if preset not in presets:
        raise UsageError(f"There is no preset {preset!r}. Presets: {', '.join(presets)}.")
    config = presets[preset]
    return config if num_classes is None else dataclasses.replace(config, num_classes=num_classes)
