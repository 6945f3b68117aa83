"""Add and Concatenate beside real Keras."""

from __future__ import annotations

import pytest

from sepcnn.layers.base import Shape
from tests.layers.reading import complaint
from tests.reference import SideBySide


@pytest.mark.parametrize(
    ("kind", "shapes"),
    [
        ("Add", [(7, 9, 3), (7, 9, 3)]),
        ("Add", [(5,), (5,), (5,)]),
        ("Add", [(7, 9, 3), (1, 1, 3)]),
        ("Add", [(7, 1, 3), (1, 9, 1)]),
        ("Concatenate", [(7, 9, 3), (7, 9, 1)]),
        ("Concatenate", [(5,), (2,), (1,)]),
    ],
    ids=str,
)
def test_merging_is_keras(kind: str, shapes: list[Shape]) -> None:
    SideBySide(kind, {}, *shapes).compare()


TWO = "[ReLU: {name: a}, {Conv2D: {name: b, filters: 4, kernel_size: 3}}, %s]"


@pytest.mark.parametrize(
    ("layers", "path", "message", "hint"),
    [
        (
            TWO % "Add: [a, b]",
            "[2].Add",
            "cannot add inputs of the shapes 8×8×3 and 6×6×4",
            "bring them to one shape, as with Conv2D: {kernel_size: 1, …} or padding: same",
        ),
        (
            TWO % "Concatenate: [a, b]",
            "[2].Concatenate",
            "cannot concatenate inputs of the shapes 8×8×3 and 6×6×4",
            "height and width must agree: use padding: same, or the same pooling in each",
        ),
        (
            "[ReLU: {name: a}, GlobalAveragePooling2D: {name: b}, Add: [a, b]]",
            "[2].Add",
            "cannot add inputs of the shapes 8×8×3 and 3 features",
            "bring them to one shape, as with Conv2D: {kernel_size: 1, …} or padding: same",
        ),
        (
            "[ReLU: {name: a}, Add]",
            "[1].Add",
            "Add joins two or more layers, but reads one",
            "name the layers to join, as in Add: [name_1, name_2]",
        ),
        (
            "[Concatenate: []]",
            "[0].Concatenate.inputs",
            "expected a list of names of layers above, found []",
            "inputs: names of the layers above that this one reads; "
            "the layer right above unless given",
        ),
    ],
    ids=["add", "concatenate", "ranks", "one", "none"],
)
def test_refusals(layers: str, path: str, message: str, hint: str) -> None:
    assert complaint(layers) == (f"layers{path}", message, hint)
