"""Optimizers that divide by the size of past gradients: RMSprop, Adagrad, Adadelta."""

from __future__ import annotations

import torch

from sepcnn.language.values import NonNegativeNumber, PositiveNumber, Rate
from sepcnn.nn.optimizers.base import Optimizer, Slots, Tensors


class RMSprop(Optimizer):
    """``v = rho · v + (1 − rho) · g²``, ``w −= learning_rate · g / √(v + epsilon)``.

    Tieleman & Hinton 2012. As in Keras, epsilon is inside the root (torch: outside). ``centered``
    subtracts the squared mean gradient from v; ``momentum`` adds a fraction of the previous step.
    """

    rho: Rate = 0.9
    """decay rate of the mean square v"""
    momentum: Rate = 0.0
    """fraction of the previous step that is added to the current one"""
    epsilon: PositiveNumber = 1e-7
    """added to v inside the root, so that the divisor is never 0"""
    centered: bool = False
    """divide by the standard deviation of gradients, not the root mean square"""

    def slot_names(self) -> tuple[str, ...]:
        optional = {"momentum": self.momentum > 0, "average": self.centered}
        return ("square", *(name for name, used in optional.items() if used))

    def update(
        self, weights: Tensors, gradients: Tensors, slots: Slots, learning_rate: float, step: int
    ) -> None:
        square = slots["square"]
        torch._foreach_mul_(square, self.rho)
        torch._foreach_addcmul_(square, gradients, gradients, value=1 - self.rho)
        denominator = list(torch._foreach_add(square, self.epsilon))
        if self.centered:
            torch._foreach_mul_(slots["average"], self.rho)
            torch._foreach_add_(slots["average"], gradients, alpha=1 - self.rho)
            torch._foreach_addcmul_(denominator, slots["average"], slots["average"], value=-1)
        torch._foreach_sqrt_(denominator)
        if not self.momentum:
            torch._foreach_addcdiv_(weights, gradients, denominator, value=-learning_rate)
            return
        torch._foreach_mul_(slots["momentum"], self.momentum)
        torch._foreach_addcdiv_(slots["momentum"], gradients, denominator, value=learning_rate)
        torch._foreach_sub_(weights, slots["momentum"])


class Adagrad(Optimizer):
    """``s += g²``, ``w −= learning_rate · g / √(s + epsilon)``: step sizes only decrease.

    Duchi, Hazan & Singer 2011. As in Keras, epsilon is inside the root; torch adds it outside and
    starts with s = 0.
    """

    initial_accumulator_value: NonNegativeNumber = 0.1
    """initial value of the sum of squares s"""
    epsilon: PositiveNumber = 1e-7
    """added to s inside the root, so that the divisor is never 0"""

    def slot_names(self) -> tuple[str, ...]:
        return ("sum",)

    def slots(self, weights: Tensors) -> Slots:
        return {"sum": [torch.full_like(w, self.initial_accumulator_value) for w in weights]}

    def update(
        self, weights: Tensors, gradients: Tensors, slots: Slots, learning_rate: float, step: int
    ) -> None:
        torch._foreach_addcmul_(slots["sum"], gradients, gradients, value=1)
        denominator = list(torch._foreach_add(slots["sum"], self.epsilon))
        torch._foreach_sqrt_(denominator)
        torch._foreach_addcdiv_(weights, gradients, denominator, value=-learning_rate)


class Adadelta(Optimizer):
    """``w += learning_rate · d`` with ``d = −g · √(D + epsilon) / √(v + epsilon)``.

    Zeiler 2012, arXiv:1212.5701. v and D are moving means of g² and d²; D does not include the
    current d. The default learning rate is 0.001, as in Keras; the paper uses no
    learning rate, that is, 1.
    """

    rho: Rate = 0.95
    """decay rate of the mean squares v and D"""
    epsilon: PositiveNumber = 1e-7
    """added to v and D inside the roots"""

    def slot_names(self) -> tuple[str, ...]:
        return ("square", "change")

    def update(
        self, weights: Tensors, gradients: Tensors, slots: Slots, learning_rate: float, step: int
    ) -> None:
        square, change = slots["square"], slots["change"]
        torch._foreach_mul_(square, self.rho)
        torch._foreach_addcmul_(square, gradients, gradients, value=1 - self.rho)
        delta = list(torch._foreach_add(change, self.epsilon))
        torch._foreach_div_(delta, torch._foreach_add(square, self.epsilon))
        torch._foreach_sqrt_(delta)
        torch._foreach_mul_(delta, gradients)
        torch._foreach_mul_(change, self.rho)
        torch._foreach_addcmul_(change, delta, delta, value=1 - self.rho)
        torch._foreach_add_(weights, delta, alpha=-learning_rate)
