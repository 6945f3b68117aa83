"""Counts of files and folders that are not read, and the line that reports them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from sepcnn.data.decoding import heic
from sepcnn.data.listing.image_names import NO_SUFFIX, image_suffixes
from sepcnn.wording import counted

MAX_KINDS = 8
"""number of suffixes or names that a line lists"""


@dataclass
class LeftOut:
    """What is not read in a folder and its subfolders."""

    suffixes: Counter[str] = field(default_factory=Counter)
    """number of files by suffix"""
    skipped: Counter[str] = field(default_factory=Counter)
    """number of hidden and system files and folders by name; the contents of folders are unknown"""
    excluded: Counter[str] = field(default_factory=Counter)
    """number of files and folders by the pattern that excludes them"""
    unlisted: int = 0
    """images in the folders of a CSV that it does not list"""

    def add(self, other: LeftOut) -> None:
        self.suffixes += other.suffixes
        self.skipped += other.skipped
        self.excluded += other.excluded
        self.unlisted += other.unlisted

    def notes(self) -> list[str]:
        """One line if anything is left out, else none."""
        parts = []
        if self.suffixes:
            files = counted(self.suffixes.total(), "file")
            parts.append(f"{files}: {self._kinds(self.suffixes)}")
        if self.unlisted:
            parts.append(f"{counted(self.unlisted, 'image')} that the CSV does not list")
        if self.excluded:
            parts.append(f"excluded {self._kinds(self.excluded)}")
        if self.skipped:
            parts.append(f"hidden or of the system: {self._kinds(self.skipped)}")
        return [f"left out: {'; '.join(parts)}{self.hint(' (', ')')}"] if parts else []

    def hint(self, before: str = "", after: str = "") -> str:
        """What to install if files of a known format cannot be read here; "" if there are none."""
        lacks_heic = ".heic" not in image_suffixes()
        if lacks_heic and any(suffix in self.suffixes for suffix in heic.SUFFIXES):
            return f"{before}{heic.HINT}{after}"
        return ""

    @staticmethod
    def _kinds(counts: Counter[str]) -> str:
        shown = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:MAX_KINDS]
        texts = [f"{name or NO_SUFFIX} {count:,}" for name, count in shown]
        rest = counts.total() - sum(count for _, count in shown)
        return ", ".join([*texts, f"others {rest:,}"] if rest else texts)
