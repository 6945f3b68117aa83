"""How every message counts things and quotes commands."""

from __future__ import annotations

import shlex


def counted(count: int, noun: str) -> str:
    """``1 image``, ``2,000 images``, ``0 classes``."""
    plural = "" if count == 1 else "es" if noun.endswith("s") else "s"
    return f"{count:,} {noun}{plural}"


def typed(*words: object) -> str:
    """A command as a user types it into a shell: ``sepcnn eval 'my run'``."""
    return shlex.join(["sepcnn", *map(str, words)])
