"""Records: the numbers of one step or epoch. The loop yields them, metrics.jsonl stores them."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from sepcnn.config.sections import BestMetric


@dataclass(frozen=True, slots=True)
class Scores:
    """Means over a set of images; accuracy and macro metrics are fractions."""

    loss: float
    accuracy: float
    macro_recall: float | None = None
    """mean recall of the classes; None for training images and in records of older versions"""
    macro_f1: float | None = None
    """mean F1 of the classes; None as for macro_recall"""


@dataclass(frozen=True, slots=True)
class StepRecord:
    """One training step. Loss and accuracy stay on the device, in ``State.sums``."""

    epoch: int
    """counts from 1"""
    step: int
    """number of completed steps of the run"""
    learning_rate: float


@dataclass(frozen=True, slots=True)
class EpochRecord:
    """One finished epoch."""

    epoch: int
    """counts from 1"""
    step: int
    """number of completed steps of the run"""
    train: Scores
    """means over the steps of the epoch, each with the weights before that step"""
    val: Scores | None
    """with the weights after the epoch; None without validation images"""
    learning_rate: float
    """learning rate of the last step"""
    seconds: float
    """training time without validation and without saving checkpoints, since the start of the epoch
    or the last resume"""
    images_per_second: float
    """training images per second"""
    waiting: float = 0.0
    """fraction of ``seconds`` spent on reading images; 0 in records of older versions"""

    @property
    def monitored(self) -> Scores:
        """The scores that decide the best epoch: validation if there is any, else training."""
        return self.val or self.train


SPLITS_SCORED = ("train", "val")


def to_json(record: StepRecord | EpochRecord) -> dict[str, Any]:
    """The record as a line of metrics.jsonl. NaN and infinity become null."""
    event = "epoch" if isinstance(record, EpochRecord) else "step"
    line = asdict(record)
    for key in SPLITS_SCORED:
        if line.get(key):
            line[key] = {name: number for name, number in line[key].items() if number is not None}
    return {"event": event, **finite(line)}


def epoch_from_json(line: dict[str, Any]) -> EpochRecord:
    """The inverse of `to_json` for epochs."""
    fields = {key: value for key, value in line.items() if key != "event"}
    scores = {key: _scores(fields.pop(key)) for key in SPLITS_SCORED}
    train = scores["train"]
    assert train is not None
    return EpochRecord(**fields, train=train, val=scores["val"])


def _scores(value: dict[str, float | None] | None) -> Scores | None:
    if value is None:
        return None
    numbers = {key: math.nan if number is None else number for key, number in value.items()}
    return Scores(**numbers)


def finite(value: Any) -> Any:
    """The same structure with None for NaN and infinity, which JSON cannot represent."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def better(record: EpochRecord, best: EpochRecord | None, by: BestMetric = "accuracy") -> bool:
    """Whether a record is better: by the metric, then by loss. The earlier record wins a tie."""
    return best is None or _rank(record.monitored, by) > _rank(best.monitored, by)


def _rank(scores: Scores, by: BestMetric) -> tuple[float, float]:
    # A record that was read back has NaN for infinity, so both are ranked last.
    by_loss = -scores.loss if math.isfinite(scores.loss) else -math.inf
    if by == "loss":
        return by_loss, scores.accuracy
    decides: float | None = getattr(scores, by)
    return -math.inf if decides is None else decides, by_loss
