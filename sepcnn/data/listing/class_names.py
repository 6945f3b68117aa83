"""Class names that are probably meant to be one: ``cat`` and ``Cat``, ``cat`` and ``cat (1)``."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable

_COPY = re.compile(r"(?: ?\(\d+\)|(?: -|_)? ?(?:copy|kopie|copie|copia)(?: \d+| ?\(\d+\))?)$")
"""the end of the name of a folder that a file manager copied"""
_SEPARATORS = re.compile(r"[\s_-]+")
_INVISIBLE = ("Cc", "Cf")
"""Unicode categories of characters that are not visible"""
MAX_GROUPS = 5
"""number of groups that a note lists"""


def similar_names(names: Iterable[str]) -> list[tuple[str, ...]]:
    """Groups of names that differ only in case, separators, invisible characters, or as copies."""
    groups: dict[str, list[str]] = defaultdict(list)
    for name in names:
        groups[_essence(name)].append(name)
    return [tuple(group) for group in groups.values() if len(group) > 1]


def similar_names_note(names: Iterable[str]) -> list[str]:
    """One line if there are similar names, else none."""
    groups = similar_names(names)
    if not groups:
        return []
    texts = ["/".join(map(_visible, group)) for group in groups[:MAX_GROUPS]]
    more = f" and {len(groups) - MAX_GROUPS:,} more" if len(groups) > MAX_GROUPS else ""
    return [f"separate classes with similar names: {', '.join(texts)}{more}"]


def _essence(name: str) -> str:
    text = unicodedata.normalize("NFKC", name).casefold()
    text = "".join(c for c in text if c.isspace() or unicodedata.category(c) not in _INVISIBLE)
    text = text.strip()
    return _SEPARATORS.sub(" ", _COPY.sub("", text).strip() or text)


def _visible(name: str) -> str:
    hidden = any(unicodedata.category(c) in _INVISIBLE for c in name) or name != name.strip()
    return ascii(name) if hidden else f"'{name}'"
