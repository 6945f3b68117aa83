"""Value types of the config: numbers, pairs, durations and paths.

Each has one clear error message. They are not unions, because pydantic reports every branch of a
union.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PlainValidator, ValidationInfo, WithJsonSchema
from pydantic_core import PydanticCustomError

from sepcnn.language.data_format import read_image
from sepcnn.language.messages import invalid, quote
from sepcnn.language.node import CommandLineText
from sepcnn.language.spec import Context


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


# ── numbers ───────────────────────────────────────────────────────────────────────────────────


def _fraction(value: object) -> object:
    """Convert ``1/255`` to a number. pydantic checks other values."""
    if not isinstance(value, str):
        return value
    try:
        upper, lower = (float(part) for part in value.split("/"))
        return upper / lower
    except ZeroDivisionError:
        raise invalid(
            f"division by zero in {quote(value)}", "write another number below the fraction line"
        ) from None
    except ValueError:
        message = f"expected a number, found {quote(value)}"
        raise invalid(message, "numbers may be written as 0.5, 1e-3 or 1/255") from None


def finite_number(value: object) -> float | None:
    """A number or fraction as a finite float, or None."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(_fraction(value))  # type: ignore[arg-type]
    except (PydanticCustomError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def numbers(value: object) -> tuple[float, ...]:
    """A number or a list of numbers as finite floats; empty if any item is not a number."""
    values = value if isinstance(value, list | tuple) else [value]
    found = tuple(number for number in map(finite_number, values) if number is not None)
    return found if len(found) == len(values) else ()


FRACTION_SCHEMA = {"type": "string", "pattern": r"^[-+.\deE]+ ?/ ?[-+.\deE]+$"}


def number_schema(**bounds: float) -> dict[str, Any]:
    """The JSON schema of a number or a fraction."""
    return {"anyOf": [{"type": "number", **bounds}, FRACTION_SCHEMA]}


def number_or_list_schema(
    least: int = 1, most: int | None = None, **bounds: float
) -> dict[str, Any]:
    """The JSON schema of a value for `numbers`. A list has ``least`` to ``most`` items."""
    listed: dict[str, Any] = {"type": "array", "items": number_schema(**bounds), "minItems": least}
    if most is not None:
        listed["maxItems"] = most
    return {"anyOf": [*number_schema(**bounds)["anyOf"], listed]}


def _number_schema(**bounds: float) -> WithJsonSchema:
    return WithJsonSchema(number_schema(**bounds))


_Fraction = Annotated[float, BeforeValidator(_fraction)]
Number = Annotated[_Fraction, _number_schema()]
PositiveNumber = Annotated[_Fraction, Field(gt=0), _number_schema(exclusiveMinimum=0)]
NonNegativeNumber = Annotated[_Fraction, Field(ge=0), _number_schema(minimum=0)]
Rate = Annotated[_Fraction, Field(ge=0, lt=1), _number_schema(minimum=0, exclusiveMaximum=1)]
"""from 0 to less than 1, as for dropout, momentum and label smoothing"""
UnitNumber = Annotated[_Fraction, Field(ge=0, le=1), _number_schema(minimum=0, maximum=1)]
PositiveUnitNumber = Annotated[
    _Fraction, Field(gt=0, le=1), _number_schema(exclusiveMinimum=0, maximum=1)
]
PixelNumber = Annotated[_Fraction, Field(ge=0, le=255), _number_schema(minimum=0, maximum=255)]
NumberFrom1 = Annotated[_Fraction, Field(ge=1), _number_schema(minimum=1)]
PositiveInt = Annotated[int, Field(gt=0)]
NonNegativeInt = Annotated[int, Field(ge=0)]


def _positive_or_auto(value: object) -> int | Literal["auto"]:
    if value == "auto":
        return "auto"
    if _is_whole(value) and value > 0:  # type: ignore[operator]
        return value  # type: ignore[return-value]
    raise invalid(f"expected a whole number above 0 or auto, found {quote(value)}")


PositiveOrAuto = Annotated[
    int | Literal["auto"],
    PlainValidator(_positive_or_auto),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1}, {"const": "auto"}]}),
]


# ── pairs and shapes ──────────────────────────────────────────────────────────────────────────


def _pair(value: object) -> tuple[int, int]:
    pair = (value, value) if _is_whole(value) else value
    if isinstance(pair, list | tuple) and len(pair) == 2 and all(map(_is_whole, pair)):
        height, width = pair
        if height > 0 and width > 0:
            return (height, width)
    message = f"expected a whole number above 0 or [height, width], found {quote(value)}"
    raise invalid(message)


