"""All that is printed for people: notes, problems, tables and the progress of a run.

Results go to standard output, everything about the work itself to standard error. The only
importer of rich and tqdm. Colour follows the terminal and NO_COLOR.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from typing import Any, Self

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text
from tqdm import tqdm

from sepcnn.errors import ConfigError, SepcnnError
from sepcnn.record import EpochRecord, Scores

PLAIN_WIDTH = 160
"""columns of tables that do not go to a terminal"""
SEVERITY_STYLES = {"error": "bold red", "warning": "bold yellow", "note": "bold"}
SECONDS_BETWEEN_PLAIN_LINES = 10.0
BAR, SHORT_BAR, WIDE = 20, 8, 100
"""columns of the progress bar, also where the terminal has less than so many columns"""
WAITING_SHOWN = 0.05
"""share of an epoch above which waiting for images is worth a word, if it is over a second"""


class QuietConsole(Console):
    """A console whose work goes on when the reader of its output has gone, as in ``| head``."""

    def on_broken_pipe(self) -> None:
        stop_printing()


def stop_printing() -> None:
    """Send standard output nowhere: its reader has gone."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _console(stderr: bool = False) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else PLAIN_WIDTH
    return QuietConsole(file=stream, width=width, highlight=False, soft_wrap=True)


def width(*, stderr: bool = False) -> int:
    """Columns of standard output, or of standard error."""
    return _console(stderr).width


def say(text: str = "") -> None:
    """A line of the result."""
    _console().print(Text(text))


def data(text: str) -> None:
    """A result for programs, to the letter."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        stop_printing()


def note(text: str) -> None:
    """A line about the work."""
    _console(stderr=True).print(Text(text, style="dim"))


def heading(text: str, severity: str) -> None:
    """The head of a list of findings."""
    _console().print(Text(f"\n{text}", style=SEVERITY_STYLES[severity]))


def error(problem: SepcnnError) -> None:
    """What is wrong, where, and what to do about it."""
    console = _console(stderr=True)
    if isinstance(problem, ConfigError):
        for one in problem.problems:
            first, *rest = str(one).split("\n")
            console.print(Text(first, style="bold red"))
            for line in rest:
                caret = set(line.strip("| ")) == {"^"}
                console.print(Text(line, style="red" if caret else ""))
        if len(problem.problems) > 1:
            console.print(Text(f"{len(problem.problems)} problems", style="bold"))
        return
    console.print(Text.assemble(("error: ", "bold red"), str(problem)))


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1) -> None:
    """A table; the first ``left`` columns are text, which gives way first, the others numbers."""
    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for index, column in enumerate(columns):
        widest = max(len(cell) for cell in (column, *(row[index] for row in rows)))
        if index < left:
            shown.add_column(Text(column), overflow="fold")
        else:
            shown.add_column(Text(column), justify="right", no_wrap=True, min_width=widest)
    for row in rows:
        shown.add_row(*map(Text, row))  # a name may have [brackets], which are no markup
    _console().print(shown)


def notes(texts: Sequence[str]) -> None:
    """What a user should know though it is no error."""
    for text in texts:
        note(f"note: {text}")


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def count(number: int | None) -> str:
    return "?" if number is None else f"{number:,}"


def scores(loss: float, accuracy: float) -> str:
    return f"loss {loss:.4f}  accuracy {percent(accuracy)}"


NAMES_OF_SCORES = {"macro_recall": "macro recall", "macro_f1": "macro F1"}


def named(scores: Scores, name: str) -> str:
    """One of the scores, as in ``macro recall 61.2 %``."""
    number: float | None = getattr(scores, name)
    assert number is not None
    if name == "loss":
        return f"loss {number:.4f}"
    return f"{NAMES_OF_SCORES.get(name, name)} {percent(number)}"


def duration(seconds: float) -> str:
    """``1:05`` or ``2:00:10``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


Part = tuple[int, str]
"""a part of a line: how soon it may be left out (0: never, the highest first), and its text"""


def fitted(parts: Sequence[Part], columns: int) -> str:
    """The parts in a line, without those that may be left out where it would not fit."""
    left = [part for part in parts if part[1]]
    while len(line := "  ".join(text for _, text in left)) > columns and any(r for r, _ in left):
        left.remove(max(left, key=lambda part: part[0]))
    return line


def epoch_line(
    record: EpochRecord, epochs: int, macro: str | None, best: bool, columns: int
) -> str:
    """One line for a finished epoch; ``macro`` names a score to show of the validation images."""
    train, val = record.train, record.val
    parts: list[Part] = [(0, f"epoch {record.epoch:>{len(str(epochs))}}/{epochs}")]
    if val:
        parts += [(2, f"loss {train.loss:.4f}"), (3, named(train, "accuracy"))]
        parts += [(0, f"val {scores(val.loss, val.accuracy)}")]
        parts += [(1, named(val, macro))] if macro else []
    else:
        parts += [(0, scores(train.loss, train.accuracy))]
    parts += [(5, speed(record.images_per_second)), (4, duration(record.seconds))]
    if record.waiting > WAITING_SHOWN and record.waiting * record.seconds > 1:
        parts += [(1, f"{percent(record.waiting)} waiting for images")]
    return fitted([*parts, (0, "best" if best else "")], columns)


def speed(images_per_second: float) -> str:
    return f"{images_per_second:,.0f} images/s"


class Reading:
    """How far the reading of images is; nothing where it takes no time. A `Watch`."""

    def __init__(self) -> None:
        self.live = sys.stderr.isatty()
        self.last_line = time.monotonic()
        self.bar: tqdm[Any] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.close()

    def __call__(self, done: int, total: int) -> None:
        wait = 0.1 if self.live else SECONDS_BETWEEN_PLAIN_LINES
        if time.monotonic() - self.last_line < wait:
            return
        self.last_line = time.monotonic()
        text = f"reading images {done:,}/{total:,}"
        if not self.live:
            note(text)
            return
        if self.bar is None:
            self.bar = _bar(total)
        self.bar.n, self.bar.total = done, total  # looking at files, then decoding them
        self.bar.set_description_str(text)


def bar_format(columns: int) -> str:
    return f"{{percentage:3.0f}}%|{{bar:{columns}}}| {{desc}}"


def _bar(total: int, columns: int = BAR) -> tqdm[Any]:
    return tqdm(
        total=total,
        bar_format=bar_format(columns),
        leave=False,
        file=sys.stderr,
        dynamic_ncols=True,
    )


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
        self.bar: tqdm[Any] | None = None

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
            self.bar = _bar(self.steps_per_epoch, bar)
        self.bar.n = done
        self.bar.bar_format = bar_format(bar)  # a terminal may be made wider or narrower
        room = columns - len("100%|| ") - bar - 1  # the cursor needs a column, too
        self.bar.set_description_str(fitted([(0, text), *shown], room))

    def epoch(self, record: EpochRecord, best: bool) -> None:
        """Show a finished epoch."""
        self.close()
        say(epoch_line(record, self.epochs, self.macro, best, width()))

    def close(self) -> None:
        """Remove the bar, so that lines can follow."""
        if self.bar is not None:
            self.bar.close()
            self.bar = None
