"""metrics.jsonl: what a resumed run keeps of it, and what its checkpoint restores."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sepcnn.errors import InputError
from sepcnn.file_kind import system_error
from sepcnn.training.records import EpochRecord, to_json
from sepcnn.training.state import State
from sepcnn.wording import counted

METRICS = "metrics.jsonl"
IDENTITY = ("step", "train")
"""fields that differ between epochs of different runs"""


@dataclass(frozen=True, slots=True)
class Restored:
    """The content of metrics.jsonl at the step of a checkpoint."""

    text: str
    note: str = ""
    """how the file differed from what the run had written; empty if it did not"""


def restore(path: Path, state: State) -> Restored:
    """Combine the steps in the file with the epochs of the checkpoint, in the order of steps.

    Later lines are left out, since those steps are repeated. Errors: `InputError` if the file
    cannot be read.
    """
    lines = read_lines(path)
    records = [(line, parse(line)) for line in lines or [] if line]
    # A run that was killed while it wrote a line leaves an incomplete last one.
    damaged = sum(record is None for _, record in records[:-1])
    known = {record.epoch: to_json(record) for record in state.epochs}
    written = {r["epoch"]: r for _, r in records if r and r["event"] == "epoch"}
    recorded = known.keys() & written.keys()
    if any(known[n][key] != written[n].get(key) for n in recorded for key in IDENTITY):
        note = f"{path} is of another run: replaced by the epochs of the checkpoint"
        return Restored(as_text([], state.epochs), note)
    steps = {
        record["step"]: line
        for line, record in records
        if record and record["event"] != "epoch" and record["step"] <= state.step
    }
    notes = [f"{counted(damaged, 'damaged line')} left out"] if damaged else []
    if missing := len(known) - len(recorded):
        notes += [f"{counted(missing, 'epoch')} restored from the checkpoint"]
    if notes and lines is None:
        notes.insert(0, "the file was missing")
    note = f"{path}: {', '.join(notes)}" if notes else ""
    return Restored(as_text(sorted(steps.items()), state.epochs), note)


def as_text(steps: list[tuple[int, str]], epochs: list[EpochRecord]) -> str:
    """The lines of steps and epochs; an epoch follows its last step."""
    lines = [(step, 0, line) for step, line in steps]
    lines += [(record.step, 1, json.dumps(to_json(record))) for record in epochs]
    return "".join(f"{line}\n" for *_, line in sorted(lines))


def parse(line: str) -> dict[str, Any] | None:
    """A record; None if the line is damaged. NaN and infinity are not JSON."""
    try:
        record = json.loads(line, parse_constant=refuse)
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict) or not is_count(record.get("step")):
        return None
    if record.get("event") == "epoch" and not is_count(record.get("epoch")):
        return None
    return record if isinstance(record.get("event"), str) else None


def refuse(constant: str) -> None:
    raise ValueError(constant)


def is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def read_lines(path: Path) -> list[str] | None:
    """The lines of a text file, which may be damaged; None without a file.

    Errors: `InputError`.
    """
    try:
        return path.read_text(encoding="utf-8", errors="replace").split("\n")
    except FileNotFoundError:
        return None
    except OSError as error:
        reason = system_error(path, error)
        raise InputError(f"{path} cannot be read: {reason}", "move it away, then resume") from None
