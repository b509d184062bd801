"""What a recipe says: every hyperparameter of a run, with its range."""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from training.recipes.fields import check_range
from vitsd_export.errors import UsageError

_LARGEST_COUNT = 10**6


def _value(default: Any = dataclasses.MISSING, **limits: float) -> Any:
    """Returns a field with a default, if any, and the limits that `check_range` takes."""
    return dataclasses.field(default=default, metadata=limits)


@dataclasses.dataclass(frozen=True)
class _Section:
    """A table of a recipe, named after its class."""

    def __post_init__(self) -> None:
        section = type(self).__name__.removesuffix("Recipe").lower()
        for field in dataclasses.fields(self):
            if field.metadata:
                name = f"{section}.{field.name}"
                check_range(name, getattr(self, field.name), **field.metadata)


@dataclasses.dataclass(frozen=True)
class OptimizerRecipe(_Section):
    """AdamW (arXiv:1711.05101) with linear warm-up and cosine decay.

    Attributes:
        learning_rate: Peak learning rate, reached at the end of warm-up.
        weight_decay: Decoupled weight decay; not applied to biases, norms, positions and τ.
        clip_norm: Limit of the gradients' global norm; 0 for none.
        warmup_epochs: Epochs over which the learning rate rises from 0.
        final_learning_rate: Where the cosine ends.
        later_stage_factor: Factor on the peak learning rate in the stages after the first; each stage has a
            warm-up and a cosine of its own.
        ema_decay: Decay, a step, of the exponential moving average of the weights, which is then what is
            validated and kept; 0 for none. In short stages it is lower: the average reaches over a fifth of
            the stage at most.
    """

    learning_rate: float = _value(above=0)
    weight_decay: float = _value(at_least=0)
    clip_norm: float = _value(at_least=0)
    warmup_epochs: float = _value(at_least=0)
    final_learning_rate: float = 0.0
    later_stage_factor: float = _value(0.3, above=0, at_most=1)
    ema_decay: float = _value(0.0, at_least=0, below=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range(
            "optimizer.final_learning_rate",
            self.final_learning_rate,
            at_least=0,
            at_most=self.learning_rate,
        )


@dataclasses.dataclass(frozen=True)
class LossRecipe(_Section):
    """Cross-entropy.

    Attributes:
        label_smoothing: Mass moved from the label to all classes, evenly (arXiv:1512.00567).
    """

    label_smoothing: float = _value(at_least=0, below=1)


@dataclasses.dataclass(frozen=True)
class RegularizationRecipe(_Section):
    """What is left out of the network at random while it trains.

    Attributes:
        drop_path: Rate at which the last block's branches are skipped for an image (stochastic depth,
            arXiv:1603.09382); rises linearly from 0 at the first block.
        block_dropout: Factor on the preset's dropout rates of attention weights and MLP; 0 switches them off,
            which makes a step a third shorter on a processor.
        head_dropout: Factor on the preset's dropout rate in the head.
    """

    drop_path: float = _value(0.0, at_least=0, below=1)
    block_dropout: float = _value(1.0, at_least=0, at_most=1)
    head_dropout: float = _value(1.0, at_least=0, at_most=1)


@dataclasses.dataclass(frozen=True)
class AugmentationRecipe(_Section):
    """What is done to a training image, drawn for each image on its own.

    Attributes:
        flip: Mirror half of the images left to right.
        crop_padding: Largest shift of a random crop of the old size, in pixels; the border is reflected.
        rotation: Largest rotation either way, as a fraction of a full turn.
        zoom: Largest change of height and width (drawn apart), as a fraction of them.
        operations: Operations drawn for each image in the manner of RandAugment (arXiv:1909.13719).
        magnitude: Largest strength of an operation, 0–1; each is drawn evenly up to it, as in
            TrivialAugment (arXiv:2103.10158).
        erasing: Share of the images in which a rectangle is painted over (arXiv:1708.04896).
    """

    flip: bool = False
    crop_padding: int = _value(0, at_least=0, at_most=1000)
    rotation: float = _value(0.0, at_least=0, at_most=0.5)
    zoom: float = _value(0.0, at_least=0, below=1)
    operations: int = _value(0, at_least=0, at_most=12)
    magnitude: float = _value(1.0, at_least=0, at_most=1)
    erasing: float = _value(0.0, at_least=0, at_most=1)


@dataclasses.dataclass(frozen=True)
class MixingRecipe(_Section):
    """Mixing of two images and their labels.

    Attributes:
        probability: Share of the images that are mixed with another one of their batch.
        cutmix_share: Share of the mixed images that get a rectangle of the other one (CutMix,
            arXiv:1905.04899); the rest are averaged with it (MixUp, arXiv:1710.09412).
        cutmix_alpha: Both parameters of the Beta distribution of an image's own share in CutMix.
        mixup_alpha: The same for MixUp.
        off_epochs: Last epochs of the run in which nothing is mixed.
    """

    probability: float = _value(0.0, at_least=0, at_most=1)
    cutmix_share: float = _value(0.5, at_least=0, at_most=1)
    cutmix_alpha: float = _value(1.0, above=0, at_most=1000)
    mixup_alpha: float = _value(0.8, above=0, at_most=1000)
    off_epochs: int = _value(0, at_least=0, at_most=_LARGEST_COUNT)


@dataclasses.dataclass(frozen=True)
class DistillationRecipe(_Section):
    """What a teacher, where one is given, has to say (Hinton et al., 2015, arXiv:1503.02531).

    Attributes:
        weight: Share of the teacher's answers in the loss; the rest is the labels'.
        temperature: By which both models' logits are divided.
        views: Epochs of different augmentation, after which the first comes again, in another order: the
            teacher then answers each view once. 0 for a new view in every epoch.
    """

    weight: float = _value(0.8, at_least=0, at_most=1)
    temperature: float = _value(2.0, above=0, at_most=100)
    views: int = _value(0, at_least=0, at_most=_LARGEST_COUNT)


@dataclasses.dataclass(frozen=True)
class Stage:
    """Epochs at one image size (Touvron et al., 2022, arXiv:2204.07118, train small and finish at full size).

    Attributes:
        first_epoch: From 0.
        epochs: How many.
        image_size: Height and width that a transformer resizes images to, in pixels; the preset's when None.
    """

    first_epoch: int
    epochs: int
    image_size: int | None = None


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Everything that decides a training run but the model, the data and the seed.

    Attributes:
        epochs: Passes over the training images.
        batch_size: Images in a step.
        stages: Image size in the course of the run, `EPOCHS@SIZE` each, such as `100@36,20@72`; together they
            have all epochs. Empty for the preset's size throughout.
        validation_images: Training images held out, by which the best epoch is told.
        optimizer: Optimizer and learning-rate schedule.
        loss: Loss function.
        regularization: Random changes to the network.
        augmentation: Random changes to the training images.
        mixing: Mixing of training images.
        distillation: What a teacher's answers count.
    """

    epochs: int
    batch_size: int
    validation_images: int
    optimizer: OptimizerRecipe
    loss: LossRecipe
    regularization: RegularizationRecipe = RegularizationRecipe()
    augmentation: AugmentationRecipe = AugmentationRecipe()
    mixing: MixingRecipe = MixingRecipe()
    distillation: DistillationRecipe = DistillationRecipe()
    stages: str = ""

    def __post_init__(self) -> None:
        for name, least in (("epochs", 1), ("batch_size", 1), ("validation_images", 0)):
            check_range(name, getattr(self, name), at_least=least, at_most=_LARGEST_COUNT)
        if self.mixing.probability and self.batch_size % 2:
            raise UsageError(
                f"Images are mixed in pairs, so batch_size must be even, not {self.batch_size}."
            )

        planned = sum(stage.epochs for stage in self.plan())
        if planned != self.epochs:
            raise UsageError(f"The stages {self.stages} have {planned} epochs, not {self.epochs}.")

    def plan(self) -> list[Stage]:
        """Returns the stages, the whole run where none are named.

        Raises:
            UsageError: If they are not written as `EPOCHS@SIZE,…`.
        """
        if not self.stages:
            return [Stage(0, self.epochs)]
        stages: list[Stage] = []
        for part in self.stages.split(","):
            match = re.fullmatch(r"([1-9]\d{0,5})@([1-9]\d{0,4})", part.strip())
            if match is None:
                raise UsageError(
                    f"stages must be EPOCHS@SIZE, such as 100@36,20@72, not {self.stages!r}."
                )
            first = stages[-1].first_epoch + stages[-1].epochs if stages else 0
            stages.append(Stage(first, int(match[1]), int(match[2])))
        return stages

    def to_dict(self) -> dict[str, Any]:
        """Returns the recipe as nested dicts of plain values."""
        return dataclasses.asdict(self)

    def to_toml(self) -> str:
        """Returns the recipe as `load_recipe` reads it."""
        import tomli_w

        return tomli_w.dumps(self.to_dict())


def field_types() -> dict[str, type]:
    """Returns the type, `int`, `float`, `bool` or `str`, of every field by its dotted name."""
    return {name: field.type for name, field in _fields().items()}  # type: ignore[misc]


def recipe_of(values: Mapping[str, Any]) -> Recipe:
    """Makes a recipe of values by their dotted names.

    Args:
        values: A value of the right type for every required field, and for any others.

    Raises:
        UsageError: If one is missing or out of its range.
    """
    missing = [
        name
        for name, field in _fields().items()
        if field.default is dataclasses.MISSING and name not in values
    ]
    if missing:
        raise UsageError(f"A recipe must also say {', '.join(missing)}.")
    fields: dict[str, Any] = {name: {} for name in _sections()}
    for name, value in values.items():
        section, _, field = name.rpartition(".")
        (fields[section] if section else fields)[field] = value
    for name, section_type in _sections().items():
        fields[name] = section_type(**fields[name])
    return Recipe(**fields)


def _sections() -> dict[str, type]:
    return {
        field.name: field.type
        for field in dataclasses.fields(Recipe)
        if isinstance(field.type, type) and dataclasses.is_dataclass(field.type)
    }


def _fields() -> dict[str, dataclasses.Field[Any]]:
    sections = _sections()
    fields: dict[str, dataclasses.Field[Any]] = {}
    for field in dataclasses.fields(Recipe):
        if field.name in sections:
            parts = dataclasses.fields(sections[field.name])
            fields |= {f"{field.name}.{part.name}": part for part in parts}
        else:
            fields[field.name] = field
    return fields
