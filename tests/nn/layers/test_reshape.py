"""Flatten, Reshape and Permute compared with Keras: the order is height, width, channel."""

from __future__ import annotations

import pytest
import torch

from sepcnn.nn.graph import GraphError
from sepcnn.nn.layers import LAYERS, Flatten, Permute, Reshape
from sepcnn.nn.layers.base import Shape
from tests.nn.layers.reading import complaint, read_net
from tests.nn.layers.test_every_layer import ROWS
from tests.reference import SideBySide


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("shape", [(7, 9, 3), (2, 1, 4), (5,)], ids=str)
def test_flatten_matches_keras(shape: Shape, batch: int) -> None:
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


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize(
    ("shape", "target"),
    [
        ((7, 9, 4), (9, 7, 4)),
        ((7, 9, 4), (3, -1, 6)),
        ((7, 9, 4), (-1,)),
        ((7, 9, 4), (63, 4)),
        ((7, 9, 4), (7, 9, 2, -1)),
        ((24,), (2, 3, 4)),
        ((24,), (24,)),
        ((5,), (1, 1, -1)),
    ],
    ids=str,
)
def test_reshape_matches_keras(shape: Shape, target: Shape, batch: int) -> None:
    SideBySide("Reshape", {"target_shape": target}, shape).compare(batch)


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize(
    ("shape", "dims"),
    [
        *(((7, 9, 4), dims) for dims in [(1, 2, 3), (2, 1, 3), (3, 1, 2), (3, 2, 1), (1, 3, 2)]),
        ((5,), (1,)),
        ((5, 6), (2, 1)),
        ((2, 3, 4, 5), (4, 2, 1, 3)),
    ],
    ids=str,
)
def test_permute_matches_keras(shape: Shape, dims: Shape, batch: int) -> None:
    SideBySide("Permute", {"dims": dims}, shape).compare(batch)


def test_axes_are_numbered_height_width_channel() -> None:
    counted = torch.arange(24)[None]
    image = Reshape(target_shape=(2, 3, 4)).build((24,))(counted)
    assert image.movedim(1, -1).tolist() == torch.arange(24).reshape(1, 2, 3, 4).tolist()
    swapped = Permute(dims=(2, 1, 3)).build((2, 3, 4))(image)
    assert swapped.movedim(1, -1)[0, 2, 1].tolist() == [20, 21, 22, 23]


def test_reshape_and_permute_shuffle_channels() -> None:
    net = read_net("[Reshape: [1, 1, 2, 3], Permute: [1, 2, 4, 3], Reshape: [6]]", (1, 1, 6))
    assert net(torch.arange(6.0).reshape(1, 6, 1, 1)).tolist() == [[0, 3, 1, 4, 2, 5]]


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("target", [(7, 27), (7, 3, 3, 3)], ids=str)
def test_a_layer_accepts_or_rejects_other_ranks(name: str, target: Shape) -> None:
    """Layers that need an image reject other shapes."""
    row = ROWS[name].replace("inputs: input", "inputs: r")
    try:
        net = read_net(
            f"[{{Reshape: {{name: r, target_shape: {list(target)}}}}}, {row}]", (7, 9, 3)
        )
    except GraphError:
        return
    shape = net.graph.output.shape
    assert net.eval()(torch.randn(2, 3, 7, 9)).shape == (2, shape[-1], *shape[:-1])


TARGET = "expected a list of whole numbers above 0, at most one of them -1, found "


@pytest.mark.parametrize("text", ["12", "[]", "[4, 0]", "[-1, -1]", "[-2, 6]", "[1.5]", "[true]"])
def test_invalid_target_shapes_are_rejected(text: str) -> None:
    hint = "[8, 8, 16] is an image, [256] features; -1 is computed from the other sizes"
    path = "layers[0].Reshape.target_shape"
    assert complaint(f"[Reshape: {{target_shape: {text}}}]") == (path, TARGET + text, hint)


@pytest.mark.parametrize("text", ["1", "[]", "[0, 1, 2]", "[1, 1, 2]", "[1, 2, 4]", "[true, 2]"])
def test_invalid_dims_are_rejected(text: str) -> None:
    message = f"expected a permutation of the axes from 1, found {text}"
    hint = "[2, 1, 3] swaps height and width of an image"
    found = complaint(f"[Permute: {{dims: {text}}}]")
    assert found == ("layers[0].Permute.dims", message, hint)


@pytest.mark.parametrize(
    ("layers", "path", "message", "hint"),
    [
        (
            "[Reshape: [5, -1]]",
            "[0].Reshape",
            "cannot reshape 8×8×3 (192 elements) to 5×-1",
            "use sizes whose product is 192, or -1 for one of them",
        ),
        (
            "[Flatten, Reshape: [8, 8]]",
            "[1].Reshape",
            "cannot reshape 192 features (192 elements) to 8×8",
            "use sizes whose product is 192, or -1 for one of them",
        ),
        (
            "[Permute: [2, 1]]",
            "[0].Permute",
            "dims has 2 axes, but the input is 8×8×3",
            "give each axis once, from 1, without the batch",
        ),
    ],
    ids=["rest", "product", "rank"],
)
def test_refusals(layers: str, path: str, message: str, hint: str) -> None:
    assert complaint(layers) == (f"layers{path}", message, hint)
