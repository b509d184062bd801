"""The training step on torch, eager; nothing is read back from the device within an epoch."""

import math
from typing import Any

import numpy as np
import torch
from keras import ops

from training.batches import Batch
from training.engines.program import Program
from training.optimizer import is_decayed


class TorchEngine:
    """See `training.engines.Engine`.

    The update is torch's fused AdamW on the Keras optimizer's own slots: the same formula in one pass over
    the memory, where Keras makes some fifteen. Checkpoints hold the Keras optimizer, whole.
    """

    def __init__(self, program: Program) -> None:
        self._program = program
        self._figures: Any = None
        self._update: torch.optim.AdamW | None = None
        self._seed = torch.initial_seed()

    def begin(self) -> None:
        # Dropout draws from torch's own generator, of which checkpoints hold nothing.
        entropy = np.random.SeedSequence((self._seed, int(self._program.optimizer.iterations)))
        torch.manual_seed(int(entropy.generate_state(1, np.uint64)[0]))
        self._figures = ops.zeros(2)
        # Anew in every epoch: between two, checkpoints may be loaded.
        self._update = self._fused_update()
        self._steps = int(self._program.optimizer.iterations)

    def _fused_update(self) -> torch.optim.AdamW:
        optimizer = self._program.optimizer
        variables = self._program.model.trainable_variables
        groups = [
            {
                "params": [v.value for v in variables if is_decayed(v) is decayed],
                "weight_decay": optimizer.weight_decay if decayed else 0.0,
            }
            for decayed in (True, False)
        ]
        update = torch.optim.AdamW(
            [group for group in groups if group["params"]],
            betas=(optimizer.beta_1, optimizer.beta_2),
            fused=True,
        )
        slots = zip(variables, optimizer._momentums, optimizer._velocities, strict=True)
        for variable, momentum, velocity in slots:
            update.state[variable.value] = {
                "step": torch.tensor(float(int(optimizer.iterations))),
                "exp_avg": momentum.value.data,
                "exp_avg_sq": velocity.value.data,
            }
        return update

    def step(self, batch: Batch) -> Any:
        program = self._program
        pixels, targets, teacher = (
            None if array is None else ops.convert_to_tensor(array)
            for array in (batch.pixels, batch.targets, batch.teacher)
        )
        logits = program.model(pixels, training=True)
        loss = program.loss(targets, logits, teacher)
        weights = [variable.value for variable in program.model.trainable_variables]
        # A folded attention does not depend on the keys' biases.
        gradients = torch.autograd.grad(loss, weights, allow_unused=True, materialize_grads=True)
        with torch.no_grad():
            self._apply(weights, gradients)
            self._figures = self._figures + program.figures(loss.detach(), targets, logits)
        return self._figures

    def _apply(self, weights: list[Any], gradients: tuple[Any, ...]) -> None:
        assert self._update is not None  # noqa: S101  `begin` came first
        optimizer = self._program.optimizer
        if optimizer.global_clipnorm:
            norm = torch.nn.utils.get_total_norm(gradients)
            torch._foreach_mul_(gradients, (optimizer.global_clipnorm / norm).clamp(max=1.0))
        for weight, gradient in zip(weights, gradients, strict=True):
            # The fused update takes for granted that a gradient lies in memory as its weight does; that of
            # a kernel which is transposed on the way does not.
            weight.grad = gradient.contiguous()
        rate = float(optimizer.learning_rate)
        # Keras adds ε to the root of the second moment before its bias is corrected, torch after.
        epsilon = optimizer.epsilon / math.sqrt(1.0 - optimizer.beta_2 ** (self._steps + 1))
        for group in self._update.param_groups:
            group["lr"], group["eps"] = rate, epsilon
        self._update.step()
        for weight in weights:
            weight.grad = None
        if optimizer.use_ema:
            averages = [v.value.data for v in optimizer._model_variables_moving_average]
            share = 1.0 - optimizer.ema_momentum if self._steps else 1.0
            torch._foreach_lerp_(averages, [weight.data for weight in weights], share)
        self._steps += 1
        optimizer.iterations.assign(self._steps)

    def figures(self, handle: Any) -> tuple[float, float]:
        loss, right = handle.tolist()
        return loss, right

    def finish(self) -> None:
        """The variables are updated in place."""
