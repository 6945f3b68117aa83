"""Errors of runs whose folders an earlier version read without a question, or as other classes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from sepcnn.config.config import Config
from sepcnn.data.listing.given_layout import LayoutError
from sepcnn.data.sources.folder import Folder
from sepcnn.errors import ConfigError

FIELD = "data.source.Folder.layout"
QUESTION_HINT = f"an earlier version read them as class or split/class: --set {FIELD}=class"
CLASSES_HINT = f"if only the reading of the folders differs: --set {FIELD}=class"


@contextmanager
def layout_hints() -> Iterator[None]:
    """Add to a question about the layout how to read the folders as an earlier version did."""
    try:
        yield
    except ConfigError as error:
        if not isinstance(error.__context__, LayoutError):
            raise
        problems = [
            replace(problem, hint=f"{problem.hint}\n   {QUESTION_HINT}")
            for problem in error.problems
        ]
        raise ConfigError(problems) from None


def other_classes_hint(config: Config, now: Sequence[str], before: Sequence[str]) -> str:
    """A hint if no class of the data is one of the model; "" otherwise."""
    is_folder = isinstance(config.data.source, Folder) and not config.data.source.layout
    return CLASSES_HINT if is_folder and set(now).isdisjoint(before) else ""
