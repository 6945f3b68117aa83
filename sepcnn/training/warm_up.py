"""Moving statistics that have not warmed up: predicted before training, noticed during it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch

from sepcnn.config.sections import Train
from sepcnn.nn.graph import Graph
from sepcnn.nn.layers.normalization import BatchNormalization
from sepcnn.training.records import EpochRecord
from sepcnn.wording import counted

MOST_KEPT = 0.02
"""largest share of the initial statistics at the end of a run that is not reported. Measured on a
small net, 10 classes, 120 steps, two seeds: shares of 30, 9, 4.8, 2.6 and 0.8 % cost 48, 18, 9, 4
and 1 points of validation accuracy at most
"""
SHARE_TO_REACH = 0.01
"""share of the initial statistics that the suggested momentum leaves"""
LEAST_MOMENTUM = 0.8
"""smallest momentum to suggest: below it, moving statistics depend on the last few batches only"""
LEARNT = 0.1
"""training accuracy above chance at which a model has learnt something"""


@dataclass(frozen=True, slots=True)
class ColdStatistics:
    """A layer whose moving statistics keep too much of their initial values."""

    layer: str
    momentum: float
    steps: int
    """number of steps of the shortest complete run"""
    stops_early: bool
    """whether early stopping may end the run after these steps, before its last epoch"""
    share: float
    """share of the initial values in the moving statistics after these steps"""

    @property
    def message(self) -> str:
        end = f"after {counted(self.steps, 'step')}"
        end += ", when early stopping may end the run," if self.stops_early else ""
        return (
            f"{end} the moving statistics of '{self.layer}' still have {100 * self.share:.0f} % of "
            f"their initial values ({self.momentum:g}^{self.steps}): evaluation, which uses them, "
            "will be worse than training"
        )

    @property
    def hint(self) -> str:
        fitting = fitting_momentum(self.steps)
        if fitting >= LEAST_MOMENTUM:
            limit = SHARE_TO_REACH ** (1 / self.steps)
            return (
                f"use BatchNormalization: {{momentum: {fitting:g}}}, since "
                f"{SHARE_TO_REACH:g}^(1/{self.steps}) = {limit:.4g}"
            )
        needed = math.ceil(math.log(SHARE_TO_REACH) / math.log(LEAST_MOMENTUM))
        return (
            f"train for at least {needed} steps with BatchNormalization: "
            f"{{momentum: {LEAST_MOMENTUM:g}}}, or use smaller batches: more steps per epoch"
        )


def fitting_momentum(steps: int) -> float:
    """The momentum, rounded down, that leaves `SHARE_TO_REACH` of the initial values at most."""
    update = 1 - SHARE_TO_REACH ** (1 / steps)
    unit: float = 10.0 ** math.floor(math.log10(update))
    return float(1 - math.ceil(update / unit) * unit)


def cold_statistics(graph: Graph, train: Train, steps_per_epoch: int) -> ColdStatistics | None:
    """The layer whose moving statistics warm up least, if that is too little; else None.

    After n steps the initial values have the share momentum^n. A frozen layer trains with them, so
    evaluation does not differ. Batch renormalization trains with statistics that keep
    renorm_momentum^n: only a larger share in the statistics of evaluation makes a difference.
    """
    stopping = train.early_stopping
    epochs = min(train.epochs, stopping.patience + 1) if stopping else train.epochs
    steps = epochs * steps_per_epoch
    worst: ColdStatistics | None = None
    for leaf in graph.leaves:
        layer = leaf.layer
        if not isinstance(layer, BatchNormalization) or not layer.trainable:
            continue
        share = layer.momentum**steps - (layer.renorm_momentum**steps if layer.renorm else 0)
        if share > max(MOST_KEPT, worst.share if worst else 0):
            early = epochs < train.epochs
            worst = ColdStatistics(leaf.name, layer.momentum, steps, early, share)
    return worst


@dataclass(frozen=True, slots=True)
class ChanceLevel:
    """The largest accuracy that a constant prediction can reach, with two standard deviations."""

    train: float
    val: float

    @classmethod
    def of(cls, train_labels: torch.Tensor, val_labels: torch.Tensor) -> ChanceLevel:
        return cls(constant_accuracy(train_labels), constant_accuracy(val_labels))

    def is_stuck(self, record: EpochRecord) -> bool:
        """Whether validation is at chance although the training images are being learnt."""
        if record.val is None:
            return False
        learns = record.train.accuracy > self.train + LEARNT
        return learns and record.val.accuracy <= self.val

    def begins_to_be_stuck(self, records: Sequence[EpochRecord], epochs: int) -> bool:
        """Whether the last record is the first at which validation *stays* at chance.

        That is two epochs in a row, or the last epoch of the run. The answer depends only on the
        records, so that a resumed run does not repeat it.
        """
        stuck = [self.is_stuck(record) for record in records]
        *before, now = (first and second for first, second in pairwise([False, *stuck]))
        return not any(before) and (now or (stuck[-1] and len(records) == epochs))


def constant_accuracy(labels: torch.Tensor) -> float:
    """The accuracy of always predicting the most frequent class, plus two standard deviations."""
    share = float(labels.bincount().max()) / len(labels)
    return share + 2 * math.sqrt(share * (1 - share) / len(labels))
