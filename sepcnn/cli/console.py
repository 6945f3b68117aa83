"""Printing for people: results, notes, errors, tables and progress bars.

Results go to standard output, all other lines to standard error. Only this file imports rich and
tqdm. Colour depends on the terminal and NO_COLOR. Names of files and classes may contain control
characters, which could change colours, erase lines or reverse the text: they are printed as
escapes. Results for programs (`data`) are exact.
"""

from __future__ import annotations

import os
import re
import sys
import time
import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text
from tqdm import tqdm

from sepcnn.errors import ConfigError, SepcnnError

if TYPE_CHECKING:  # it imports torch
    from sepcnn.training.records import Scores

PLAIN_WIDTH = 160
"""columns of tables if the output is not a terminal"""
SEVERITY_STYLES = {"error": "bold red", "warning": "bold yellow", "note": "bold"}
SECONDS_BETWEEN_PLAIN_LINES = 10.0
BAR = 20
"""columns of a progress bar"""


INVISIBLE_CATEGORIES = ("Cc", "Cf", "Cs", "Zl", "Zp")
"""control and format characters, lone surrogates, separators of lines and paragraphs"""
HARMLESS = "\t\u200c\u200d"
"""tabs, and the joiners that are part of words and emoji"""
SOURCE_LINE = re.compile(r" *[0-9]+ \| ")
"""the start of a line of a config in an error, under which carets mark columns"""
OWN_LINE_BREAK = re.compile(r"(\n+(?=  |$))")
"""a line break that a message contains itself: the next line is indented"""


def visible(text: str) -> str:
    """Return a text on one line, with escapes such as ``\\x1b`` for invisible characters.

    A byte of a file name that is not UTF-8 becomes ``\\x80`` … ``\\xff``.
    """
    return text if text.isascii() and text.isprintable() else "".join(map(_visible, text))


def _visible(character: str) -> str:
    code = ord(character)
    if unicodedata.category(character) not in INVISIBLE_CATEGORIES or character in HARMLESS:
        return character
    if 0xDC80 <= code <= 0xDCFF:  # surrogateescape
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape", "surrogatepass").decode()


def visible_lines(text: str) -> str:
    """Return a text whose lines are `visible`."""
    return "\n".join(map(visible, text.split("\n")))


def visible_source(text: str) -> str:
    """Return a line of a config in which each character keeps its column."""
    return "".join(c if _visible(c) == c else _symbol(c) for c in text)


def _symbol(character: str) -> str:
    return chr(0x2400 + ord(character)) if character < " " else "\ufffd"


def visible_message(text: str) -> str:
    """Return a `visible` message that keeps its line breaks, except line breaks within names."""
    parts = OWN_LINE_BREAK.split(text)
    return "".join(part if index % 2 else visible(part) for index, part in enumerate(parts))


class QuietConsole(Console):
    """A console that ignores a closed pipe, as in ``| head``; the command continues."""

    def on_broken_pipe(self) -> None:
        stop_printing()


def stop_printing() -> None:
    """Redirect standard output to the null device, because nothing reads it any more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _console(stderr: bool = False) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else PLAIN_WIDTH
    return QuietConsole(file=stream, width=width, highlight=False, soft_wrap=True)


def width(*, stderr: bool = False) -> int:
    """Return the columns of standard output, or of standard error."""
    return _console(stderr).width


def output_is_terminal() -> bool:
    return sys.stdout.isatty()


def say(text: str = "") -> None:
    """Print lines of the result."""
    _console().print(Text(visible_lines(text)))


def line(text: str) -> None:
    """Print one line of the result, which may contain names of files."""
    say(visible(text))


def data(text: str) -> None:
    """Print a result for programs, unwrapped and without markup."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        stop_printing()


def note(text: str) -> None:
    """Print a line to standard error."""
    _console(stderr=True).print(Text(visible_message(text), style="dim"))


def stderr_lines(text: str) -> None:
    """Print lines to standard error, for instance a traceback."""
    print(visible_lines(text), file=sys.stderr)


def heading(text: str, severity: str) -> None:
    """Print the heading of a list of findings."""
    _console().print(Text(f"\n{visible(text)}", style=SEVERITY_STYLES[severity]))


def error(problem: SepcnnError) -> None:
    """Print an error with its location and hint; of a config, all its problems."""
    console = _console(stderr=True)
    if isinstance(problem, ConfigError):
        for entry in problem.problems:
            first, *rest = OWN_LINE_BREAK.split(str(entry))[::2]
            console.print(Text(visible(first), style="bold red"))
            for text in rest:
                caret = set(text.strip("| ")) == {"^"}
                shown = visible_source(text) if SOURCE_LINE.match(text) else visible(text)
                console.print(Text(shown, style="red" if caret else ""))
        if len(problem.problems) > 1:
            console.print(Text(f"{len(problem.problems)} problems", style="bold"))
        return
    console.print(Text.assemble(("error: ", "bold red"), visible_message(str(problem))))


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1) -> None:
    """Print a table. The first ``left`` columns are text, which may wrap, the others numbers."""
    columns, rows = list(map(visible, columns)), [list(map(visible, row)) for row in rows]
    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for index, column in enumerate(columns):
        widest = max(len(cell) for cell in (column, *(row[index] for row in rows)))
        if index < left:
            shown.add_column(Text(column), overflow="fold")
        else:
            shown.add_column(Text(column), justify="right", no_wrap=True, min_width=widest)
    for row in rows:
        shown.add_row(*map(Text, row))  # Text, because brackets in a name are not markup
    _console().print(shown)


def notes(texts: Sequence[str]) -> None:
    """Print notes: information that is not an error."""
    for text in texts:
        note(f"note: {text}")


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def count(number: int | None) -> str:
    return "?" if number is None else f"{number:,}"


def scores(loss: float, accuracy: float) -> str:
    return f"loss {loss:.4f}  accuracy {percent(accuracy)}"


SCORE_NAMES = {"macro_recall": "macro recall", "macro_f1": "macro F1"}


def named_score(scores: Scores, name: str) -> str:
    """Return one of the scores with its name, as in ``macro recall 61.2 %``."""
    number: float | None = getattr(scores, name)
    assert number is not None
    if name == "loss":
        return f"loss {number:.4f}"
    return f"{SCORE_NAMES.get(name, name)} {percent(number)}"


def duration(seconds: float) -> str:
    """Return for instance ``1:05`` or ``2:00:10``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class ReadingProgress:
    """Show the progress of reading images, unless it is quick. A `ProgressCallback`."""

    def __init__(self) -> None:
        self.live = sys.stderr.isatty()
        self.last_line = time.monotonic()
        self.bar: tqdm[Any] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove the bar, so that other lines can be printed."""
        if self.bar is not None:
            self.bar.close()
            self.bar = None

    def note(self, text: str) -> None:
        """Print a line to standard error in place of the bar."""
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
        # The total changes from files to examine to files to decode.
        self.bar.n, self.bar.total = done, total
        self.bar.set_description_str(text)


def bar_format(columns: int) -> str:
    return f"{{percentage:3.0f}}%|{{bar:{columns}}}| {{desc}}"


def new_bar(total: int, columns: int = BAR) -> tqdm[Any]:
    """Return a bar on standard error that disappears when it is closed."""
    return tqdm(
        total=total,
        bar_format=bar_format(columns),
        leave=False,
        file=sys.stderr,
        dynamic_ncols=True,
    )
