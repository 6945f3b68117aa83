"""Records: the numbers of one step or epoch, as the loop yields and metrics.jsonl keeps them."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from sepcnn.config.sections import BestMetric


@dataclass(frozen=True, slots=True)
class Scores:
    """Mean loss and accuracy over some images; shares are fractions."""

    loss: float
    accuracy: float
    macro_recall: float | None = None
    """mean over the classes, each counting alike; None for training images, and where it was not
    measured yet"""
    macro_f1: float | None = None
    """as macro_recall"""


@dataclass(frozen=True, slots=True)
class StepRecord:
    """One training step. Its running means stay on the device until someone asks for them."""

    epoch: int
    """counts from 1"""
    step: int
    """completed steps of the run"""
    learning_rate: float


@dataclass(frozen=True, slots=True)
class EpochRecord:
    """One finished epoch."""

    epoch: int
    """counts from 1"""
    step: int
    """completed steps of the run"""
    train: Scores
    """means over the epoch's steps, as the net was at each"""
    val: Scores | None
    """after the epoch; None without a validation set"""
    learning_rate: float
    """of the last step"""
    seconds: float
    """of training, without validation; since the last resume if there was one within"""
    images_per_second: float
    """of training"""
    waiting: float = 0.0
    """share of the seconds in which the images of the next step were read; 0 in old records"""

    @property
    def monitored(self) -> Scores:
        """What decides about ``best``: validation if there is one."""
        return self.val or self.train


SPLITS_SCORED = ("train", "val")


def to_json(record: StepRecord | EpochRecord) -> dict[str, Any]:
    """A line of metrics.jsonl; NaN and infinity are null."""
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
    """The same structure with NaN and infinity as None, which JSON can hold."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def better(record: EpochRecord, best: EpochRecord | None, by: BestMetric = "accuracy") -> bool:
    """Whether a record is the new best: by what decides, then lower loss, then earlier."""
    return best is None or _rank(record.monitored, by) > _rank(best.monitored, by)


def _rank(scores: Scores, by: BestMetric) -> tuple[float, float]:
    # NaN and infinity count alike: a record that was read back has NaN for both.
    by_loss = -scores.loss if math.isfinite(scores.loss) else -math.inf
    if by == "loss":
        return by_loss, scores.accuracy
    decides: float | None = getattr(scores, by)
    return -math.inf if decides is None else decides, by_loss
