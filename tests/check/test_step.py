"""The estimated duration of a run: from a typical step, not from the first ones."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sepcnn.check import step
from sepcnn.config import loading
from sepcnn.training import loop
from sepcnn.training.records import StepRecord
from tests.check.photos import context_of, write_config, write_photos


@pytest.mark.parametrize("epochs", [1, 50], ids="{} epochs of one step".format)
def test_slow_first_steps_do_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, epochs: int
) -> None:
    write_photos(tmp_path / "photos", cat=30, dog=30)
    path = write_config(tmp_path)
    context = context_of(
        loading.load_config(path, [f"train.epochs={epochs}", "train.batch_size=60"])
    )
    slow, original = 0.3, loop.train

    def slow_at_first(*arguments: Any) -> Iterator[object]:
        for record in original(*arguments):
            if isinstance(record, StepRecord) and record.step <= step.WARM_UP:
                time.sleep(slow)
            yield record

    monkeypatch.setattr(loop, "train", slow_at_first)
    assert context.dataset
    _, seconds = step.try_steps(context, context.dataset)
    assert (seconds >= slow) == (epochs == 1)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "1 s"),
        (19.6, "20 s"),
        (47, "50 s"),
        (100, "2 minutes"),
        (1580, "25 minutes"),
        (9000, "2.5 hours"),
        (90000, "25 hours"),
    ],
)
def test_durations_are_rounded(seconds: float, text: str) -> None:
    assert step.rounded_duration(seconds) == text
