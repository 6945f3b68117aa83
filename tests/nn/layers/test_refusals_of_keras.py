"""What real Keras refuses of a layer must not pass here; what passes has Keras' output shape.

Every field of every layer is given every value of one list, sensible or not.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from sepcnn.errors import ConfigError
from sepcnn.nn.graph import GraphError, make_graph
from sepcnn.nn.layers import LAYERS
from sepcnn.nn.layers.base import Block, LeafLayer, Shape, ShapeError
from sepcnn.nn.layers.merge import Merge
from tests.nn.layers.reading import read_layers
from tests.reference import keras

REQUIRED: dict[str, dict[str, Any]] = {
    "Conv2D": {"filters": 4, "kernel_size": 3},
    "SeparableConv2D": {"filters": 4, "kernel_size": 3},
    "DepthwiseConv2D": {"kernel_size": 3},
    "Conv2DTranspose": {"filters": 4, "kernel_size": 3},
    "AveragePooling2D": {"pool_size": 2},  # in Keras; here 2 is the default
    "GroupNormalization": {"groups": 2},
    "Dense": {"units": 3},
    "Rescaling": {"scale": 2.0},
    "Resizing": {"height": 4, "width": 4},
    "CenterCrop": {"height": 4, "width": 4},
    "Activation": {"activation": "relu"},
    "Reshape": {"target_shape": [8, 8, 4]},
    "Permute": {"dims": [1, 2, 3]},
    "Dropout": {"rate": 0.5},
    "SpatialDropout2D": {"rate": 0.5},
    "GaussianNoise": {"stddev": 0.5},
    "BatchNormalization": {"renorm": True},
}
NUMBERS = [-2, -1, 0, 1, 2, 3, 7, 9, -0.5, 0.5, 1.0, 1.5, None, True]
LISTS = [[], [1], [1, 2], [2, 1], [0, 1], [-1, 2], [-1, 7], [1, 2, 3], [3, 2, 1], [1, 1, 2]]
MARGINS = [[[1, 2], [3, 4]], [[-1, 0], [0, 0]], [[5, 5], [0, 0]], [[4, 4], [0, 0]]]
LIMITS = [{"rmax": 1, "rmin": 2}, {"dmax": -1}, {"rmax": 2, "x": 1}]
VALUES: list[Any] = [*NUMBERS, *LISTS, *MARGINS, *LIMITS, "same", "relu", "nonsense"]
SHAPES: list[Shape] = [(8, 8, 4), (5,), (2, 3, 4, 5)]
BOTH = [name for name in LAYERS if hasattr(keras.layers, name)]
ONE_INPUT = [name for name in BOTH if not issubclass(LAYERS[name], Merge | Block)]
MERGES = [name for name in BOTH if issubclass(LAYERS[name], Merge)]


WIDER = {
    # Keras on torch crashes if axes before the last are normalized; on TensorFlow it does not.
    ("LayerNormalization", "axis"),
    # Also negative axes; Keras includes the batch only for positive numbers.
    ("PReLU", "shared_axes"),
}
"""by layer, the field that accepts more than Keras on torch"""


def arguments(kind: str) -> Iterator[dict[str, Any]]:
    names = [name for name in LAYERS[kind].own_fields() if not name.endswith("_initializer")]
    for name, value in itertools.product(names, VALUES):
        if (kind, name) not in WIDER:
            yield {**REQUIRED.get(kind, {}), name: value}


def our_shape(kind: str, fields: dict[str, Any], shape: Shape) -> Shape | None:
    """The output shape; None if Keras rejects it."""
    try:
        return make_graph(read_layers(json.dumps([{kind: fields}])), shape).output.shape
    except (ConfigError, GraphError):
        return None


@pytest.mark.covering("one")
@pytest.mark.parametrize("kind", ONE_INPUT)
def test_arguments(kind: str) -> None:
    taken = 0
    for fields, shape in itertools.product(arguments(kind), SHAPES):
        if found := our_shape(kind, fields, shape):
            taken += 1
            try:
                theirs = getattr(keras.layers, kind)(**fields)(torch.ones(2, *shape))
            except Exception as error:
                pytest.fail(f"Keras refuses {fields} for {shape}: {error}")
            assert tuple(theirs.shape) == (2, *found), fields
    assert taken or not LAYERS[kind].own_fields()


@pytest.mark.parametrize("kind", MERGES)
def test_shapes_to_join(kind: str) -> None:
    sizes: list[Shape] = [(8, 8, 4), (1, 1, 4), (8, 8, 1), (1, 8, 3), (4, 4, 4), (4,), (1,), (5,)]
    layer = LAYERS[kind]()
    assert isinstance(layer, LeafLayer)
    for count in (2, 3):
        for shapes in itertools.product(sizes, repeat=count):
            try:
                found = layer.output_shape(*shapes)
            except ShapeError:
                continue
            try:
                theirs = getattr(keras.layers, kind)()([torch.ones(2, *s) for s in shapes])
            except Exception as error:
                pytest.fail(f"Keras refuses {shapes}: {error}")
            assert tuple(theirs.shape) == (2, *found), shapes
