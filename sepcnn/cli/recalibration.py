"""``sepcnn eval --recalibrate``: re-estimate moving statistics, and report the difference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sepcnn.cli import console
from sepcnn.config.config import Config
from sepcnn.data.dataset import Dataset
from sepcnn.errors import InputError
from sepcnn.nn.model import Net
from sepcnn.training import checkpoint
from sepcnn.training.evaluation import Evaluation
from sepcnn.training.moving_statistics import is_affected, recalibrate
from sepcnn.wording import counted

NOTHING_WRITTEN = "no file was changed; --out FILE writes a checkpoint with these statistics"


@dataclass(frozen=True, slots=True)
class Recalibration:
    """A finished recalibration."""

    before: Evaluation
    """with the moving statistics of the checkpoint"""
    source: dict[str, Any]
    """the images that the new statistics come from: their number, and the split's fingerprint"""

    def describe(self) -> str:
        scores = console.scores(self.before.loss, self.before.accuracy)
        images = counted(self.source["images"], "training image")
        return f"with its own statistics: {scores}\nrecalibrated on {images}:"

    def to_json(self) -> dict[str, Any]:
        before = {"loss": self.before.loss, "accuracy": self.before.accuracy}
        return {checkpoint.RECALIBRATED: {**self.source, "before": before}}


def recalibrate_net(
    net: Net, dataset: Dataset, settings: Config, before: Evaluation
) -> Recalibration:
    """Re-estimate the moving statistics of the model from the training images.

    Errors: `InputError` if training and evaluation of the model use the same statistics.
    """
    if not is_affected(net):
        message = "there is nothing to recalibrate: no layer is a BatchNormalization that trains"
        hint = "batch renormalization trains with its moving statistics: evaluation uses the same"
        raise InputError(message, hint)
    images = dataset.split("train")
    used = recalibrate(net, images.to(next(net.parameters()).device), settings)
    return Recalibration(before, {"images": used, "fingerprint": images.fingerprint().hex()})
