"""``data_format``: the order in which a file names the axes of images.

Resolved once, while the file is read: what is read counts height, width, channels, and no layer
knows that there is another order. The batch is axis 0 in both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, TypeVar

from pydantic import PlainValidator, ValidationInfo, WithJsonSchema

from sepcnn.language.messages import refuse, show
from sepcnn.language.spec import Context

T = TypeVar("T")

CHANNELS_LAST, CHANNELS_FIRST = "channels_last", "channels_first"
TO_CHANNELS_LAST = {1: -1, 2: -3, 3: -2}
"""axes in a file with channels first → as they are read: from the end, for features have one"""

IN_CHANNELS_LAST = "of an image, 1 is the height, 2 the width, 3 or -1 the channels"
IN_CHANNELS_FIRST = "1 is the channels, 2 the height, 3 the width"


def _data_format(value: object, info: ValidationInfo) -> str:
    if value not in (CHANNELS_LAST, CHANNELS_FIRST):
        message = f"expected one of {CHANNELS_LAST}, {CHANNELS_FIRST}; found {show(value)}"
        raise refuse(message, "it is the order in which this file names the axes of images")
    Context.of(info).channels_first = value == CHANNELS_FIRST
    return CHANNELS_LAST


DataFormat = Annotated[
    str,
    PlainValidator(_data_format),
    WithJsonSchema({"enum": [CHANNELS_LAST, CHANNELS_FIRST]}),
]
"""sets how the values read after it are understood; itself read, it is channels_last"""


def axes_in_words(info: ValidationInfo) -> str:
    """For hints: what the numbers of axes mean in this file."""
    return IN_CHANNELS_FIRST if Context.of(info).channels_first else IN_CHANNELS_LAST


def read_axis(axis: int, info: ValidationInfo) -> int:
    """An axis as the file counts it, in the order height, width, channels."""
    if not Context.of(info).channels_first:
        return axis
    if axis not in TO_CHANNELS_LAST:
        message = f"with data_format: channels_first, expected 1, 2 or 3, found {axis}"
        raise refuse(message, axes_in_words(info))
    return TO_CHANNELS_LAST[axis]


def read_image(values: Sequence[T], info: ValidationInfo) -> tuple[T, ...]:
    """What stands for the three axes of an image, in the order height, width, channels."""
    if Context.of(info).channels_first and len(values) == 3:
        channels, height, width = values
        return (height, width, channels)
    return tuple(values)
