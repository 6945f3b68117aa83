"""Base class of optimizers: learning rate, weight decay, gradient clipping and slots.

All operations act on lists of tensors at once (foreach).
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
"""state of an optimizer: by name, a list with one tensor per weight"""


class Optimizer(Choice):
    """Updates weights from gradients. Clipping and weight decay are applied as in Keras."""

    table: ClassVar[Table] = Table("optimizer")

    learning_rate: PositiveNumber = 0.001
    """step size, which the schedule multiplies by its factor"""
    weight_decay: NonNegativeNumber = 0.0
    """decoupled weight decay: each step multiplies weights by 1 − weight_decay · learning_rate"""
    decay: Literal["kernels", "all"] = "kernels"
    """weights to which weight_decay applies: only kernels of layers, or all weights, as in Keras"""
    clipnorm: PositiveNumber | None = None
    """largest gradient norm of each weight tensor; larger gradients are scaled down"""
    global_clipnorm: PositiveNumber | None = None
    """largest norm of all gradients together; larger gradients are scaled down"""
    clipvalue: PositiveNumber | None = None
    """largest absolute value of gradient elements; larger ones are clipped"""

    @classmethod
    def own_fields(cls) -> list[str]:
        """Fields of the subclass come before the shared ones; learning_rate keeps its place."""
        shared = [name for name in Optimizer.model_fields if name != "learning_rate"]
        return [*(name for name in cls.model_fields if name not in shared), *shared]

    @model_validator(mode="after")
    def _one_clipping(self) -> Self:
        given = [n for n in ("clipnorm", "global_clipnorm", "clipvalue") if getattr(self, n)]
        if len(given) > 1:
            message = f"only one kind of gradient clipping is possible, found {' and '.join(given)}"
            raise invalid(message, "keep one of them")
        return self

    @abstractmethod
    def slot_names(self) -> tuple[str, ...]:
        """Return the names of the slots, which are saved in checkpoints."""

    def slots(self, weights: Tensors) -> Slots:
        """Return the initial slots: zeros by default."""
        return {name: [torch.zeros_like(w) for w in weights] for name in self.slot_names()}

    @torch.no_grad()
    def step(
        self, weights: Tensors, gradients: Tensors, slots: Slots, learning_rate: float, step: int
    ) -> None:
        """Update ``weights`` and ``slots`` in place; ``step`` is the number of completed steps."""
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
        """Apply the update rule in place, after clipping and weight decay."""

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
        # limit / max(norm, limit) is 1 for a small norm, without reading a value back to the host.
        scales = [limit / norm.clamp(min=limit) for norm in norms]
        return list(torch._foreach_mul(gradients, scales))
