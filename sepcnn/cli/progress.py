"""The progress of a run: a bar, and a line for each epoch with aligned columns."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from sepcnn.cli.console import (
    BAR,
    PLAIN_WIDTH,
    SCORE_NAMES,
    SECONDS_BETWEEN_PLAIN_LINES,
    bar_format,
    duration,
    named_score,
    new_bar,
    note,
    notes,
    percent,
    say,
    width,
)
from sepcnn.training.records import EpochRecord, Scores

SHORT_BAR, WIDE = 8, 100
"""columns of the bar on a terminal that has fewer columns than ``WIDE``"""
WAITING_SHOWN = 0.05
"""waiting for images is printed above this share of an epoch, if it takes over a second"""

Part = tuple[int, str]
"""a part of a line: its rank (the highest is dropped first, 0 never) and its text"""


def join_fitting(parts: Sequence[Part], columns: int) -> str:
    """Join the parts to a line. If it is too long, drop parts in order of their rank."""
    kept = [part for part in parts if part[1]]
    while len(line := "  ".join(text for _, text in kept)) > columns and any(r for r, _ in kept):
        kept.remove(max(kept, key=lambda part: part[0]))
    return line


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the epoch lines, with the text of one epoch."""

    rank: int
    """if the lines do not fit, the column of highest rank is dropped first; 0: never"""
    text: str
    width: int
    """fixed, so that the layout does not depend on the numbers"""


def score_column(rank: int, scores: Scores, name: str, prefix: str = "") -> Column:
    """Return a column for one of the scores; ``prefix`` names the split."""
    number: float = getattr(scores, name)
    shown = f"{number:6.4f}" if name == "loss" else percent(number).replace("100.0", "100")
    label = f"{prefix}{SCORE_NAMES.get(name, name)}"
    return Column(rank, f"{label} {shown:>6}", len(label) + 7)


def epoch_line(
    record: EpochRecord, epochs: int, macro: str | None, best: bool, columns: int
) -> str:
    """Return the line of a finished epoch.

    ``macro`` names another validation score to show. A long wait for images is added to the line,
    or below it if the line is full.
    """
    train, val = record.train, record.val
    count = f"epoch {record.epoch:>{len(str(epochs))}}/{epochs}"
    line = [Column(0, count, len(count))]
    if val:
        line += [score_column(2, train, "loss"), score_column(3, train, "accuracy")]
        line += [score_column(0, val, "loss", "val "), score_column(0, val, "accuracy")]
        line += [score_column(1, val, macro)] if macro else []
    else:
        line += [score_column(0, train, "loss"), score_column(0, train, "accuracy")]
    line += [Column(5, f"{speed(record.images_per_second):>15}", 16)]
    line += [Column(4, f"{duration(record.seconds):>5}", 7)]
    line += [Column(0, "best" if best else "", len("best"))]
    while sum(2 + column.width for column in line) - 2 > columns and any(c.rank for c in line):
        line.remove(max(line, key=lambda column: column.rank))
    text = "  ".join(column.text for column in line).rstrip()
    if record.waiting <= WAITING_SHOWN or record.waiting * record.seconds <= 1:
        return text
    waiting = f"  {percent(record.waiting)} waiting for images"
    return f"{text}{waiting}" if len(text + waiting) <= columns else f"{text}\n{waiting}"


def speed(images_per_second: float) -> str:
    return f"{images_per_second:,.0f} images/s"


class Display:
    """Show the progress of a run: a bar on a terminal, else plain lines."""

    def __init__(
        self,
        epochs: int,
        steps_per_epoch: int,
        batch_size: int,
        first_step: int,
        macro: str | None = None,
    ) -> None:
        """``macro`` names a validation score to show in addition to loss and accuracy."""
        self.macro = macro
        self.epochs, self.steps_per_epoch, self.batch_size = epochs, steps_per_epoch, batch_size
        self.total_steps = epochs * steps_per_epoch
        self.first_step = first_step
        self.started = self.last_line = time.monotonic()
        self.live = sys.stderr.isatty()
        self.bar: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def is_due(self) -> bool:
        """Return whether it is time to show a step. Reading its scores waits for a GPU."""
        wait = 0.2 if self.live else SECONDS_BETWEEN_PLAIN_LINES
        first = self.last_line == self.started
        return first or time.monotonic() - self.last_line >= wait

    def step(self, epoch: int, step: int, running: Scores) -> None:
        """Show a finished step."""
        self.last_line = time.monotonic()
        done = step - (epoch - 1) * self.steps_per_epoch
        seconds = self.last_line - self.started
        pace = (step - self.first_step) / seconds if seconds > 0 else 0.0
        left = duration((self.total_steps - step) / pace) if pace else "?"
        shown: list[Part] = [
            (2, f"loss {running.loss:.4f}"),
            (0, named_score(running, "accuracy")),
            (3, speed(pace * self.batch_size)),
            (1, f"{left} left"),
        ]
        text = f"epoch {epoch}/{self.epochs}"
        if not self.live:
            steps = (0, f"step {done}/{self.steps_per_epoch}")
            note(join_fitting([(0, text), steps, *shown], PLAIN_WIDTH))
            return
        columns = width(stderr=True)
        bar = BAR if columns >= WIDE else SHORT_BAR
        if self.bar is None:
            self.bar = new_bar(self.steps_per_epoch, bar)
        self.bar.n = done
        self.bar.bar_format = bar_format(bar)  # the user may resize the terminal
        space = columns - len("100%|| ") - bar - 1  # one column for the cursor
        self.bar.set_description_str(join_fitting([(0, text), *shown], space))

    def epoch(self, record: EpochRecord, best: bool) -> None:
        """Show a finished epoch."""
        self.close()
        say(epoch_line(record, self.epochs, self.macro, best, width()))

    def note(self, text: str) -> None:
        """Print a note; the bar reappears with the next step."""
        self.close()
        notes([text])

    def close(self) -> None:
        """Remove the bar, so that other lines can be printed."""
        if self.bar is not None:
            self.bar.close()
            self.bar = None
