"""Formatting of counts and commands in messages."""

from __future__ import annotations

import shlex


def counted(count: int, noun: str) -> str:
    """Return a count with its noun: ``1 image``, ``2,000 images``, ``0 classes``."""
    plural = "" if count == 1 else "es" if noun.endswith("s") else "s"
    return f"{count:,} {noun}{plural}"


def shell_command(*words: object) -> str:
    """Return a sepcnn command, quoted for a shell: ``sepcnn eval 'my run'``."""
    return shlex.join(["sepcnn", *map(str, words)])
