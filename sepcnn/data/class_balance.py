"""Classes of unequal size: how unequal they are, and what weight each has in the loss."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

import torch
from pydantic import PlainValidator, ValidationError, WithJsonSchema
from pydantic_core import InitErrorDetails

from sepcnn.language.messages import invalid, nearest, quote
from sepcnn.language.mismatch import Mismatch
from sepcnn.language.values import finite_number, number_schema
from sepcnn.wording import counted

BALANCED: Literal["balanced"] = "balanced"
IMBALANCE_RATIO = 2.0
"""classes are of unequal size where the largest has so many times the images of the smallest"""
NOTABLE_IMBALANCE = 3
"""images of the largest class per image of the smallest above which a note is worthwhile"""
MAX_NAMES_SHOWN = 10


def _class_weights(value: Any) -> Literal["balanced"] | tuple[float, ...] | dict[str, float] | None:
    if value is None or value == BALANCED:
        return value  # type: ignore[no-any-return]
    of_names = isinstance(value, Mapping)
    if (not of_names and not isinstance(value, list | tuple)) or not value:
        hint = "as in balanced, {cat: 1, dog: 5}, or [1, 5] in the order of the classes"
        raise invalid(f"expected the weights of the classes, found {quote(value)}", hint)
    weights = dict(value) if of_names else dict(enumerate(value))
    found = {key: finite_number(weight) for key, weight in weights.items()}
    wrong = [key for key, number in found.items() if number is None or number <= 0]
    if wrong:
        # A mapping's key is a place below the field, as the index in a list is.
        raise ValidationError.from_exception_data(
            "config",
            [
                InitErrorDetails(
                    type=invalid(
                        f"expected a number above 0, found {quote(weights[key])}",
                        "it multiplies the loss of each image of the class",
                    ),
                    loc=(key,),
                    input=weights[key],
                )
                for key in wrong
            ],
        )
    checked = {key: number for key, number in found.items() if number is not None}
    return {str(key): n for key, n in checked.items()} if of_names else tuple(checked.values())


_WEIGHT_SCHEMA = number_schema(exclusiveMinimum=0)
ClassWeights = Annotated[
    Literal["balanced"] | tuple[float, ...] | dict[str, float] | None,
    PlainValidator(_class_weights),
    WithJsonSchema(
        {
            "anyOf": [
                {"const": BALANCED},
                {"type": "object", "additionalProperties": _WEIGHT_SCHEMA},
                {"type": "array", "items": _WEIGHT_SCHEMA, "minItems": 1},
                {"type": "null"},
            ]
        }
    ),
]
"""balanced, a number for each class by name, or a list in the order of the classes"""


def class_mismatches(weights: ClassWeights, class_names: Sequence[str]) -> Iterator[Mismatch]:
    """The weights that do not fit these classes; places are below ``class_weights``."""
    if not class_names:  # not known yet
        return
    if isinstance(weights, tuple) and len(weights) != len(class_names):
        message = f"{counted(len(weights), 'weight')}, but there are {len(class_names)} classes"
        yield Mismatch(message, f"give one for each, in this order: {join_names(class_names)}")
    if isinstance(weights, dict):
        for name in (name for name in weights if name not in class_names):
            near = nearest(name, class_names)
            hint = f"did you mean '{near}'?" if near else f"classes: {join_names(class_names)}"
            yield Mismatch(f"there is no class '{name}'", hint, (name,), at_key=True)


def join_names(names: Sequence[str]) -> str:
    shown = ", ".join(names[:MAX_NAMES_SHOWN])
    return shown if len(names) <= MAX_NAMES_SHOWN else f"{shown}, …"


def resolve_class_weights(
    weights: ClassWeights, class_names: Sequence[str], labels: torch.Tensor
) -> tuple[float, ...] | None:
    """One factor a class, as Keras' ``class_weight``: a class that is not named has 1.

    balanced is N / (K · N_c), as scikit-learn has it, for N images, N_c of them of class c, and K
    classes that have images; then the mean over the images is 1. A class without any has 1.
    """
    if weights == BALANCED:
        counts = torch.bincount(labels, minlength=len(class_names)).tolist()
        even = len(labels) / sum(count > 0 for count in counts)
        return tuple(even / count if count else 1.0 for count in counts)
    if isinstance(weights, dict):
        return tuple(weights.get(name, 1.0) for name in class_names)
    assert weights is None or isinstance(weights, tuple)
    return weights


def is_imbalanced(labels: torch.Tensor, classes: int) -> bool:
    """Whether accuracy says little of the small classes."""
    counts = torch.bincount(labels, minlength=classes)
    return bool(counts.max() >= IMBALANCE_RATIO * counts.min())
