"""Axes of a layer's input as Keras counts them: the batch is 0, the last is also -1."""

from __future__ import annotations

from typing import Annotated, TypeGuard

from pydantic import PlainValidator, ValidationInfo, WithJsonSchema

from sepcnn.language.data_format import IN_CHANNELS_LAST, describe_axes, read_axis
from sepcnn.language.messages import invalid, quote
from sepcnn.nn.layers.base import Shape, ShapeError, format_shape

IMAGE_AXES = ("height", "width", "channel")


def _is_axis(value: object) -> TypeGuard[int]:
    return type(value) is int and value != 0


def _axis(value: object, info: ValidationInfo) -> int:
    if _is_axis(value):
        return read_axis(value, info)
    raise invalid(f"expected an axis, found {quote(value)}", describe_axes(info))


def read_axes(value: object, info: ValidationInfo) -> tuple[int, ...]:
    """One axis or several, as the file counts them."""
    axes = value if isinstance(value, list | tuple) else [value]
    found = tuple(read_axis(axis, info) for axis in axes if _is_axis(axis))
    if found and len(found) == len(axes):
        return found
    message = f"expected an axis or a list of axes, found {quote(value)}"
    raise invalid(message, describe_axes(info))


_AXIS = {"type": "integer", "not": {"const": 0}}
Axis = Annotated[int, PlainValidator(_axis), WithJsonSchema(_AXIS)]
Axes = Annotated[
    tuple[int, ...],
    PlainValidator(read_axes),
    WithJsonSchema({"anyOf": [_AXIS, {"type": "array", "items": _AXIS, "minItems": 1}]}),
]
"""one axis or several; `resolve_axes` tells whether a shape has them"""


def resolve_axes(axes: tuple[int, ...], shape: Shape) -> tuple[int, ...]:
    """The axes counted from 1, in order. Errors: `ShapeError` if one is missing or named twice."""
    rank = len(shape)
    found: set[int] = set()
    for axis in axes:
        place = axis if axis > 0 else rank + 1 + axis
        if not 1 <= place <= rank:
            # Below 0 it may be another number in the file (see `sepcnn.language.data_format`).
            wanted = f"there is no axis {axis}" if axis > 0 else "there are not that many axes"
            several = f"axes go from 1 to {rank}, the batch being 0"
            hint = IN_CHANNELS_LAST if rank == 3 else several
            raise ShapeError(f"{wanted} in {format_shape(shape)}", hint)
        if place in found:
            raise ShapeError(f"{axis_name(place, rank)} is named twice", "name each axis once")
        found.add(place)
    return tuple(sorted(found))


def axis_name(place: int, rank: int) -> str:
    """For messages: an image's axis by its name, for its number depends on ``data_format``."""
    return f"the {IMAGE_AXES[place - 1]} axis" if rank == len(IMAGE_AXES) else f"axis {place}"


def torch_axes(axes: tuple[int, ...], shape: Shape) -> tuple[int, ...]:
    """Where the axes stand in a module's tensor, in order: there the channels are second."""
    return tuple(
        sorted(1 if axis == len(shape) else axis + 1 for axis in resolve_axes(axes, shape))
    )


def only_channels(axes: tuple[int, ...], shape: Shape) -> bool:
    """Whether a layer over these axes leaves pixels apart."""
    return resolve_axes(axes, shape) == (len(shape),)


def check_channel_axis(axis: int, shape: Shape) -> None:
    """Errors: `ShapeError` if ``axis`` is not that of the channels."""
    (place,) = resolve_axes((axis,), shape)
    if place != len(shape):
        message = f"{axis_name(place, len(shape))} is not that of the channels"
        raise ShapeError(message, "leave axis out: it is the channels unless given")
