"""The family of errors, and the place in a file that an error speaks of.

    SepcnnError
    ├── InputError            what the user gave is wrong              exit code 2
    │   ├── ConfigError       problems at places of a config file
    │   ├── DataError         images or labels that do not fit
    │   └── CheckpointError   a damaged, foreign or newer checkpoint
    └── RunError              the work itself failed                   exit code 1
        ├── DivergedError     a loss or weight stopped being finite
        ├── StorageError      a file could not be written
        └── MemoryExhaustedError

Anything else that escapes is a bug in sepcnn (exit code 3).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Location:
    """A span of one line of a source: where something stands. Lines and columns count from 1;
    line 0 is the source as a whole.
    """

    source: str
    line: int
    column: int
    text: str = ""
    """the whole line, without its end"""
    length: int = 1
    """columns to underline; the span ends at the line's end at the latest"""

    def __str__(self) -> str:
        return f"{self.source}:{self.line}:{self.column}" if self.line else self.source


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: the message says what, the hint what to do about it."""

    message: str
    location: Location | None = None
    path: str = ""
    """the value's place in the config, as in ``model.layers[6].SeparableConv2D``"""
    hint: str = ""

    def __str__(self) -> str:
        place = f"{self.location}: " if self.location else ""
        path = f"{self.path}: " if self.path else ""
        lines = [f"{place}{path}{self.message}"]
        if self.location and self.location.text.strip():
            lines.append(f"{self.location.line:>7} | {self.location.text}")
            # Tabs are kept so that the carets stand below what they mark.
            lead = self.location.text[: self.location.column - 1]
            margin = "".join("\t" if character == "\t" else " " for character in lead)
            lines.append(f"{'':>7} | {margin}{'^' * max(1, self.location.length)}")
        if self.hint:
            lines.append(f"   {self.hint}")
        return "\n".join(lines)


class SepcnnError(Exception):
    """The root: an error whose message is meant for the user, shown without a traceback."""

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n   {self.hint}" if self.hint else self.message


class InputError(SepcnnError):
    """What the user gave is wrong."""

    exit_code = 2


class ConfigError(InputError):
    """One or more located problems of a config; all of them are printed, in reading order."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=_reading_order))
        super().__init__("\n".join(str(problem) for problem in self.problems))


def _reading_order(problem: Problem) -> tuple[int, int]:
    return (problem.location.line, problem.location.column) if problem.location else (0, 0)


class DataError(InputError):
    """Images, labels or files of a data set that do not fit."""


class CheckpointError(InputError):
    """A checkpoint that is damaged, foreign, or of a newer format."""


class RunError(SepcnnError):
    """The work itself failed; what was saved before is whole."""


class DivergedError(RunError):
    """A loss or a weight stopped being a finite number; ``step`` is when it was seen."""

    def __init__(self, message: str, step: int, hint: str = "") -> None:
        super().__init__(message, hint)
        self.step = step


class StorageError(RunError):
    """A file could not be written: a full disk, a read-only folder."""

    @classmethod
    def of(cls, path: object, error: OSError) -> StorageError:
        """What the system said about a path."""
        return cls(f"{path} could not be written: {(error.strerror or str(error)).lower()}")


class MemoryExhaustedError(RunError):
    """The net, a batch or the images do not fit into memory."""
