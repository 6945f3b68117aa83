"""Adam and its variants: a mean of gradients divided by a measure of their size."""

from __future__ import annotations

from itertools import accumulate
from operator import mul

import torch

from sepcnn.language.values import NonNegativeNumber, PositiveNumber, Rate
from sepcnn.nn.optimizers.base import Optimizer, Slots, Tensors


class Adam(Optimizer):
    """``w −= alpha · m / (√v + epsilon)`` with alpha = learning_rate · √(1 − β₂ᵗ) / (1 − β₁ᵗ).

    m and v are exponential moving averages of g and g², t is the number of the step. Kingma & Ba
    2014, arXiv:1412.6980, in the "epsilon hat" form given before section 2.1, as in Keras; torch
    applies the bias correction to v before adding epsilon. ``amsgrad`` divides by the largest v so
    far (Reddi et al. 2018, arXiv:1904.09237).
    """

    beta_1: Rate = 0.9
    """decay rate of m, the mean of gradients"""
    beta_2: Rate = 0.999
    """decay rate of v, the mean of squared gradients"""
    epsilon: PositiveNumber = 1e-7
    """added to √v, so that the divisor is never 0"""
    amsgrad: bool = False
    """use the largest v so far instead of v"""

    def slot_names(self) -> tuple[str, ...]:
        return ("mean", "square", *(["largest"] if self.amsgrad else []))

    def update(
        self, weights: Tensors, gradients: Tensors, slots: Slots, learning_rate: float, step: int
    ) -> None:
        mean, square = slots["mean"], slots["square"]
        torch._foreach_lerp_(mean, gradients, 1 - self.beta_1)
        torch._foreach_mul_(square, self.beta_2)
        torch._foreach_addcmul_(square, gradients, gradients, value=1 - self.beta_2)
        correction = (1 - self.beta_2 ** (step + 1)) ** 0.5 / (1 - self.beta_1 ** (step + 1))
        if self.amsgrad:
            torch._foreach_maximum_(slots["largest"], square)
            square = slots["largest"]
        denominator = list(torch._foreach_sqrt(square))
        torch._foreach_add_(denominator, self.epsilon)
        torch._foreach_addcdiv_(weights, mean, denominator, value=-learning_rate * correction)


class AdamW(Adam):
    """Adam with decoupled weight decay. Loshchilov & Hutter 2019, arXiv:1711.05101.

    Weight decay is applied only to kernels, unless ``decay: all`` (in Keras to every weight).
    """

    first_arguments = 1

    weight_decay: NonNegativeNumber = 0.004
    """decoupled weight decay: each step multiplies weights by 1 − weight_decay · learning_rate"""


DECAY_PRODUCTS = tuple(accumulate((1 - 0.96**k / 2 for k in range(1, 1001)), mul, initial=1.0))
"""products of the factors 1 − 0.96ᵗ / 2 of Nadam; from the 900th on, a factor rounds to 1"""


class Nadam(Optimizer):
    """Adam with Nesterov momentum: ``w −= learning_rate · m̂ / (√(v / (1 − β₂ᵗ)) + epsilon)``.

    ``m̂ = uₜ₊₁ · m / (1 − Uₜ₊₁) + (1 − uₜ) · g / (1 − Uₜ)``, uₜ = β₁ · (1 − 0.96ᵗ / 2) and
    Uₜ = u₁ · … · uₜ. m and v are exponential moving averages of g and g². Dozat 2016, with
    the constant 0.96 of Keras.
    """

    beta_1: Rate = 0.9
    """decay rate of m, the mean of gradients"""
    beta_2: Rate = 0.999
    """decay rate of v, the mean of squared gradients"""
    epsilon: PositiveNumber = 1e-7
    """added to √v, so that the divisor is never 0"""

    def slot_names(self) -> tuple[str, ...]:
        return ("mean", "square")

    def product(self, step: int) -> float:
        """Return U of a step in closed form, so that checkpoints need not store it."""
        return float(self.beta_1**step * DECAY_PRODUCTS[min(step, len(DECAY_PRODUCTS) - 1)])

    def update(
        self, weights: Tensors, gradients: Tensors, slots: Slots, learning_rate: float, step: int
    ) -> None:
        mean, square, now = slots["mean"], slots["square"], step + 1
        torch._foreach_lerp_(mean, gradients, 1 - self.beta_1)
        torch._foreach_mul_(square, self.beta_2)
        torch._foreach_addcmul_(square, gradients, gradients, value=1 - self.beta_2)
        share, next_share = (self.beta_1 * (1 - 0.96**t / 2) for t in (now, now + 1))
        ahead = list(torch._foreach_mul(mean, next_share / (1 - self.product(now + 1))))
        torch._foreach_add_(ahead, gradients, alpha=(1 - share) / (1 - self.product(now)))
        denominator = list(torch._foreach_div(square, 1 - self.beta_2**now))
        torch._foreach_sqrt_(denominator)
        torch._foreach_add_(denominator, self.epsilon)
        torch._foreach_addcdiv_(weights, ahead, denominator, value=-learning_rate)


class Adamax(Optimizer):
    """``w −= learning_rate / (1 − β₁ᵗ) · m / (u + epsilon)`` with ``u = max(β₂ · u, |g|)``.

    m is the exponential moving average of g. Kingma & Ba 2014, arXiv:1412.6980, section 7.1. torch
    adds epsilon inside the maximum.
    """

    beta_1: Rate = 0.9
    """decay rate of m, the mean of gradients"""
    beta_2: Rate = 0.999
    """decay rate of u, the decaying maximum of |g|"""
    epsilon: PositiveNumber = 1e-7
    """added to u, so that the divisor is never 0"""

    def slot_names(self) -> tuple[str, ...]:
        return ("mean", "largest")

    def update(
        self, weights: Tensors, gradients: Tensors, slots: Slots, learning_rate: float, step: int
    ) -> None:
        mean, largest = slots["mean"], slots["largest"]
        torch._foreach_lerp_(mean, gradients, 1 - self.beta_1)
        torch._foreach_mul_(largest, self.beta_2)
        torch._foreach_maximum_(largest, torch._foreach_abs(gradients))
        denominator = list(torch._foreach_add(largest, self.epsilon))
        size = learning_rate / (1 - self.beta_1 ** (step + 1))
        torch._foreach_addcdiv_(weights, mean, denominator, value=-size)
