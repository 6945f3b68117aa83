"""Describe the allowed values of a field in words, from its part of the JSON schema."""

from __future__ import annotations

import json
import re
from typing import Any

from sepcnn.language.values import FRACTION_SCHEMA

DURATION = "steps?|epochs?|%"
BOUNDS = {"exclusiveMinimum": ">", "minimum": "≥", "exclusiveMaximum": "<", "maximum": "≤"}
COUNTS = {2: "two", 3: "three"}


def describe(part: dict[str, Any]) -> str:
    """Describe a part of the schema, as in ``whole number > 0, or auto``."""
    if "$ref" in part:
        return reference_name(part["$ref"].rpartition("/")[2])
    if "anyOf" in part:
        limits = {key: part[key] for key in BOUNDS if key in part}
        options = [option for option in part["anyOf"] if option != FRACTION_SCHEMA]
        return alternatives([option | limits for option in options])
    if "const" in part:
        return str(part["const"])
    if "enum" in part:
        return either(enumerated(part))
    if part["type"] in ("integer", "number"):
        return ("whole number" if part["type"] == "integer" else "number") + bounds(part)
    if part["type"] == "array":
        return array(part)
    if part["type"] == "string":
        return "duration" if DURATION in part.get("pattern", "") else "string"
    return {"boolean": "true or false", "object": "mapping", "null": "null"}[part["type"]]


def references(part: dict[str, Any]) -> frozenset[str]:
    """Return the kinds and sections a part of the schema refers to, such as ``layer``.

    A plain value with the same spelling, such as ``loss`` in an enumeration, does not count.
    """
    if "$ref" in part:
        return frozenset({describe(part)})
    if DURATION in part.get("pattern", ""):
        return frozenset({"duration"})
    inside = [*part.get("anyOf", []), *([part["items"]] if "items" in part else [])]
    return frozenset().union(*map(references, inside))


def reference_name(definition: str) -> str:
    """Return ``data source`` for the definition of a table, ``early_stopping`` for a section."""
    if definition[0].islower():
        return definition.replace("_", " ")
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in definition).lstrip("_")


def bounds(part: dict[str, Any]) -> str:
    """Return for instance `` > 0`` or `` from 0 to 1``; empty without bounds."""
    if "minimum" in part and "maximum" in part:
        return f" from {part['minimum']:g} to {part['maximum']:g}"
    limits = [f"{sign} {part[key]:g}" for key, sign in BOUNDS.items() if key in part]
    return f" {' and '.join(limits)}" if limits else ""


def alternatives(options: list[dict[str, Any]]) -> str:
    """Describe alternatives. One value or a pair of the same become ``one or two …``."""
    described: list[str] = []
    for option in options:
        items = option.get("items")
        single = describe(items) if items and option.get("maxItems") == 2 else None
        if single and described == [single]:
            described = [f"one or two {plural(single)}"]
        elif single and described and single == f"one or two {plural(described[0])}":
            described = [single, "two pairs"]
        elif "enum" in option:
            described += enumerated(option)
        else:
            described.append(describe(option))
    return either(described)


def enumerated(part: dict[str, Any]) -> list[str]:
    return [value if isinstance(value, str) else json.dumps(value) for value in part["enum"]]


def either(options: list[str]) -> str:
    """Return for instance ``a, b or c``; with a comma before *or* after a longer alternative."""
    first = ", ".join(options[:-1])
    separator = ", or " if re.search(r"[<>≥≤]| or |\bto\b", first) else " or "
    return separator.join(filter(None, [first, options[-1]]))


def array(part: dict[str, Any]) -> str:
    if "items" not in part:
        return "list"
    items = plural(describe(part["items"])).replace(", or null", " or null")
    fixed = part.get("minItems") == part.get("maxItems") is not None
    return f"{COUNTS[part['minItems']]} {items}" if fixed else f"list of {items}"


def plural(text: str) -> str:
    """Return a description in the plural: ``whole numbers > 0``, ``lists of layers``."""
    for noun in ("number", "list", "string", "layer", "augmentation"):
        if noun in text.split() or text.startswith(noun):
            return text.replace(noun, f"{noun}s", 1)
    return text
