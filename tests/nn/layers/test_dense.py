"""Dense compared with Keras, and the check that Keras computes in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from sepcnn.nn.layers import Dense
from sepcnn.nn.layers.base import Shape, ShapeError
from tests.nn.layers.reading import complaint
from tests.reference import SideBySide, keras

UNITS = "units: number of outputs; auto: the number of classes in the data"


def test_keras_computes_in_float64() -> None:
    """In float32 the difference would be 1e-7. All comparisons with Keras depend on this."""
    random = np.random.default_rng(0)
    x, kernel, bias = (random.normal(size=size) for size in ((4, 50), (50, 3), 3))
    layer = keras.layers.Dense(3, dtype="float64")
    layer.build((None, 50))
    layer.set_weights([kernel, bias])
    found = layer(torch.tensor(x)).detach().numpy()
    np.testing.assert_allclose(found, x @ kernel + bias, rtol=1e-14, atol=1e-14)


@pytest.mark.covering("pairs")
@pytest.mark.parametrize("training", [True, False], ids=["training", "inference"])
@pytest.mark.parametrize("batch", [1, 5])
@pytest.mark.parametrize("shape", [(6,), (1,), (3, 5, 6)], ids=["features", "one", "pixels"])
@pytest.mark.parametrize(
    "arguments",
    [
        {"units": 4},
        {"units": 1, "use_bias": False},
        {"units": 4, "activation": "relu"},
        {"units": 4, "activation": "softmax"},
        {"units": 4, "activation": "silu", "use_bias": False},
    ],
    ids=lambda arguments: "-".join(map(str, arguments.values())),
)
def test_matches_keras(arguments: dict[str, Any], shape: Shape, batch: int, training: bool) -> None:
    SideBySide("Dense", arguments, shape).compare(batch, training)


@pytest.mark.parametrize(
    ("shape", "macs"), [((6,), 6 * 4), ((3, 5, 6), 3 * 5 * 6 * 4)], ids=["features", "pixels"]
)
def test_macs(shape: Shape, macs: int) -> None:
    layer = Dense(units=4)
    assert layer.macs((shape,), layer.output_shape(shape)) == macs


def test_units_auto_needs_the_number_of_classes() -> None:
    with pytest.raises(ShapeError) as caught:
        Dense(units="auto").output_shape((6,))
    assert str(caught.value) == (
        "units: auto needs the number of classes, which is not known here\n"
        "   write the number of units"
    )


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ("Dense: 0", "expected a whole number above 0 or auto, found 0"),
        ("Dense: 2.0", "expected a whole number above 0 or auto, found 2.0"),
        ("Dense: true", "expected a whole number above 0 or auto, found true"),
        ("Dense: many", "expected a whole number above 0 or auto, found 'many'"),
    ],
)
def test_refused_units(layer: str, message: str) -> None:
    assert complaint(f"[{layer}]") == ("layers[0].Dense.units", message, UNITS)
