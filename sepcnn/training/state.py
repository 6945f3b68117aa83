"""State: everything that training changes."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from sepcnn.config.config import Config
from sepcnn.config.sections import BestMetric
from sepcnn.errors import DivergedError
from sepcnn.nn.graph import Graph
from sepcnn.nn.model import Net, build
from sepcnn.nn.optimizers import Slots
from sepcnn.training.records import EpochRecord, better

LOSS, CORRECT, IMAGES, FIRST_BAD_STEP = range(4)
"""indices into `State.sums`"""


@dataclass
class State:
    """Everything that training changes. It is complete whenever the loop yields."""

    model: Net
    slots: Slots
    """the optimizer's slots: for each name, one tensor per trained weight, in the same order"""
    sums: torch.Tensor
    """float64 [4] on the device, sums of the current epoch: loss × images, correct predictions,
    images, and the first step whose loss was not finite (0 if none)"""
    step: int = 0
    """number of completed steps"""
    epochs: list[EpochRecord] = field(default_factory=list)
    """one record per finished epoch"""
    saving: float = 0.0
    """seconds of the current epoch that were spent on writing checkpoints; not saved"""
    best_by: BestMetric = "accuracy"
    """the metric that decides `best`"""

    @property
    def best(self) -> EpochRecord | None:
        best: EpochRecord | None = None
        for record in self.epochs:
            best = record if better(record, best, self.best_by) else best
        return best

    def tensors(self) -> dict[str, torch.Tensor]:
        """Every tensor by its name in the file."""
        names = self.model.trained_weights()
        found = {f"model/{name}": tensor for name, tensor in self.model.state_dict().items()}
        for slot, tensors in self.slots.items():
            found |= {f"optimizer/{slot}/{n}": t for n, t in zip(names, tensors, strict=True)}
        return {**found, "sums": self.sums}


def new_state(config: Config, graph: Graph, device: torch.device) -> State:
    """The state before the first step."""
    model = build(graph, config.train.seed).to(device)
    slots = config.train.optimizer.slots(list(model.trained_weights().values()))
    wide = torch.float32 if device.type == "mps" else torch.float64  # mps has no float64
    sums = torch.zeros(4, dtype=wide, device=device)
    return State(model, slots, sums, best_by=config.train.best)


def check_finite(state: State, tensors: dict[str, torch.Tensor]) -> None:
    """Errors: `DivergedError` if a loss or a tensor has stopped being finite."""
    check_loss(tensors["sums"][FIRST_BAD_STEP].item())
    for name, tensor in tensors.items():
        if name != "sums" and not tensor.isfinite().all():
            where = name.removeprefix("model/").removeprefix("optimizer/")
            raise DivergedError(f"'{where}' was no longer finite at step {state.step}", state.step)


def check_loss(first_bad_step: float) -> None:
    """Errors: `DivergedError` if there was a bad step."""
    if first_bad_step:
        step = int(first_bad_step)
        raise DivergedError(f"the loss was no longer a finite number at step {step}", step)
