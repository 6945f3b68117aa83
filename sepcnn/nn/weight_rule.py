"""Base class of initializers, regularizers and constraints.

Each is a rule for one weight. All see the weight in Keras layout: a convolution kernel is
height × width × inputs × outputs.
"""

from __future__ import annotations

from pydantic import AfterValidator

from sepcnn.language.messages import invalid
from sepcnn.language.mismatch import Mismatch
from sepcnn.language.spec import Choice


class WeightRule(Choice):
    """A rule for one weight."""

    first_arguments = 3

    def mismatch(self, axes: int) -> Mismatch | None:
        """Return why the rule cannot apply to a weight with ``axes`` axes; None if it can."""
        return None


def for_axes(axes: int) -> AfterValidator:
    """Return a validator that rejects rules that do not apply to weights with ``axes`` axes."""

    def check(rule: WeightRule | None) -> WeightRule | None:
        if rule and (mismatch := rule.mismatch(axes)):
            raise invalid(mismatch.message, mismatch.hint)
        return rule

    return AfterValidator(check)
