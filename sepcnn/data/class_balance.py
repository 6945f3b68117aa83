"""Class weights in the loss, and measures of class imbalance."""

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
"""classes are imbalanced if the largest has at least this many times the images of the smallest"""
NOTABLE_IMBALANCE = 3
"""ratio of the largest to the smallest class from which imbalance is reported"""
MAX_NAMES_SHOWN = 10


def _class_weights(value: Any) -> Literal["balanced"] | tuple[float, ...] | dict[str, float] | None:
    if value is None or value == BALANCED:
        return value  # type: ignore[no-any-return]
    by_name = isinstance(value, Mapping)
    if (not by_name and not isinstance(value, list | tuple)) or not value:
        hint = "for example balanced, {cat: 1, dog: 5}, or [1, 5] in the order of the classes"
        raise invalid(f"expected class weights, found {quote(value)}", hint)
    weights = dict(value) if by_name else dict(enumerate(value))
    numbers = {key: finite_number(weight) for key, weight in weights.items()}
    wrong = [key for key, number in numbers.items() if number is None or number <= 0]
    if wrong:
        # The key of a mapping or the index in a list is part of the location.
        raise ValidationError.from_exception_data(
            "config",
            [
                InitErrorDetails(
                    type=invalid(
                        f"expected a number above 0, found {quote(weights[key])}",
                        "the loss of each image of the class is multiplied by this number",
                    ),
                    loc=(key,),
                    input=weights[key],
                )
                for key in wrong
            ],
        )
    checked = {key: number for key, number in numbers.items() if number is not None}
    return {str(key): n for key, n in checked.items()} if by_name else tuple(checked.values())


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
"""balanced, a mapping from class name to weight, or a list in the order of the classes"""


def class_mismatches(weights: ClassWeights, class_names: Sequence[str]) -> Iterator[Mismatch]:
    """Errors in weights that do not match the classes; locations are below ``class_weights``."""
    if not class_names:  # not known yet
        return
    if isinstance(weights, tuple) and len(weights) != len(class_names):
        message = f"{counted(len(weights), 'weight')}, but there are {len(class_names)} classes"
        yield Mismatch(message, f"give one per class, in this order: {join_names(class_names)}")
    if isinstance(weights, dict):
        for name in (name for name in weights if name not in class_names):
            near = nearest(name, class_names)
            hint = f"did you mean '{near}'?" if near else f"classes: {join_names(class_names)}"
            yield Mismatch(f"there is no class '{name}'", hint, (name,), at_key=True)


def join_names(names: Sequence[str]) -> str:
    """The first names, with an ellipsis if there are more."""
    shown = ", ".join(names[:MAX_NAMES_SHOWN])
    return shown if len(names) <= MAX_NAMES_SHOWN else f"{shown}, …"


def resolve_class_weights(
    weights: ClassWeights, class_names: Sequence[str], labels: torch.Tensor
) -> tuple[float, ...] | None:
    """One factor per class, as ``class_weight`` of Keras; a class that is not named has 1.

    balanced is N / (K · N_c), as in scikit-learn: N images, N_c of them of class c, and K classes
    with images. The mean factor of all images is then 1. A class without images has 1.
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
    """Whether classes are so imbalanced that accuracy says little about the small ones."""
    counts = torch.bincount(labels, minlength=classes)
    return bool(counts.max() >= IMBALANCE_RATIO * counts.min())
