"""Axes of the input of a layer, numbered as in Keras: 0 is the batch, -1 is the last."""

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
    """Read one axis or a list of axes, in the ``data_format`` of the config."""
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
"""one axis or several; `resolve_axes` checks them against a shape"""


def resolve_axes(axes: tuple[int, ...], shape: Shape) -> tuple[int, ...]:
    """Return positive axes, ascending. Errors: `ShapeError` if one is missing or repeated."""
    rank = len(shape)
    found: set[int] = set()
    for axis in axes:
        position = axis if axis > 0 else rank + 1 + axis
        if not 1 <= position <= rank:
            # A negative axis may have another number in the config (`sepcnn.language.data_format`).
            problem = f"there is no axis {axis}" if axis > 0 else "there are not that many axes"
            valid_axes = f"axes are numbered from 1 to {rank}; 0 is the batch"
            hint = IN_CHANNELS_LAST if rank == 3 else valid_axes
            raise ShapeError(f"{problem} in {format_shape(shape)}", hint)
        if position in found:
            raise ShapeError(f"{axis_name(position, rank)} is given twice", "give each axis once")
        found.add(position)
    return tuple(sorted(found))


def axis_name(position: int, rank: int) -> str:
    """Name an axis in messages. Axes of images have no number: it depends on ``data_format``."""
    return f"the {IMAGE_AXES[position - 1]} axis" if rank == len(IMAGE_AXES) else f"axis {position}"


def torch_axes(axes: tuple[int, ...], shape: Shape) -> tuple[int, ...]:
    """Return the axes of the tensor of a module, ascending: its channels are axis 1."""
    return tuple(
        sorted(1 if axis == len(shape) else axis + 1 for axis in resolve_axes(axes, shape))
    )


def only_channels(axes: tuple[int, ...], shape: Shape) -> bool:
    """Return whether the axes are only the channels, so that pixels stay independent."""
    return resolve_axes(axes, shape) == (len(shape),)


def check_channel_axis(axis: int, shape: Shape) -> None:
    """Raise `ShapeError` if ``axis`` is not the channel axis."""
    (position,) = resolve_axes((axis,), shape)
    if position != len(shape):
        message = f"axis must be the channel axis, found {axis_name(position, len(shape))}"
        raise ShapeError(message, "leave out axis: the default is the channel axis")
