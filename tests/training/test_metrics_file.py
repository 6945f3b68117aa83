"""metrics.jsonl after damage: steps are kept, epochs come from the checkpoint."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sepcnn.errors import InputError
from sepcnn.training.metrics_file import restore
from sepcnn.training.records import EpochRecord, Scores, StepRecord, to_json

EPOCHS = [
    EpochRecord(n, 10 * n, Scores(1 / n, 0.5), Scores(1.0, 0.25), 0.01, 1.0, 99.0)
    for n in (1, 2, 3)
]
STATE: Any = SimpleNamespace(epochs=EPOCHS, step=34)
"""stopped in the fourth epoch"""


def step(number: int) -> str:
    return json.dumps(to_json(StepRecord(1 + (number - 1) // 10, number, 0.01)))


def epoch(number: int, **changed: object) -> str:
    return json.dumps({**to_json(EPOCHS[number - 1]), **changed})


WRITTEN = [step(5), epoch(1), step(15), epoch(2), epoch(3), step(33)]


def restored(path: Path, *lines: str) -> tuple[list[str], str]:
    path.write_text("".join(f"{line}\n" for line in lines))
    found = restore(path, STATE)
    return found.text.splitlines(), found.note.removeprefix(f"{path}: ")


def test_a_complete_file_is_kept(tmp_path: Path) -> None:
    assert restored(tmp_path / "m", *WRITTEN) == (WRITTEN, "")


def test_lines_after_the_checkpoint_are_cut_silently(tmp_path: Path) -> None:
    later = [step(40), json.dumps(to_json(replace(EPOCHS[0], epoch=4, step=40))), '{"event": "st']
    assert restored(tmp_path / "m", *WRITTEN, *later) == (WRITTEN, "")


@pytest.mark.parametrize(
    "damage",
    [
        '{"event": "step", "step": Infinity}',
        '{"event": "step", "step": 1e400}',
        '{"event": "step", "step": NaN}',
        '{"event": "step", "step": 3, "loss": NaN}',
        '{"event": "step", "step": -3}',
        '{"event": "step", "step": true}',
        '{"event": "step", "step": "3"}',
        '{"event": "step", "step": 3.5}',
        '{"event": "step"}',
        '{"event": "step", "step": ' + "9" * 5000 + "}",
        '{"event": "epoch", "epoch": Infinity, "step": 10}',
        '{"event": "epoch", "epoch": null, "step": 10}',
        '{"event": ["epoch"], "step": 3}',
        '{"step": 3}',
        "[" * 100_000,
        "[]",
        "3",
        "null",
        "\0\0\0\0",
        "\N{REPLACEMENT CHARACTER}\u2028",
        step(5)[:20],
    ],
    ids=lambda line: line[:30].encode("unicode_escape").decode(),
)
def test_a_damaged_line_is_left_out(tmp_path: Path, damage: str) -> None:
    expected = (WRITTEN, "1 damaged line left out")
    assert restored(tmp_path / "m", *WRITTEN[:2], damage, *WRITTEN[2:]) == expected


def test_lost_epochs_are_restored(tmp_path: Path) -> None:
    kept = [line for line in WRITTEN if line != epoch(2)]
    assert restored(tmp_path / "m", *kept) == (WRITTEN, "1 epoch restored from the checkpoint")
    all_lost = ([epoch(1), epoch(2), epoch(3)], "3 epochs restored from the checkpoint")
    assert restored(tmp_path / "m") == all_lost
    (tmp_path / "m").unlink()
    found = restore(tmp_path / "m", STATE)
    assert found.text.splitlines() == all_lost[0]
    assert found.note == (
        f"{tmp_path}/m: the file was missing, 3 epochs restored from the checkpoint"
    )


def test_a_file_without_its_beginning_or_order_is_sorted(tmp_path: Path) -> None:
    assert restored(tmp_path / "m", *reversed(WRITTEN), *WRITTEN) == (WRITTEN, "")


def test_the_file_of_another_run_is_replaced(tmp_path: Path) -> None:
    other = [step(5), epoch(1, train={"loss": 0.3, "accuracy": 0.5})]
    lines, note = restored(tmp_path / "m", *other)
    assert lines == [epoch(1), epoch(2), epoch(3)]
    assert note.endswith("m is of another run: replaced by the epochs of the checkpoint")


def test_unknown_events_are_kept(tmp_path: Path) -> None:
    """As from a newer version."""
    line = '{"event": "saved", "step": 7}'
    assert restored(tmp_path / "m", line, *WRITTEN[1:])[0] == [line, *WRITTEN[1:]]


def test_a_folder_in_its_place_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read: is a directory"):
        restore(tmp_path, STATE)
