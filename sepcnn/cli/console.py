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
from sepcnn.training.records import Scores

PLAIN_WIDTH = 160
"""columns of tables that do not go to a terminal"""
SEVERITY_STYLES = {"error": "bold red", "warning": "bold yellow", "note": "bold"}
SECONDS_BETWEEN_PLAIN_LINES = 10.0
BAR = 20
"""columns of a progress bar"""


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


class Reading:
    """How far the reading of images is; nothing where it takes no time. A `Watch`."""

    def __init__(self) -> None:
        self.live = sys.stderr.isatty()
        self.last_line = time.monotonic()
        self.bar: tqdm[Any] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove the bar, so that lines can follow."""
        if self.bar is not None:
            self.bar.close()
            self.bar = None

    def note(self, text: str) -> None:
        """Print a line about the work."""
        self.close()
        note(text)

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
            self.bar = new_bar(total)
        self.bar.n, self.bar.total = done, total  # looking at files, then decoding them
        self.bar.set_description_str(text)


def bar_format(columns: int) -> str:
    return f"{{percentage:3.0f}}%|{{bar:{columns}}}| {{desc}}"


def new_bar(total: int, columns: int = BAR) -> tqdm[Any]:
    """A bar on standard error that is gone when it is closed."""
    return tqdm(
        total=total,
        bar_format=bar_format(columns),
        leave=False,
        file=sys.stderr,
        dynamic_ncols=True,
    )
