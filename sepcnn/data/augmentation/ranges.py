"""Field types of augmentations: ranges that a value is drawn from, written [lower, upper].

Most also accept a single number, which is short for a range.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import PlainValidator, WithJsonSchema

from sepcnn.language.messages import invalid, quote
from sepcnn.language.values import finite_number, number_or_list_schema, numbers

Limits = tuple[float, float]


def _reader(low: float, high: float, open_below: bool = False) -> Callable[[Any], float | Limits]:
    def read(value: Any) -> float | Limits:
        found = numbers(value)
        several = isinstance(value, list | tuple)
        inside = all((low < n if open_below else low <= n) and n <= high for n in found)
        if found and inside and len(found) == 1 + several and list(found) == sorted(found):
            return (found[0], found[1]) if several else found[0]
        bounds = f"above {low:g} to {high:g}" if open_below else f"from {low:g} to {high:g}"
        raise invalid(f"expected a number {bounds} or [lower, upper], found {quote(value)}")

    return read


def _schema(low: float, high: float, key: str = "minimum") -> WithJsonSchema:
    return WithJsonSchema(number_or_list_schema(2, 2, **{key: low}, maximum=high))


SignedUnitRange = Annotated[float | Limits, PlainValidator(_reader(-1, 1)), _schema(-1, 1)]
"""within −1 to 1; a number f means [−f, f]"""
ZoomRange = Annotated[
    float | Limits,
    PlainValidator(_reader(-1, 1, open_below=True)),
    _schema(-1, 1, "exclusiveMinimum"),
]
"""above −1, to 1; a number f means [−f, f]"""
UnitRange = Annotated[float | Limits, PlainValidator(_reader(0, 1)), _schema(0, 1)]
"""within 0 to 1; a number f means [0, f]"""


def symmetric_limits(value: float | Limits) -> Limits:
    """[−f, f] for a number f; a range is unchanged."""
    return (-abs(value), abs(value)) if isinstance(value, float | int) else value


def limits_from_zero(value: float | Limits) -> Limits:
    """[0, f] for a number f; a range is unchanged."""
    return (0.0, value) if isinstance(value, float | int) else value


def _contrast(value: Any) -> float | Limits:
    found = numbers(value)
    several = isinstance(value, list | tuple)
    if len(found) == 1 + several and all(0 <= n <= 1 for n in found):
        return (found[0], found[1]) if several else found[0]
    raise invalid(f"expected a number from 0 to 1 or [lower, upper], found {quote(value)}")


ContrastRange = Annotated[float | Limits, PlainValidator(_contrast), _schema(0, 1)]
"""[lower, upper], each from 0 to 1, not necessarily ascending; a number means both"""


def _range(value: Any) -> Limits:
    pair = value if isinstance(value, list | tuple) else ()
    found = [n for n in map(finite_number, pair) if n is not None and n > 0]
    if len(pair) == len(found) == 2 and found[0] <= found[1]:
        return found[0], found[1]
    order = "lower at most upper" if len(pair) == len(found) == 2 else "both above 0"
    raise invalid(f"expected [lower, upper], {order}, found {quote(value)}")


PositiveRange = Annotated[
    Limits,
    PlainValidator(_range),
    WithJsonSchema(number_or_list_schema(2, 2, exclusiveMinimum=0)["anyOf"][-1]),
]


def check_area(field: str, limits: Limits) -> None:
    """Errors: a validation error if the upper area is larger than the image."""
    if limits[1] > 1:
        raise invalid(f"'{field}' must be at most 1, the whole image, found {limits[1]:g}")
