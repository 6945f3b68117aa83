"""What the rules about one weight share: they may not fit a weight of any number of axes.

Initializers, regularizers and constraints are such rules. All see a weight in *Keras'* layout (a
convolution kernel is height × width × inputs × outputs).
"""

from __future__ import annotations

from pydantic import AfterValidator

from sepcnn.language.messages import refuse
from sepcnn.language.spec import Choice


class WeightRule(Choice):
    """A choice about one weight."""

    def refusal(self, axes: int) -> tuple[str, str] | None:
        """Why it does not fit a weight of so many axes, and what to do; None: it fits."""
        return None


def for_axes(axes: int) -> AfterValidator:
    """Refuses, when the config is read, what does not fit a weight of so many axes."""

    def check(rule: WeightRule | None) -> WeightRule | None:
        if rule and (refusal := rule.refusal(axes)):
            raise refuse(*refusal)
        return rule

    return AfterValidator(check)
