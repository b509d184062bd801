"""AdamW with warm-up and cosine decay."""

from typing import Any

import keras
from keras import ops

from training.recipes import OptimizerRecipe

# Shrinking these does not regularise: norms and τ set scales, biases and positions set offsets.
_NOT_DECAYED = ("bias", "gamma", "beta", "tau", "embedding")
# Steps over which the rate rises at the start of a later stage: the optimizer's averages are new.
_STAGE_WARMUP = 100


class StageSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """A later part of a schedule, with a short warm-up of its own.

    Args:
        whole: Schedule of the whole run.
        first_step: Step of the whole run that is step 0 here.
    """

    def __init__(
        self, whole: keras.optimizers.schedules.LearningRateSchedule, first_step: int
    ) -> None:
        self.whole = whole
        self.first_step = first_step

    def __call__(self, step: Any) -> Any:
        step = ops.cast(step, "float32")
        return self.whole(step + self.first_step) * ops.minimum(1.0, (step + 1) / _STAGE_WARMUP)


def is_decayed(variable: keras.Variable) -> bool:
    """Tells whether weight decay shrinks a variable."""
    return not any(part in variable.name for part in _NOT_DECAYED)


def build_optimizer(
    recipe: OptimizerRecipe, *, epochs: int, steps_per_epoch: int, first_epoch: int = 0
) -> keras.optimizers.Optimizer:
    """Returns AdamW whose learning rate rises linearly, then falls along a cosine.

    Warm-up takes at most half of the run.

    Args:
        recipe: Learning rates, weight decay, clipping, warm-up and average of the weights.
        epochs: Length of the whole run, warm-up included.
        steps_per_epoch: Optimizer steps in an epoch.
        first_epoch: Epoch of the run, from 0, at which this optimizer takes over.
    """
    # A trial run shorter than the recipe's warm-up shall see the decay too.
    warmup_steps = min(round(recipe.warmup_epochs * steps_per_epoch), epochs * steps_per_epoch // 2)
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0 if warmup_steps else recipe.learning_rate,
        decay_steps=epochs * steps_per_epoch - warmup_steps,
        alpha=recipe.final_learning_rate / recipe.learning_rate,
        warmup_target=recipe.learning_rate if warmup_steps else None,
        warmup_steps=warmup_steps,
    )
    if first_epoch:
        schedule = StageSchedule(schedule, first_epoch * steps_per_epoch)
    averaging = {"use_ema": True, "ema_momentum": recipe.ema_decay} if recipe.ema_decay else {}
    optimizer = keras.optimizers.AdamW(
        schedule,
        weight_decay=recipe.weight_decay,
        global_clipnorm=recipe.clip_norm or None,
        **averaging,
    )
    optimizer.exclude_from_weight_decay(var_names=list(_NOT_DECAYED))
    return optimizer
