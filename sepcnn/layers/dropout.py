"""Layers that are random in training and do nothing in inference."""

from __future__ import annotations

import torch
from torch import nn

from sepcnn.layers.activation import ElementwiseLayer
from sepcnn.layers.base import Shape, SteppedModule
from sepcnn.randomness import stream
from sepcnn.schedules import Progress
from sepcnn.values import Rate


class Dropout(ElementwiseLayer):
    """Sets a share of the values to 0 and divides the others by 1 − rate, in training only.

    Srivastava et al. 2014. The mask is drawn from (seed, layer, step): a resumed run drops what
    the run never stopped would have dropped.
    """

    rate: Rate
    """share of the values set to 0"""

    def build(self, *inputs: Shape) -> nn.Module:
        return DropoutModule(self.rate)


class DropoutModule(SteppedModule):
    """Takes and gives any shape."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.keep = 1 - rate
        self.generator: torch.Generator | None = None
        self.position: tuple[int, str, int] | None = None

    def begin_step(self, seed: int, progress: Progress, name: str) -> None:
        self.position = (seed, name, progress.step)
        self.generator = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training or self.keep == 1:
            return x
        if self.generator is None and self.position is not None:
            seed, name, step = self.position
            self.generator = stream(seed, "dropout", name, step, device=x.device)
        # Outside a run, where no step was told, torch's own generator serves.
        mask = torch.empty_like(x).bernoulli_(self.keep, generator=self.generator)
        return x * mask.div_(self.keep)
