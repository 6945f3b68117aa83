"""Limits of the corrections in batch renormalization, each a number or a ramp over the run."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from operator import attrgetter, methodcaller
from typing import Annotated, Any, Literal, Self

from pydantic import PlainValidator, ValidationInfo, WithJsonSchema, model_validator

from sepcnn.language.messages import invalid, quote
from sepcnn.language.spec import Spec
from sepcnn.language.values import finite_number, number_schema
from sepcnn.nn.schedules import Progress, Ramp

Limit = Ramp | Literal["paper"] | None
ROUNDING_TOLERANCE = 1e-9
"""rmin may be this much above rmax: the rounding error of two ramps that touch"""


def _limit(value: Any, info: ValidationInfo) -> Limit:
    """Read a number, a ramp, ``paper`` (only for rmin), or null or infinity for no limit."""
    if value is None or isinstance(value, Ramp) or value == math.inf:
        return None if value == math.inf else value
    if value == "paper" and info.field_name == "rmin":
        return "paper"
    if (number := finite_number(value)) is not None:
        return Ramp.constant(number)
    if isinstance(value, dict):
        return Ramp.model_validate(value, context=info.context)
    hint = "write a number, or {start: 1, end: 3, after: 10%, until: 50%}"
    paper = ", paper" if info.field_name == "rmin" else ""
    raise invalid(f"expected a number, a ramp{paper} or null, found {quote(value)}", hint)


_LIMIT_SCHEMA: dict[str, Any] = {
    "anyOf": [*number_schema()["anyOf"], {"type": "object"}, {"type": "null"}]
}
_RMIN_SCHEMA = {"anyOf": [*_LIMIT_SCHEMA["anyOf"], {"const": "paper"}]}
LimitValue = Annotated[Limit, PlainValidator(_limit), WithJsonSchema(_LIMIT_SCHEMA)]
RminValue = Annotated[Limit, PlainValidator(_limit), WithJsonSchema(_RMIN_SCHEMA)]


class RenormClipping(Spec):
    """Limits of the corrections in batch renormalization; each is a number, a ramp, or null.

    The ramps of rmin and rmax must not cross. With durations in different units, this cannot be
    checked before training; while rmin is above rmax, r is rmax.
    """

    rmax: LimitValue = None
    """largest r; null: no limit"""
    rmin: RminValue = None
    """smallest r; null: 0; paper: 1/rmax"""
    dmax: LimitValue = None
    """d is clipped to ±dmax; null: no limit"""

    @model_validator(mode="after")
    def _right_way_up(self) -> Self:
        for when, value_of in self._moments():
            rmax = value_of(self.rmax) if isinstance(self.rmax, Ramp) else math.inf
            if self.rmin == "paper" and rmax < 1:
                raise invalid(f"with rmin: paper, rmax must be at least 1, found {rmax:g}")
            limits = self._limits(value_of)
            if limits["rmin"] > rmax + ROUNDING_TOLERANCE:
                raise invalid(
                    f"rmin ({limits['rmin']:g}) is above rmax ({rmax:g}){when}",
                    "rmin must be at most rmax; the default of rmin is 0",
                )
            if limits["dmax"] < 0:
                hint = "leave out dmax for no limit"
                raise invalid(f"dmax must be at least 0, found {limits['dmax']:g}", hint)
        return self

    def _moments(self) -> Iterator[tuple[str, Callable[[Ramp], float]]]:
        """Yield the moments at which ramps can cross: both ends, and the corners of the ramps.

        Each is a text for messages and a function that evaluates a ramp. Corners are comparable
        only if all durations have the same unit.
        """
        yield "", attrgetter("start")
        yield "", attrgetter("end")
        ramps = [ramp for ramp in (self.rmin, self.rmax) if isinstance(ramp, Ramp)]
        corners = {corner for ramp in ramps for corner in (ramp.after, ramp.until) if corner.amount}
        if len({corner.unit for corner in corners}) == 1:
            for corner in sorted(corners, key=attrgetter("amount")):
                before = math.nextafter(corner.amount, 0)  # a ramp may jump there
                yield f" before {corner}", methodcaller("at_amount", before)
                yield f" after {corner}", methodcaller("at_amount", corner.amount)

    def initial(self) -> dict[str, float]:
        """Return the limits at the start of a run."""
        return self._limits(attrgetter("start"))

    def at(self, progress: Progress) -> dict[str, float]:
        """Return the limits for the next step."""
        return self._limits(lambda ramp: ramp.at(progress))

    def _limits(self, value: Callable[[Ramp], float]) -> dict[str, float]:
        rmax = value(self.rmax) if isinstance(self.rmax, Ramp) else math.inf
        dmax = value(self.dmax) if isinstance(self.dmax, Ramp) else math.inf
        rmin = value(self.rmin) if isinstance(self.rmin, Ramp) else 0.0
        return {"rmax": rmax, "rmin": 1 / rmax if self.rmin == "paper" else rmin, "dmax": dmax}
