"""The words and lines of messages: counts, commands, first sentences, wrapped columns."""

from __future__ import annotations

import re
import shlex
import textwrap
from collections.abc import Sequence

NAME_COLUMNS = 24
"""minimum width of a column of names"""


def counted(count: int, noun: str) -> str:
    """Return a count with its noun: ``1 image``, ``2,000 images``, ``0 classes``."""
    plural = "" if count == 1 else "es" if noun.endswith("s") else "s"
    return f"{count:,} {noun}{plural}"


def listed(names: Sequence[str], most: int = 20) -> str:
    """Return names with commas, at most ``most`` of them: ``cat, dog and 998 more``."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def shell_command(*words: object) -> str:
    """Return a sepcnn command, quoted for a shell: ``sepcnn eval 'my run'``."""
    return shlex.join(["sepcnn", *map(str, words)])


def first_sentence(text: str) -> str:
    """Return the first sentence of a text on one line. "et al. 2017" does not end a sentence."""
    end = re.search(r"(?<!et al)\.(?= [A-Z`])", text)
    return text[: end.end()] if end else text


def columns(rows: Sequence[tuple[str, str]], width: int) -> str:
    """Return two columns: names, and a wrapped text for each."""
    indent = max(NAME_COLUMNS, *(len(name) + 1 for name, _ in rows))
    return "\n".join(
        name.ljust(indent) + wrapped(text, width, indent)[indent:] for name, text in rows
    )


def wrapped(text: str, width: int, indent: int = 0) -> str:
    space = " " * indent
    return textwrap.fill(
        text.replace("``", ""),
        max(width, indent + 20),
        initial_indent=space,
        subsequent_indent=space,
        break_long_words=False,
        break_on_hyphens=False,
    )
