"""Blocks: what they expand into, its names and weights, and what they refuse."""

from __future__ import annotations

import pytest
import torch

from sepcnn.nn.graph import make_graph
from sepcnn.nn.layers.base import Shape
from sepcnn.nn.layers.block import shortcut_to_paste
from tests.nn.layers.reading import complaint, read_layers, read_net

CONV = "Conv2D: {filters: 3, kernel_size: 3, padding: same}"
STRIDED = "Conv2D: {filters: 8, kernel_size: 3, strides: 2, padding: same}"


def leaves(text: str, shape: Shape = (8, 8, 3)) -> list[tuple[str, tuple[str, ...], Shape]]:
    return [
        (leaf.name, leaf.inputs, leaf.shape) for leaf in make_graph(read_layers(text), shape).leaves
    ]


def image_shape(shape: Shape = (8, 8, 3)) -> torch.Tensor:
    height, width, channels = shape
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, channels, height, width, generator=generator)


# ── Residual ──────────────────────────────────────────────────────────────────────────────────


def test_residual_adds_its_input() -> None:
    text = f"[Residual: [{CONV}, ReLU]]"
    assert leaves(text) == [
        ("residual/conv2d", ("input",), (8, 8, 3)),
        ("residual/re_lu", ("residual/conv2d",), (8, 8, 3)),
        ("residual/add", ("residual/re_lu", "input"), (8, 8, 3)),
    ]
    net, x = read_net(text, (8, 8, 3)), image_shape()
    main = net.get_submodule("residual/conv2d")(x).relu()
    torch.testing.assert_close(net(x), main + x)


def test_residual_adds_its_shortcut() -> None:
    shortcut = "Conv2D: {name: around, filters: 8, kernel_size: 1, strides: 2, padding: same}"
    text = f"[ReLU, Residual: {{name: r, layers: [{STRIDED}], shortcut: [{shortcut}]}}]"
    assert leaves(text) == [
        ("re_lu", ("input",), (8, 8, 3)),
        ("r/conv2d", ("re_lu",), (4, 4, 8)),
        ("r/around", ("re_lu",), (4, 4, 8)),
        ("r/add", ("r/conv2d", "r/around"), (4, 4, 8)),
    ]
    net, x = read_net(text, (8, 8, 3)), image_shape()
    main, around = (net.get_submodule(name)(x.relu()) for name in ("r/conv2d", "r/around"))
    torch.testing.assert_close(net(x), main + around)


PASTE_8 = (
    "write shortcut: [Conv2D: {filters: 8, kernel_size: 1, strides: 2, padding: same, "
    "use_bias: false}, BatchNormalization]"
)
VALID = "use padding: same in the layers, so that the size changes by strides alone"


@pytest.mark.parametrize(
    ("layers", "path", "message", "hint"),
    [
        (
            f"[Residual: [{STRIDED}]]",
            "[0].Residual",
            "the layers give 4×4×8, but the block's input is 8×8×3",
            PASTE_8,
        ),
        (
            f"[Residual: {{layers: [{STRIDED}], shortcut: [MaxPooling2D]}}]",
            "[0].Residual",
            "the layers give 4×4×8, but the shortcut is 4×4×3",
            PASTE_8,
        ),
        (
            "[Residual: [{Conv2D: {filters: 3, kernel_size: 4}}]]",
            "[0].Residual",
            "the layers give 5×5×3, but the block's input is 8×8×3",
            VALID,
        ),
        (
            "[Residual: [Flatten]]",
            "[0].Residual",
            "the layers give 192 features, but the block's input is 8×8×3",
            "give a shortcut whose output has the shape of the layers' output",
        ),
        (
            f"[ReLU, Residual: [{CONV}, Residual: [{STRIDED}]]]",
            "[1].Residual.layers[1].Residual",
            "the layers give 4×4×8, but the block's input is 8×8×3",
            PASTE_8,
        ),
    ],
    ids=["identity", "shortcut", "valid", "features", "nested"],
)
def test_a_residual_that_does_not_fit(layers: str, path: str, message: str, hint: str) -> None:
    assert complaint(layers) == (f"layers{path}", message, hint)


