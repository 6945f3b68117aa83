"""Flatten beside real Keras: the order of the features is height, width, channel."""

from __future__ import annotations

import pytest
import torch

from sepcnn.layers import Flatten
from sepcnn.layers.base import Shape
from tests.layers.reading import complaint
from tests.reference import SideBySide


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("shape", [(7, 9, 3), (2, 1, 4), (5,)], ids=str)
def test_flatten_is_keras(shape: Shape, batch: int) -> None:
    SideBySide("Flatten", {}, shape).compare(batch)


@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last], ids=str)
def test_the_order_is_height_width_channel(memory: torch.memory_format) -> None:
    counted = torch.arange(2 * 3 * 4).reshape(1, 2, 3, 4)
    x = counted.movedim(-1, 1).contiguous(memory_format=memory)
    assert Flatten().build((2, 3, 4))(x).tolist() == [list(range(24))]


def test_flatten_takes_no_value() -> None:
    assert complaint("[Flatten: 3]") == (
        "layers[0].Flatten",
        "'Flatten' takes no value",
        "write Flatten alone",
    )
