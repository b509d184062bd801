"""AdamW with warm-up and cosine decay."""

import keras

from training.recipes import OptimizerRecipe

# Shrinking these does not regularise: norms and τ set scales, biases and positions set offsets.
_NOT_DECAYED = ("bias", "gamma", "beta", "tau", "embedding")


def is_decayed(variable: keras.Variable) -> bool:
    """Tells whether weight decay shrinks a variable."""
    return not any(part in variable.name for part in _NOT_DECAYED)


def build_optimizer(
    recipe: OptimizerRecipe, *, epochs: int, steps_per_epoch: int, is_later_stage: bool = False
) -> keras.optimizers.Optimizer:
    """Returns AdamW whose learning rate rises linearly, then falls along a cosine.

    Warm-up takes at most half of the epochs.

    Args:
        recipe: Learning rates, weight decay, clipping, warm-up and average of the weights.
        epochs: Length of the stage, warm-up included.
        is_later_stage: Whether the weights come from an earlier stage: the peak is lower then, and the
            warm-up takes one epoch at most.
    """
    peak, warmup = recipe.learning_rate, recipe.warmup_epochs
    if is_later_stage:
        peak, warmup = peak * recipe.later_stage_factor, min(warmup, 1.0)
    final = min(recipe.final_learning_rate, peak)
    # A trial run shorter than the recipe's warm-up shall see the decay too.
    warmup_steps = min(round(warmup * steps_per_epoch), epochs * steps_per_epoch // 2)
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0 if warmup_steps else peak,
        decay_steps=epochs * steps_per_epoch - warmup_steps,
        alpha=final / peak,
        warmup_target=peak if warmup_steps else None,
        warmup_steps=warmup_steps,
    )
    # An average over more than a fifth of a short stage would be one of its first weights.
    momentum = min(recipe.ema_decay, max(0.0, 1 - 5 / (epochs * steps_per_epoch)))
    averaging = {"use_ema": True, "ema_momentum": momentum} if recipe.ema_decay else {}
    optimizer = keras.optimizers.AdamW(
        schedule,
        weight_decay=recipe.weight_decay,
        global_clipnorm=recipe.clip_norm or None,
        **averaging,
    )
    optimizer.exclude_from_weight_decay(var_names=list(_NOT_DECAYED))
    return optimizer
