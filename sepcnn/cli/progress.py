"""The progress of a run: its bar, and a line for each epoch whose columns line up."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from sepcnn.cli.console import (
    BAR,
    NAMES_OF_SCORES,
    PLAIN_WIDTH,
    SECONDS_BETWEEN_PLAIN_LINES,
    bar_format,
    duration,
    named,
    new_bar,
    note,
    notes,
    percent,
    say,
    width,
)
from sepcnn.training.records import EpochRecord, Scores

SHORT_BAR, WIDE = 8, 100
"""columns of the bar where the terminal has less than so many columns"""
WAITING_SHOWN = 0.05
"""share of an epoch above which waiting for images is worth a word, if it is over a second"""

Part = tuple[int, str]
"""a part of a line: how soon it may be left out (0: never, the highest first), and its text"""


def fitted(parts: Sequence[Part], columns: int) -> str:
    """The parts in a line, without those that may be left out where it would not fit."""
    left = [part for part in parts if part[1]]
    while len(line := "  ".join(text for _, text in left)) > columns and any(r for r, _ in left):
        left.remove(max(left, key=lambda part: part[0]))
    return line


@dataclass(frozen=True, slots=True)
class Column:
    """What a line says of an epoch at one place."""

    rank: int
    """how soon it is left out of all lines where they would not fit; 0: never"""
    text: str
    room: int
    """columns that are kept for it, whatever it says: no number decides about the line's shape"""


def scored(rank: int, scores: Scores, name: str, lead: str = "") -> Column:
    """One of the scores; ``lead`` says of which images."""
    number: float = getattr(scores, name)
    shown = f"{number:6.4f}" if name == "loss" else percent(number).replace("100.0", "100")
    label = f"{lead}{NAMES_OF_SCORES.get(name, name)}"
    return Column(rank, f"{label} {shown:>6}", len(label) + 7)


def epoch_line(
    record: EpochRecord, epochs: int, macro: str | None, best: bool, columns: int
) -> str:
    """One line for a finished epoch; ``macro`` names a score to show of the validation images.

    A long wait for images is told behind it, or below where there is no room.
    """
    train, val = record.train, record.val
    count = f"epoch {record.epoch:>{len(str(epochs))}}/{epochs}"
    line = [Column(0, count, len(count))]
    if val:
        line += [scored(2, train, "loss"), scored(3, train, "accuracy")]
        line += [scored(0, val, "loss", "val "), scored(0, val, "accuracy")]
        line += [scored(1, val, macro)] if macro else []
    else:
        line += [scored(0, train, "loss"), scored(0, train, "accuracy")]
    line += [Column(5, f"{speed(record.images_per_second):>15}", 16)]
    line += [Column(4, f"{duration(record.seconds):>5}", 7)]
    line += [Column(0, "best" if best else "", len("best"))]
    while sum(2 + one.room for one in line) - 2 > columns and any(one.rank for one in line):
        line.remove(max(line, key=lambda one: one.rank))
    text = "  ".join(one.text for one in line).rstrip()
    if record.waiting <= WAITING_SHOWN or record.waiting * record.seconds <= 1:
        return text
    waiting = f"  {percent(record.waiting)} waiting for images"
    return f"{text}{waiting}" if len(text + waiting) <= columns else f"{text}\n{waiting}"


def speed(images_per_second: float) -> str:
    return f"{images_per_second:,.0f} images/s"


class Display:
    """The progress of a run: a bar on a terminal, plain lines elsewhere."""

    def __init__(
        self,
        epochs: int,
        steps_per_epoch: int,
        batch_size: int,
        first_step: int,
        macro: str | None = None,
    ) -> None:
        """``macro`` names a score that is shown of each epoch beside loss and accuracy."""
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

    def wants_scores(self) -> bool:
        """Whether the next step will be shown; reading scores waits for a GPU."""
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
            (0, named(running, "accuracy")),
            (3, speed(pace * self.batch_size)),
            (1, f"{left} left"),
        ]
        text = f"epoch {epoch}/{self.epochs}"
        if not self.live:
            steps = (0, f"step {done}/{self.steps_per_epoch}")
            note(fitted([(0, text), steps, *shown], PLAIN_WIDTH))
            return
        columns = width(stderr=True)
        bar = BAR if columns >= WIDE else SHORT_BAR
        if self.bar is None:
            self.bar = new_bar(self.steps_per_epoch, bar)
        self.bar.n = done
        self.bar.bar_format = bar_format(bar)  # a terminal may be made wider or narrower
        room = columns - len("100%|| ") - bar - 1  # the cursor needs a column, too
        self.bar.set_description_str(fitted([(0, text), *shown], room))

    def epoch(self, record: EpochRecord, best: bool) -> None:
        """Show a finished epoch."""
        self.close()
        say(epoch_line(record, self.epochs, self.macro, best, width()))

    def note(self, text: str) -> None:
        """Say what people should know of the run; the bar comes again with the next step."""
        self.close()
        notes([text])

    def close(self) -> None:
        """Remove the bar, so that lines can follow."""
        if self.bar is not None:
            self.bar.close()
            self.bar = None
