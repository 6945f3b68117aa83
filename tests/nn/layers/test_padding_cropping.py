"""Padding and cropping compared with Keras."""

from __future__ import annotations

import pytest

from sepcnn.nn.layers import Cropping2D, ZeroPadding2D
from sepcnn.nn.layers.base import ReceptiveField, Shape
from tests.nn.layers.reading import complaint, read_layer
from tests.reference import SideBySide

MARGINS = [0, 1, (1, 2), ((0, 1), (2, 0)), ((1, 0), (0, 3)), ((0, 0), (1, 1)), (2, (0, 1))]


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("shape", [(7, 9, 3), (5, 6, 1)], ids=str)
@pytest.mark.parametrize("margins", MARGINS, ids=str)
@pytest.mark.parametrize(
    ("kind", "field"), [("ZeroPadding2D", "padding"), ("Cropping2D", "cropping")]
)
def test_every_margin_matches_keras(
    kind: str, field: str, margins: object, shape: Shape, batch: int
) -> None:
    SideBySide(kind, {field: margins}, shape).compare(batch)


@pytest.mark.parametrize("kind", ["ZeroPadding2D", "Cropping2D"])
def test_the_default_matches_keras(kind: str) -> None:
    SideBySide(kind, {}, (7, 9, 3)).compare()


def test_every_way_to_write_the_margins() -> None:
    assert read_layer("ZeroPadding2D: 2") == ZeroPadding2D(padding=((2, 2), (2, 2)))
    assert read_layer("ZeroPadding2D: [1, 2]") == ZeroPadding2D(padding=((1, 1), (2, 2)))
    sides = read_layer("Cropping2D: [[0, 1], [2, 3]]")
    assert sides == Cropping2D(cropping=((0, 1), (2, 3)))
    assert Cropping2D(cropping=((0, 1), (2, 3))).output_shape((7, 9, 3)) == (6, 4, 3)


def test_one_pixel_may_be_left() -> None:
    assert Cropping2D(cropping=((3, 3), (0, 8))).output_shape((7, 9, 3)) == (1, 1, 3)


def test_the_receptive_field_is_one_pixel() -> None:
    assert (
        ZeroPadding2D().receptive_field()
        == Cropping2D().receptive_field()
        == ReceptiveField((1, 1))
    )


MARGIN = (
    "expected a whole number, [top/bottom, left/right] or [[top, bottom], [left, right]], found "
)
CORNER = "[[0, 1], [0, 1]] is one row at the bottom and one column at the right"


@pytest.mark.parametrize("text", ["-1", "1.5", "true", "[1]", "[1, 2, 3]", "[[1], [2]]", "[1, -1]"])
@pytest.mark.parametrize(
    ("kind", "field"), [("ZeroPadding2D", "padding"), ("Cropping2D", "cropping")]
)
def test_invalid_margins_are_rejected(kind: str, field: str, text: str) -> None:
    path = f"layers[0].{kind}.{field}"
    assert complaint(f"[{kind}: {{{field}: {text}}}]") == (path, MARGIN + text, CORNER)


@pytest.mark.parametrize(
    ("layers", "path", "message", "hint"),
    [
        (
            "[Cropping2D: [[4, 4], [0, 0]]]",
            "[0].Cropping2D",
            "cropping 4 + 4 rows and 0 + 0 columns leaves nothing of the 8×8 input",
            "crop less, or move the layer to where the image is larger",
        ),
        (
            "[Cropping2D: [1, [0, 9]]]",
            "[0].Cropping2D",
            "cropping 1 + 1 rows and 0 + 9 columns leaves nothing of the 8×8 input",
            "crop less, or move the layer to where the image is larger",
        ),
        (
            "[Flatten, ZeroPadding2D]",
            "[1].ZeroPadding2D",
            "needs an image, but its input is 192 features",
            "move it before the Flatten or global pooling layer",
        ),
    ],
    ids=["rows", "columns", "features"],
)
def test_refusals(layers: str, path: str, message: str, hint: str) -> None:
    assert complaint(layers) == (f"layers{path}", message, hint)
