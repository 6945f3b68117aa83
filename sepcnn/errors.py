"""The exceptions of sepcnn, and locations in config files.

    SepcnnError
    ├── InputError            invalid input from the user               exit code 2
    │   ├── ConfigError       located problems of a config
    │   ├── DataError         images, labels or files are not valid
    │   └── CheckpointError   a checkpoint is damaged, of another program or newer
    └── RunError              the command failed                        exit code 1
        ├── DivergedError     a loss or weight is NaN or infinite
        ├── StorageError      a file could not be written
        └── MemoryExhaustedError

The command line treats every other exception as a bug in sepcnn (exit code 3).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Location:
    """A span within a line of a source, such as a config file.

    Lines and columns count from 1. Line 0 means the whole source.
    """

    source: str
    line: int
    column: int
    text: str = ""
    """the line without its newline"""
    length: int = 1
    """number of columns to underline; at most to the end of the line"""

    def __str__(self) -> str:
        return f"{self.source}:{self.line}:{self.column}" if self.line else self.source


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem of a config: what is wrong (message) and what to do about it (hint)."""

    message: str
    location: Location | None = None
    path: str = ""
    """path of the value in the config, as in ``model.layers[6].SeparableConv2D``"""
    hint: str = ""

    def __str__(self) -> str:
        place = f"{self.location}: " if self.location else ""
        path = f"{self.path}: " if self.path else ""
        lines = [f"{place}{path}{self.message}"]
        if self.location and self.location.text.strip():
            lines.append(f"{self.location.line:>7} | {self.location.text}")
            # Tabs are kept to align the carets with the text above them.
            lead = self.location.text[: self.location.column - 1]
            margin = "".join("\t" if character == "\t" else " " for character in lead)
            lines.append(f"{'':>7} | {margin}{'^' * max(1, self.location.length)}")
        if self.hint:
            lines.append(f"   {self.hint}")
        return "\n".join(lines)


class SepcnnError(Exception):
    """Base class of errors that are shown to the user without a traceback."""

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n   {self.hint}" if self.hint else self.message


class InputError(SepcnnError):
    """The user's input is wrong: a config, an argument, data or a checkpoint."""

    exit_code = 2


class ConfigError(InputError):
    """One or more problems of a config, sorted by location. All of them are printed."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=_reading_order))
        super().__init__("\n".join(str(problem) for problem in self.problems))


def _reading_order(problem: Problem) -> tuple[int, int]:
    return (problem.location.line, problem.location.column) if problem.location else (0, 0)


class DataError(InputError):
    """Images, labels or files of a data set are missing, damaged or inconsistent."""


class CheckpointError(InputError):
    """A checkpoint is damaged, was not written by sepcnn, or has a newer format."""


class RunError(SepcnnError):
    """The command failed. Files that it saved before are intact."""


class DivergedError(RunError):
    """A loss or a weight became NaN or infinite. ``step`` is the step at which this was noticed."""

    def __init__(self, message: str, step: int, hint: str = "") -> None:
        super().__init__(message, hint)
        self.step = step


class StorageError(RunError):
    """A file could not be written, for instance because the disk is full."""

    @classmethod
    def of(cls, path: object, error: OSError) -> StorageError:
        """Return the error for a path, with the message of the system."""
        return cls(f"{path} could not be written: {(error.strerror or str(error)).lower()}")


class MemoryExhaustedError(RunError):
    """The model, a batch or the images do not fit into memory."""