_PAIR_SCHEMA: dict[str, Any] = {
    "anyOf": [
        {"type": "integer", "minimum": 1},
        {
            "type": "array",
            "items": {"type": "integer", "minimum": 1},
            "minItems": 2,
            "maxItems": 2,
        },
    ]
}
Pair = Annotated[tuple[int, int], PlainValidator(_pair), WithJsonSchema(_PAIR_SCHEMA)]
"""height and width; one number means both"""


def _image_shape(value: object, info: ValidationInfo) -> tuple[int, ...]:
    sizes = value if isinstance(value, list | tuple) else ()
    if len(sizes) == 3 and all(_is_whole(size) and size > 0 for size in sizes):
        return read_image(sizes, info)
    if Context.of(info).channels_first:
        order, colour, grey = "[channels, height, width]", "[3, 64, 64]", "[1, 64, 64]"
    else:
        order, colour, grey = "[height, width, channels]", "[64, 64, 3]", "[64, 64, 1]"
    message = f"expected {order}, found {quote(value)}"
    raise invalid(message, f"for 64×64 colour images write {colour}, for grey ones {grey}")


ImageShape = Annotated[
    tuple[int, int, int],
    PlainValidator(_image_shape),
    WithJsonSchema(
        {
            "type": "array",
            "items": {"type": "integer", "minimum": 1},
            "minItems": 3,
            "maxItems": 3,
        }
    ),
]


def _value_range(value: object) -> tuple[float, float] | Literal["auto"] | None:
    if value is None or value == "auto":
        return value
    pair = numbers(value)
    if isinstance(value, list | tuple) and len(pair) == 2 and pair[0] < pair[1]:
        return (pair[0], pair[1])
    message = f"expected [low, high] with low < high, or auto, found {quote(value)}"
    raise invalid(message, "for 12-bit data write [0, 4095]")


ValueRange = Annotated[
    tuple[float, float] | Literal["auto"] | None,
    PlainValidator(_value_range),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "array", "items": number_schema(), "minItems": 2, "maxItems": 2},
                {"const": "auto"},
                {"type": "null"},
            ]
        }
    ),
]
"""the pixel values that become 0 and 255"""


# ── durations ─────────────────────────────────────────────────────────────────────────────────

_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)\s*(steps?|epochs?|%)")


@dataclass(frozen=True, slots=True)
class Duration:
    """A length of training: steps, epochs, or a percentage of the run."""

    amount: float
    unit: Literal["steps", "epochs", "%"]

    def steps(self, steps_per_epoch: int, total_steps: int) -> int:
        """The duration in steps, rounded to the nearest integer."""
        whole = {"steps": 1.0, "epochs": float(steps_per_epoch), "%": total_steps / 100}
        return round(self.amount * whole[self.unit])

    def __str__(self) -> str:
        amount = f"{self.amount:f}".rstrip("0").rstrip(".")
        if self.unit == "%":
            return f"{amount}%"
        return f"{amount} {self.unit.removesuffix('s') if self.amount == 1 else self.unit}"


def _duration(value: object) -> Duration:
    if isinstance(value, Duration):
        return value
    match = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        hint = "write it as 500 steps, 3 epochs or 10%"
        raise invalid(f"expected a duration, found {quote(value)}", hint)
    amount, unit = float(match[1]), match[2]
    if unit == "%":
        if amount > 100:
            raise invalid(f"expected at most 100% of the run, found {quote(value)}")
        return Duration(amount, "%")
    return Duration(amount, "epochs" if unit.startswith("epoch") else "steps")


DurationValue = Annotated[
    Duration,
    PlainValidator(_duration),
    WithJsonSchema({"type": "string", "pattern": _DURATION.pattern}),
]


# ── paths ─────────────────────────────────────────────────────────────────────────────────────


_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def read_path(value: object, info: ValidationInfo) -> Path:
    if isinstance(value, Path):
        return value
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise invalid(f"expected a path, found {quote(value)}")
    try:
        path = Path(value).expanduser()
    except RuntimeError:
        raise invalid(
            f"there is no home folder for {quote(value)}", "write the full path"
        ) from None
    folder = Path() if isinstance(value, CommandLineText) else Context.of(info).folder
    path = (folder / path).absolute()
    if _CONTROL.search(value) and Context.of(info).reads_file and not path.exists():
        hint = "in double quotes, \\n and \\t mean a line break and a tab: use single quotes"
        raise invalid(f"expected a path, found {quote(value)}", hint)
    return path


FilePath = Annotated[Path, PlainValidator(read_path), WithJsonSchema({"type": "string"})]
"""a path; ``~`` is the home folder. Relative paths start at the folder of the config, or at the
working directory if the path is given with ``--set``"""
