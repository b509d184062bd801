"""AdamW with warm-up and cosine decay."""

import keras

from training.recipes import OptimizerRecipe

# Shrinking these does not regularise: norms and τ set scales, biases and positions set offsets.
_NOT_DECAYED = ("bias", "gamma", "beta", "tau", "embedding")


def build_optimizer(
    recipe: OptimizerRecipe, *, epochs: int, steps_per_epoch: int
) -> keras.optimizers.Optimizer:
    """Returns AdamW whose learning rate rises linearly, then falls along a cosine.

    Warm-up takes at most half of the run.

    Args:
        recipe: Learning rates, weight decay, clipping, warm-up and average of the weights.
        epochs: Length of the whole run, warm-up included.
        steps_per_epoch: Optimizer steps in an epoch.
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
    averaging = {"use_ema": True, "ema_momentum": recipe.ema_decay} if recipe.ema_decay else {}
    optimizer = keras.optimizers.AdamW(
        schedule,
        weight_decay=recipe.weight_decay,
        global_clipnorm=recipe.clip_norm or None,
        **averaging,
    )
    optimizer.exclude_from_weight_decay(var_names=list(_NOT_DECAYED))
    return optimizer
