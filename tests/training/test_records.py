"""Records: what metrics.jsonl keeps, and which is the best."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sepcnn.config.sections import BestMetric
from sepcnn.training.records import (
    EpochRecord,
    Scores,
    StepRecord,
    better,
    epoch_from_json,
    finite,
    to_json,
)

numbers = st.floats(allow_nan=False, allow_infinity=False)
scores = st.builds(Scores, loss=numbers, accuracy=numbers)
macro = st.none() | numbers
val_scores = st.builds(Scores, loss=numbers, accuracy=numbers, macro_recall=macro, macro_f1=macro)
epochs = st.builds(
    EpochRecord,
    epoch=st.integers(1, 10**6),
    step=st.integers(1, 10**9),
    train=scores,
    val=st.none() | val_scores,
    learning_rate=numbers,
    seconds=numbers,
    images_per_second=numbers,
    waiting=numbers,
)

RECORD = EpochRecord(
    epoch=2,
    step=94,
    train=Scores(loss=0.5, accuracy=0.75),
    val=Scores(loss=0.625, accuracy=0.5),
    learning_rate=0.001,
    seconds=3.5,
    images_per_second=857.0,
    waiting=0.125,
)


def test_a_step_is_one_flat_line() -> None:
    line = {"event": "step", "epoch": 1, "step": 7, "learning_rate": 0.01}
    assert to_json(StepRecord(epoch=1, step=7, learning_rate=0.01)) == line


def test_an_epoch_is_a_line_with_its_scores() -> None:
    assert to_json(RECORD) == {
        "event": "epoch",
        "epoch": 2,
        "step": 94,
        "train": {"loss": 0.5, "accuracy": 0.75},
        "val": {"loss": 0.625, "accuracy": 0.5},
        "learning_rate": 0.001,
        "seconds": 3.5,
        "images_per_second": 857.0,
        "waiting": 0.125,
    }


def test_macro_metrics_are_among_the_scores_where_they_are_measured() -> None:
    assert RECORD.val is not None
    record = replace(RECORD, val=replace(RECORD.val, macro_recall=0.25, macro_f1=0.125))
    val = {"loss": 0.625, "accuracy": 0.5, "macro_recall": 0.25, "macro_f1": 0.125}
    assert to_json(record)["val"] == val
    assert to_json(record)["train"] == {"loss": 0.5, "accuracy": 0.75}


@given(epochs)
def test_an_epoch_survives_json(record: EpochRecord) -> None:
    line = json.dumps(to_json(record), allow_nan=False)
    assert epoch_from_json(json.loads(line)) == record


def test_an_epoch_of_an_older_run_did_not_count_its_waiting() -> None:
    line = to_json(RECORD)
    del line["waiting"]
    assert epoch_from_json(line) == replace(RECORD, waiting=0.0)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf], ids=str)
def test_what_json_cannot_hold_is_null_and_reads_back_as_nan(value: float) -> None:
    record = replace(RECORD, train=Scores(loss=value, accuracy=0.1))
    line = json.loads(json.dumps(to_json(record), allow_nan=False))
    assert line["train"] == {"loss": None, "accuracy": 0.1}
    back = epoch_from_json(line)
    assert math.isnan(back.train.loss)
    assert replace(back, train=RECORD.train) == RECORD


def test_finite_reaches_every_level() -> None:
    value = {"a": [1, math.nan, (math.inf, "x")], "b": {"c": -math.inf, "d": None}}
    assert finite(value) == {"a": [1, None, [None, "x"]], "b": {"c": None, "d": None}}


def test_the_validation_scores_are_monitored_if_there_are_any() -> None:
    assert RECORD.monitored == RECORD.val
    assert replace(RECORD, val=None).monitored == RECORD.train


@pytest.mark.parametrize(
    ("new", "best", "expected"),
    [
        pytest.param((0.9, 0.6), (0.1, 0.5), True, id="higher-accuracy"),
        pytest.param((0.1, 0.5), (0.9, 0.6), False, id="lower-accuracy"),
        pytest.param((0.3, 0.5), (0.4, 0.5), True, id="lower-loss"),
        pytest.param((0.4, 0.5), (0.3, 0.5), False, id="higher-loss"),
        pytest.param((0.4, 0.5), (0.4, 0.5), False, id="equal-so-the-earlier"),
        pytest.param((math.nan, 0.6), (0.1, 0.5), True, id="accuracy-before-nan"),
        pytest.param((math.nan, 0.5), (0.1, 0.5), False, id="nan-against-a-number"),
        pytest.param((0.1, 0.5), (math.nan, 0.5), True, id="a-number-against-nan"),
        pytest.param((math.inf, 0.5), (math.nan, 0.5), False, id="infinity-against-nan"),
        pytest.param((math.nan, 0.5), (math.inf, 0.5), False, id="nan-against-infinity"),
    ],
)
def test_better_is_more_accurate_then_of_lower_loss_then_earlier(
    new: tuple[float, float], best: tuple[float, float], expected: bool
) -> None:
    record, old = (replace(RECORD, val=Scores(*pair)) for pair in (new, best))
    assert better(record, old) is expected


def test_the_first_record_is_the_best() -> None:
    assert better(RECORD, None)


@given(st.lists(epochs, min_size=1, max_size=8))
def test_reading_records_back_changes_no_choice(records: list[EpochRecord]) -> None:
    """A resumed run sees the same best epoch as one that was never interrupted."""

    def best(of: list[EpochRecord]) -> int:
        chosen = 0
        for index, record in enumerate(of):
            if better(record, of[chosen]):
                chosen = index
        return chosen

    blown = [replace(r, val=Scores(math.inf, 0.5)) if i % 2 else r for i, r in enumerate(records)]
    assert best([epoch_from_json(to_json(record)) for record in blown]) == best(blown)


BETTER = {
    "accuracy": Scores(0.5, 0.9, 0.2, 0.2),
    "loss": Scores(0.1, 0.5, 0.2, 0.2),
    "macro_recall": Scores(0.5, 0.5, 0.7, 0.2),
    "macro_f1": Scores(0.5, 0.5, 0.2, 0.7),
}


@pytest.mark.parametrize("by", BETTER)
def test_what_decides_about_the_best(by: BestMetric) -> None:
    records = {name: replace(RECORD, val=scores) for name, scores in BETTER.items()}
    best = records[by]
    for name, record in records.items():
        assert better(best, record, by) is (name != by)
        assert not better(record, best, by)


@pytest.mark.parametrize("by", BETTER)
def test_a_tie_is_decided_by_the_loss_and_then_by_who_was_first(by: BestMetric) -> None:
    record = replace(RECORD, val=Scores(0.4, 0.5, 0.5, 0.5))
    lower = replace(RECORD, val=Scores(0.3, 0.5, 0.5, 0.5))
    assert not better(record, record, by)
    assert better(lower, record, by)
    assert not better(record, lower, by)


def test_of_equal_losses_the_higher_accuracy_is_better() -> None:
    records = [replace(RECORD, val=Scores(0.4, accuracy)) for accuracy in (0.5, 0.6)]
    assert better(records[1], records[0], "loss")
    assert not better(records[0], records[1], "loss")


def test_a_loss_that_is_not_finite_is_never_the_best() -> None:
    records = [replace(RECORD, val=Scores(loss, 0.5)) for loss in (9.0, math.nan, math.inf)]
    assert not better(records[1], records[0], "loss")
    assert better(records[0], records[1], "loss")
    assert not better(records[1], records[2], "loss")
    assert not better(records[2], records[1], "loss")
