"""The words of messages: counts, commands, and the first sentence of a text."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence


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
