"""What every optimizer shares: learning rate, weight decay, clipping and slots.

All work on lists of tensors at once (foreach operations).
"""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, Literal, Self

import torch
from pydantic import model_validator
from torch import Tensor

from sepcnn.language.messages import invalid
from sepcnn.language.spec import Choice, Table
from sepcnn.language.values import NonNegativeNumber, PositiveNumber

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
            raise invalid(message, "keep one of them")
        return self

    @abstractmethod
    def slot_names(self) -> tuple[str, ...]:
        """What the rule remembers of each weight."""

    def slots(self, weights: Tensors) -> Slots:
        """The memory before the first step: zeros, unless the rule says otherwise."""
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
