"""Optimizers with Keras' rules, on lists of tensors (foreach operations).

torch's own differ from Keras' in ways that change results: see each class.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, Literal, Self

import torch
from pydantic import model_validator
from torch import Tensor

from sepcnn.refusal import refuse
from sepcnn.spec import Choice, Table
from sepcnn.values import NonNegativeNumber, PositiveNumber, Rate

Tensors = list[Tensor]
Slots = dict[str, Tensors]
"""an optimizer's memory: lists parallel to the weights, by name"""


class Optimizer(Choice):
    """Changes weights by their gradients. Clipping and weight decay are Keras', in Keras' order."""

    table: ClassVar[Table] = Table("optimizer")

    learning_rate: PositiveNumber = 0.001
    """size of a step; the schedule multiplies it"""
    weight_decay: NonNegativeNumber = 0.0
    """before each step weights shrink by this times the learning rate (decoupled)"""
    decay: Literal["kernels", "all"] = "kernels"
    """kernels: biases and normalization do not shrink; all: everything does, as in Keras"""
    clipnorm: PositiveNumber | None = None
    """each gradient is scaled down to at most this norm"""
    global_clipnorm: PositiveNumber | None = None
    """all gradients together are scaled down to at most this norm"""
    clipvalue: PositiveNumber | None = None
    """gradients are cut to ± this value"""

    @classmethod
    def own_fields(cls) -> list[str]:
        shared = [name for name in Optimizer.model_fields if name != "learning_rate"]
        return [*(name for name in cls.model_fields if name not in shared), *shared]

    @model_validator(mode="after")
    def _one_clipping(self) -> Self:
        given = [n for n in ("clipnorm", "global_clipnorm", "clipvalue") if getattr(self, n)]
        if len(given) > 1:
            message = f"only one way of clipping is possible, found {' and '.join(given)}"
            raise refuse(message, "keep one of them")
        return self

    @abstractmethod
    def slot_names(self) -> tuple[str, ...]:
        """What the rule remembers of each weight."""

    def slots(self, weights: Tensors) -> Slots:
        """The memory before the first step: zeros."""
        return {name: [torch.zeros_like(w) for w in weights] for name in self.slot_names()}

    @torch.no_grad()
    def step(
        self, weights: Tensors, gradients: Tensors, slots: Slots, learning_rate: float, step: int
    ) -> None:
        """Change ``weights`` and ``slots`` in place; ``step`` counts completed steps."""
        gradients = self._clip(gradients)
        if self.weight_decay:
            decayed = [w for w in weights if w.dim() > 1 or self.decay == "all"]
            if decayed:
                torch._foreach_mul_(decayed, 1 - self.weight_decay * learning_rate)
        self.update(weights, gradients, slots, learning_rate, step)

    @abstractmethod
    def update(
        self, weights: Tensors, gradients: Tensors, slots: Slots, learning_rate: float, step: int
    ) -> None:
        """The rule itself."""

    def _clip(self, gradients: Tensors) -> Tensors:
        if self.clipvalue:
            clipped = torch._foreach_clamp_max(gradients, self.clipvalue)
            torch._foreach_clamp_min_(clipped, -self.clipvalue)
            return list(clipped)
        limit = self.clipnorm or self.global_clipnorm
        if not limit:
            return gradients
        norms = list(torch._foreach_norm(gradients))
        if self.global_clipnorm:
            norms = [torch.linalg.vector_norm(torch.stack(norms))] * len(gradients)
        # limit / max(norm, limit) is 1 for a short gradient; no value is read back to the host.
        scales = [limit / norm.clamp(min=limit) for norm in norms]
        return list(torch._foreach_mul(gradients, scales))


class SGD(Optimizer):
    """``v = momentum · v − learning_rate · g``, ``w += v``.

    The learning rate is inside the momentum, as in Keras: torch keeps it outside, which differs
    as soon as the rate changes. ``nesterov``: ``w += momentum · v − learning_rate · g``.
    """

    learning_rate: PositiveNumber = 0.01
    """size of a step; the schedule multiplies it"""
    momentum: Rate = 0.0
    """share of the last step kept in the next"""
    nesterov: bool = False
    """look ahead by the momentum (Sutskever et al. 2013)"""

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


class RMSprop(Optimizer):
    """``v = rho · v + (1 − rho) · g²``, ``w −= learning_rate · g / √(v + epsilon)``.

    Tieleman & Hinton 2012. Epsilon is inside the root, as in Keras (torch adds it outside);
    ``centered`` subtracts the squared mean gradient from v; ``momentum`` gathers the steps.
    """

    rho: Rate = 0.9
    """share of the old mean square kept"""
    momentum: Rate = 0.0
    """share of the last step kept in the next"""
    epsilon: PositiveNumber = 1e-7
    """added to the mean square"""
    centered: bool = False
    """divide by an estimate of the variance"""

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


class Adam(Optimizer):
    """``w −= alpha · m / (√v + epsilon)`` with alpha = learning_rate · √(1 − β₂ᵗ) / (1 − β₁ᵗ).

    Kingma & Ba 2014, arXiv:1412.6980, in the form before section 2.1 ("epsilon hat"), as in
    Keras; torch corrects v before adding epsilon. m and v are the moving means of g and g².
    """

    beta_1: Rate = 0.9
    """share of the old mean kept"""
    beta_2: Rate = 0.999
    """share of the old mean square kept"""
    epsilon: PositiveNumber = 1e-7
    """added to the root of the mean square"""

    def slot_names(self) -> tuple[str, ...]:
        return ("mean", "square")

    def update(
        self, weights: Tensors, gradients: Tensors, slots: Slots, learning_rate: float, step: int
    ) -> None:
        mean, square = slots["mean"], slots["square"]
        torch._foreach_lerp_(mean, gradients, 1 - self.beta_1)
        torch._foreach_mul_(square, self.beta_2)
        torch._foreach_addcmul_(square, gradients, gradients, value=1 - self.beta_2)
        correction = (1 - self.beta_2 ** (step + 1)) ** 0.5 / (1 - self.beta_1 ** (step + 1))
        denominator = list(torch._foreach_sqrt(square))
        torch._foreach_add_(denominator, self.epsilon)
        torch._foreach_addcdiv_(weights, mean, denominator, value=-learning_rate * correction)


class AdamW(Adam):
    """Adam with decoupled weight decay. Loshchilov & Hutter 2019, arXiv:1711.05101.

    Biases and normalization do not decay unless ``decay: all`` (Keras: all do).
    """

    weight_decay: NonNegativeNumber = 0.004
    """before each step weights shrink by this times the learning rate"""


OPTIMIZERS = Optimizer.table
OPTIMIZERS.fill({"SGD": SGD, "RMSprop": RMSprop, "Adam": Adam, "AdamW": AdamW})