@pytest.mark.parametrize("size", [7, 8, 9, 16])
@pytest.mark.parametrize("strides", [1, 2, 3])
def test_the_shortcut_to_paste_fits(size: int, strides: int) -> None:
    layer = f"Conv2D: {{filters: 5, kernel_size: 3, strides: {strides}, padding: same}}"
    _, _, hint = complaint(f"[Residual: [{layer}]]", (size, size, 3))
    pasted = hint.removeprefix("write ")
    assert pasted != hint
    outputs = -(-size // strides)
    text = f"[Residual: {{layers: [{layer}], {pasted}}}]"
    assert leaves(text, (size, size, 3))[-1][2] == (outputs, outputs, 5)


def test_no_shortcut_is_offered_where_no_stride_fits() -> None:
    assert shortcut_to_paste((8, 8, 3), (4, 2, 3)) == VALID


# ── Repeat ────────────────────────────────────────────────────────────────────────────────────


def test_repeat_has_weights_of_its_own_each_time() -> None:
    text = f"[Repeat: {{times: 3, layers: [{CONV}, ReLU]}}]"
    assert leaves(text) == [
        ("repeat/1/conv2d", ("input",), (8, 8, 3)),
        ("repeat/1/re_lu", ("repeat/1/conv2d",), (8, 8, 3)),
        ("repeat/2/conv2d", ("repeat/1/re_lu",), (8, 8, 3)),
        ("repeat/2/re_lu", ("repeat/2/conv2d",), (8, 8, 3)),
        ("repeat/3/conv2d", ("repeat/2/re_lu",), (8, 8, 3)),
        ("repeat/3/re_lu", ("repeat/3/conv2d",), (8, 8, 3)),
    ]
    net = read_net(text, (8, 8, 3))
    kernels = [net.get_parameter(f"repeat/{number}/conv2d.weight") for number in (1, 2, 3)]
    assert len({kernel.detach().numpy().tobytes() for kernel in kernels}) == 3


def test_repeat_once_is_the_layers_themselves() -> None:
    once = leaves(f"[Repeat: {{times: 1, layers: [{CONV}]}}]")
    assert once == [("repeat/1/conv2d", ("input",), (8, 8, 3))]


def test_blocks_nest() -> None:
    text = f"[Repeat: {{name: stage, times: 2, layers: [Residual: [{CONV}]]}}]"
    assert [name for name, _, _ in leaves(text)] == [
        "stage/1/residual/conv2d",
        "stage/1/residual/add",
        "stage/2/residual/conv2d",
        "stage/2/residual/add",
    ]


def test_the_layer_that_stops_fitting_is_named_once() -> None:
    shrinking = "Repeat: {times: 5, layers: [ReLU, MaxPooling2D]}"
    assert complaint(f"[{shrinking}]") == (
        "layers[0].Repeat.layers[1].MaxPooling2D",
        "a 2×2 window does not fit this layer's 1×1 input",
        "use padding: same, or one MaxPooling2D fewer above",
    )


# ── Parallel ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("merge", "name", "channels"), [("Concatenate", "concatenate", 7), ("Add", "add", 3)]
)
def test_parallel_branches_read_the_same_input(merge: str, name: str, channels: int) -> None:
    filters = channels - 3 if merge == "Concatenate" else 3
    conv = f"Conv2D: {{filters: {filters}, kernel_size: 1}}"
    text = f"[Parallel: {{branches: [[ReLU], [{conv}]], merge: {merge}}}]"
    assert leaves(text) == [
        ("parallel/1/re_lu", ("input",), (8, 8, 3)),
        ("parallel/2/conv2d", ("input",), (8, 8, filters)),
        (f"parallel/{name}", ("parallel/1/re_lu", "parallel/2/conv2d"), (8, 8, channels)),
    ]
    net, x = read_net(text, (8, 8, 3)), image_shape()
    branches = [x.relu(), net.get_submodule("parallel/2/conv2d")(x)]
    merged = torch.cat(branches, dim=1) if merge == "Concatenate" else branches[0] + branches[1]
    torch.testing.assert_close(net(x), merged)


@pytest.mark.parametrize(
    ("layers", "path", "message", "hint"),
    [
        (
            "[Parallel: [[ReLU]]]",
            ".branches",
            "expected at least 2 items, found 1",
            "branches: lists of layers, one a branch",
        ),
        (
            "[Parallel: {branches: [[ReLU], [ReLU]], merge: ReLU}]",
            "",
            "ReLU does not join branches",
            "use Concatenate or Add",
        ),
        (
            "[Parallel: {branches: [[ReLU], [ReLU]], merge: {Add: [a, b]}}]",
            "",
            "merge joins the branches and reads nothing else",
            "leave out inputs",
        ),
        (
            "[Parallel: {branches: [[ReLU], [MaxPooling2D]], merge: Add}]",
            "",
            "cannot add inputs of the shapes 8×8×3 and 4×4×3",
            "bring them to one shape, as with Conv2D: {kernel_size: 1, …} or padding: same",
        ),
        (
            "[Parallel: {branches: [[ReLU], [ReLU, MaxPooling2D: 9]]}]",
            ".branches[1][1].MaxPooling2D",
            "a 9×9 window does not fit this layer's 8×8 input",
            "use padding: same, or one MaxPooling2D fewer above",
        ),
    ],
    ids=["one", "no-merge", "inputs", "shapes", "branch"],
)
def test_a_parallel_that_does_not_fit(layers: str, path: str, message: str, hint: str) -> None:
    assert complaint(layers) == (f"layers[0].Parallel{path}", message, hint)


# ── fields ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("layers", "path", "message", "hint"),
    [
        (
            "[Residual: []]",
            ".Residual.layers",
            "expected at least 1 item, found 0",
            "layers: the layers on the main way",
        ),
        (
            "[Repeat: {times: 0, layers: [ReLU]}]",
            ".Repeat.times",
            "must be above 0, found 0",
            "times: how many times",
        ),
        (
            "[Repeat: 3]",
            ".Repeat",
            "'layers' is required",
            "layers: the layers to repeat",
        ),
        (
            "[ReLU: {name: a}, Residual: {inputs: [input, a], layers: [ReLU]}]",
            ".Residual",
            "Residual reads one layer, not 2",
            "join them first with Add or Concatenate",
        ),
    ],
    ids=["no-layers", "no-times", "only-times", "two-inputs"],
)
def test_refusals(layers: str, path: str, message: str, hint: str) -> None:
    index = layers.count("name: a")
    assert complaint(layers) == (f"layers[{index}]{path}", message, hint)
