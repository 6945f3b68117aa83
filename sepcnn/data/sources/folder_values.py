"""Values of the fields of Folder: a layout of folders, and patterns of files."""

from __future__ import annotations

from typing import Annotated

from pydantic import PlainValidator, WithJsonSchema

from sepcnn.data.listing.given_layout import PATTERN, is_layout
from sepcnn.language.messages import invalid, quote


def _layout(value: object) -> str:
    if isinstance(value, str) and is_layout(value):
        return value
    message = (
        f"expected levels of folders such as class, split/class or any/class, found {quote(value)}"
    )
    raise invalid(
        message, "write class once and split at most once; any is a level without meaning"
    )


def _patterns(value: object) -> tuple[str, ...]:
    values = [value] if isinstance(value, str) else value
    if isinstance(values, list | tuple) and all(
        isinstance(text, str) and text.strip("/") for text in values
    ):
        return tuple(values)
    message = f"expected names of files or folders such as *_mask.png, found {quote(value)}"
    raise invalid(message, "a name that YAML reads as a number needs quotes")


def _columns(value: object) -> dict[str, str]:
    roles = ("path", "label", "split")
    if (
        isinstance(value, dict)
        and value
        and all(role in roles and isinstance(name, str) and name for role, name in value.items())
    ):
        return dict(value)
    message = (
        f"expected names of columns such as {{path: file, label: breed}}, found {quote(value)}"
    )
    raise invalid(message, "the keys are path, label and split")


Columns = Annotated[
    dict[str, str],
    PlainValidator(_columns),
    WithJsonSchema(
        {
            "type": "object",
            "properties": {name: {"type": "string"} for name in ("path", "label", "split")},
            "additionalProperties": False,
        }
    ),
]
"""names of the columns of a CSV"""
Layout = Annotated[
    str, PlainValidator(_layout), WithJsonSchema({"type": "string", "pattern": PATTERN})
]
"""meaning of the levels of folders"""
Patterns = Annotated[
    tuple[str, ...],
    PlainValidator(_patterns),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]
"""one or several patterns of names or paths"""
