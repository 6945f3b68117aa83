"""``data_format``: the order in which a file lists the axes of images.

It only affects reading. Every spec holds height, width, channels; no layer knows another order.
Axis 0 is the batch in both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, TypeVar

from pydantic import PlainValidator, ValidationInfo, WithJsonSchema

from sepcnn.language.messages import invalid, quote
from sepcnn.language.spec import Context

T = TypeVar("T")

CHANNELS_LAST, CHANNELS_FIRST = "channels_last", "channels_first"
TO_CHANNELS_LAST = {1: -1, 2: -3, 3: -2}
"""axis in a channels_first file → the same axis of a spec, counted from the end because an input
without height and width has only one axis"""

IN_CHANNELS_LAST = "of an image, 1 is the height, 2 the width, 3 or -1 the channels"
IN_CHANNELS_FIRST = "1 is the channels, 2 the height, 3 the width"


def _data_format(value: object) -> str:
    if value not in (CHANNELS_LAST, CHANNELS_FIRST):
        message = f"expected one of {CHANNELS_LAST}, {CHANNELS_FIRST}; found {quote(value)}"
        raise invalid(message, "it is the order in which this file names the axes of images")
    return CHANNELS_LAST


DataFormat = Annotated[
    str,
    PlainValidator(_data_format),
    WithJsonSchema({"enum": [CHANNELS_LAST, CHANNELS_FIRST]}),
]
"""always read as channels_last: `Context.channels_first` converts the other values of the file"""


def describe_axes(info: ValidationInfo) -> str:
    """What the numbers of axes mean in this file, for hints."""
    return IN_CHANNELS_FIRST if Context.of(info).channels_first else IN_CHANNELS_LAST


def read_axis(axis: int, info: ValidationInfo) -> int:
    """An axis number of the file as the axis of a height, width, channels image."""
    if not Context.of(info).channels_first:
        return axis
    if axis not in TO_CHANNELS_LAST:
        message = f"with data_format: channels_first, expected 1, 2 or 3, found {axis}"
        raise invalid(message, describe_axes(info))
    return TO_CHANNELS_LAST[axis]


def read_image(values: Sequence[T], info: ValidationInfo) -> tuple[T, ...]:
    """Three values of the file, one per axis of an image, in the order height, width, channels."""
    if Context.of(info).channels_first and len(values) == 3:
        channels, height, width = values
        return (height, width, channels)
    return tuple(values)
