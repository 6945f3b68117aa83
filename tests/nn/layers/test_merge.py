"""Merge layers compared with Keras; equal inputs compared with TensorFlow."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from sepcnn.nn.layers import LAYERS
from sepcnn.nn.layers.base import LeafLayer, Shape
from tests.nn.layers.reading import complaint
from tests.reference import Array, SideBySide, assert_close


@pytest.mark.parametrize(
    ("kind", "shapes"),
    [
        ("Add", [(7, 9, 3), (7, 9, 3)]),
        ("Add", [(5,), (5,), (5,)]),
        ("Add", [(7, 9, 3), (1, 1, 3)]),
        ("Add", [(7, 1, 3), (1, 9, 1)]),
        *(
            (kind, shapes)
            for kind in ("Multiply", "Average", "Maximum", "Minimum")
            for shapes in (
                [(7, 9, 3), (7, 9, 3), (7, 9, 3)],
                [(5,), (5,)],
                [(7, 9, 3), (1, 1, 3), (7, 9, 1)],
                [(7, 1, 3), (1, 9, 1)],
            )
        ),
        ("Subtract", [(7, 9, 3), (7, 9, 3)]),
        ("Subtract", [(5,), (5,)]),
        ("Subtract", [(1, 9, 1), (7, 1, 3)]),
        ("Concatenate", [(7, 9, 3), (7, 9, 1)]),
        ("Concatenate", [(5,), (2,), (1,)]),
    ],
    ids=str,
)
def test_merging_matches_keras(kind: str, shapes: list[Shape]) -> None:
    SideBySide(kind, {}, *shapes).compare()


@pytest.mark.parametrize(
    ("axis", "shapes"),
    [
        (1, [(7, 9, 3), (2, 9, 3)]),
        (2, [(7, 9, 3), (7, 1, 3), (7, 4, 3)]),
        (-2, [(7, 9, 3), (7, 1, 3)]),
        (3, [(7, 9, 3), (7, 9, 1)]),
        (1, [(5,), (2,)]),
    ],
    ids=str,
)
def test_concatenation_along_any_axis_matches_keras(axis: int, shapes: list[Shape]) -> None:
    SideBySide("Concatenate", {"axis": axis}, *shapes).compare()


@pytest.mark.parametrize(("kind", "best"), [("Maximum", np.max), ("Minimum", np.min)])
def test_of_equal_inputs_the_first_gets_the_gradient(kind: str, best: Callable[..., Array]) -> None:
    """As TensorFlow's ``_MaximumMinimumGrad`` in tensorflow/python/ops/math_grad.py has it:
    ``x >= y`` or ``x <= y``, and all of the gradient. Here among three, two by two.
    """
    arrays = np.random.default_rng(0).integers(0, 3, size=(3, 2, 5, 4, 4)).astype(float)
    inputs = [torch.tensor(x, requires_grad=True) for x in arrays]
    layer = LAYERS[kind]()
    assert isinstance(layer, LeafLayer)
    found = layer.build(*[(4, 4, 5)] * 3)(*inputs)
    found.sum().backward()
    assert_close(found, best(arrays, axis=0))
    winner = np.argmax(arrays == best(arrays, axis=0), axis=0)  # the first of the best
    for number, x in enumerate(inputs):
        assert x.grad is not None
        assert_close(x.grad, (winner == number).astype(float))


@pytest.mark.parametrize("kind", ["Maximum", "Minimum"])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_nan_is_not_hidden(kind: str, place: int) -> None:
    """Otherwise training would continue with a diverged model."""
    layer = LAYERS[kind]()
    assert isinstance(layer, LeafLayer)
    inputs = [torch.ones(1, 2), torch.ones(1, 2), torch.ones(1, 2)]
    inputs[place][0, 0] = torch.nan
    found = layer.build((2,), (2,), (2,))(*inputs)
    assert found.isnan().tolist() == [[True, False]]


BRING = "padding: same keeps height and width, and a 1×1 Conv2D changes the channels"
TWO = "[ReLU: {name: a}, {Conv2D: {name: b, filters: 4, kernel_size: 3}}, %s]"


@pytest.mark.parametrize(
    ("layers", "path", "message", "hint"),
    [
        (
            TWO % "Add: [a, b]",
            "[2].Add",
            "cannot add inputs with shapes 8×8×3 and 6×6×4",
            BRING,
        ),
        (
            TWO % "Concatenate: [a, b]",
            "[2].Concatenate",
            "cannot concatenate inputs with shapes 8×8×3 and 6×6×4",
            "height and width must be equal: use padding: same, or equal strides",
        ),
        (
            TWO % "Concatenate: {inputs: [a, b], axis: 1}",
            "[2].Concatenate",
            "cannot concatenate inputs with shapes 8×8×3 and 6×6×4",
            "the sizes of all axes except axis 1 must be equal",
        ),
        (
            TWO % "Concatenate: {inputs: [a, b], axis: 4}",
            "[2].Concatenate",
            "there is no axis 4 in 8×8×3",
            "of an image, 1 is the height, 2 the width, 3 or -1 the channels",
        ),
        (
            TWO % "Concatenate: {inputs: [a, b], axis: [1]}",
            "[2].Concatenate.axis",
            "expected an axis, found [1]",
            "of an image, 1 is the height, 2 the width, 3 or -1 the channels",
        ),
        (
            "[ReLU: {name: a}, GlobalAveragePooling2D: {name: b}, Add: [a, b]]",
            "[2].Add",
            "cannot add inputs with shapes 8×8×3 and 3 features",
            BRING,
        ),
        (
            "[ReLU: {name: a}, Add]",
            "[1].Add",
            "Add takes two or more inputs, found one",
            "name the layers to join, as in Add: [name_1, name_2]",
        ),
        (
            TWO % "Multiply: [a, b]",
            "[2].Multiply",
            "cannot multiply inputs with shapes 8×8×3 and 6×6×4",
            BRING,
        ),
        (
            TWO % "Maximum: [a, b]",
            "[2].Maximum",
            "cannot compare inputs with shapes 8×8×3 and 6×6×4",
            BRING,
        ),
        (
            TWO % "Subtract: [a, b]",
            "[2].Subtract",
            "cannot subtract inputs with shapes 8×8×3 and 6×6×4",
            BRING,
        ),
        (
            "[ReLU: {name: a}, Subtract: [a, a, input]]",
            "[1].Subtract",
            "Subtract takes two inputs, found 3",
            "name two layers; the second is subtracted from the first",
        ),
        (
            "[Parallel: {branches: [[ReLU], [ReLU], [ReLU]], merge: Subtract}]",
            "[0].Parallel",
            "Subtract takes two inputs, found 3",
            "name two layers; the second is subtracted from the first",
        ),
        (
            "[Subtract]",
            "[0].Subtract",
            "Subtract takes two inputs, found one",
            "name the layers to join, as in Subtract: [name_1, name_2]",
        ),
        (
            "[Concatenate: []]",
            "[0].Concatenate.inputs",
            "expected the name of at least one earlier layer, found []",
            "layers that join inputs need two or more, as in Add: [name_1, name_2]",
        ),
    ],
    ids=[
        *(
            "add",
            "concatenate",
            "height",
            "axis",
            "axes",
            "ranks",
            "one",
            "multiply",
            "compare",
            "subtract",
        ),
        *("three", "three branches", "subtract one", "none"),
    ],
)
def test_refusals(layers: str, path: str, message: str, hint: str) -> None:
    assert complaint(layers) == (f"layers{path}", message, hint)
