"""Optimizers that store a mean of gradients: SGD and Lion."""

from __future__ import annotations

import torch

from sepcnn.language.values import PositiveNumber, PositiveUnitNumber, Rate
from sepcnn.nn.optimizers.base import Optimizer, Slots, Tensors


class SGD(Optimizer):
    """Stochastic gradient descent: ``v = momentum · v − learning_rate · g``, ``w += v``.

    With ``nesterov``: ``w += momentum · v − learning_rate · g``. As in Keras, v includes the
    learning rate; in torch it does not, so results differ once the learning rate changes.
    """

    learning_rate: PositiveNumber = 0.01
    """step size, which the schedule multiplies by its factor"""
    momentum: Rate = 0.0
    """fraction of the previous step that is added to the current one"""
    nesterov: bool = False
    """use Nesterov momentum (Sutskever et al. 2013)"""

    def slot_names(self) -> tuple[str, ...]:
        return ("momentum",) if self.momentum else ()

    def update(
        self, weights: Tensors, gradients: Tensors, slots: Slots, learning_rate: float, step: int
    ) -> None:
        if not self.momentum:
            torch._foreach_add_(weights, gradients, alpha=-learning_rate)
            return
        velocity = slots["momentum"]
        torch._foreach_mul_(velocity, self.momentum)
        torch._foreach_add_(velocity, gradients, alpha=-learning_rate)
        if self.nesterov:
            torch._foreach_add_(weights, velocity, alpha=self.momentum)
            torch._foreach_add_(weights, gradients, alpha=-learning_rate)
        else:
            torch._foreach_add_(weights, velocity)


class Lion(Optimizer):
    """``w −= learning_rate · sign(β₁ · m + (1 − β₁) · g)``, then ``m = β₂ · m + (1 − β₂) · g``.

    Chen et al. 2023, arXiv:2302.06675. Every weight moves by the learning rate. This should be
    three to ten times smaller than for Adam, and weight_decay should be larger by the same factor.
    """

    beta_1: PositiveUnitNumber = 0.9
    """weight of the mean m in the direction of the step; g has weight 1 − β₁"""
    beta_2: Rate = 0.99
    """decay rate of the mean of g"""

    def slot_names(self) -> tuple[str, ...]:
        return ("mean",)

    def update(
        self, weights: Tensors, gradients: Tensors, slots: Slots, learning_rate: float, step: int
    ) -> None:
        mean = slots["mean"]
        # Not lerp: must round as Keras does, because the sign of a value near 0 moves a whole step.
        direction = list(torch._foreach_mul(mean, self.beta_1))
        torch._foreach_add_(direction, gradients, alpha=1 - self.beta_1)
        torch._foreach_sign_(direction)
        torch._foreach_add_(weights, direction, alpha=-learning_rate)
        torch._foreach_mul_(mean, self.beta_2)
        torch._foreach_add_(mean, gradients, alpha=1 - self.beta_2)
