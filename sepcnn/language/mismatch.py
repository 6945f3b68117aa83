"""Two parts of a config that do not fit each other."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sepcnn.language.node import KeyPath


@dataclass(frozen=True, slots=True)
class Mismatch:
    """Why a value does not fit the rest of the config, and what to do about it."""

    message: str
    hint: str = ""
    path: KeyPath = ()
    """place in the config, below the value that was checked"""
    at_key: bool = False
    """point at the key in the file, not at its value"""

    def below(self, *path: str | int) -> Mismatch:
        """The same mismatch, with its place seen from further up in the config."""
        return replace(self, path=(*path, *self.path))
