"""Blocks: the layers they expand into, names, weights and errors."""

from __future__ import annotations

import pytest
import torch

from sepcnn.nn.graph import make_graph
from sepcnn.nn.layers.base import Shape
from sepcnn.nn.layers.block import suggested_shortcut
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
VALID = "use padding: same in layers, so that only strides change the size"


@pytest.mark.parametrize(
    ("layers", "path", "message", "hint"),
    [
        (
            f"[Residual: [{STRIDED}]]",
            "[0].Residual",
            "the output of 'layers' is 4×4×8, but the input of the block is 8×8×3",
            PASTE_8,
        ),
        (
            f"[Residual: {{layers: [{STRIDED}], shortcut: [MaxPooling2D]}}]",
            "[0].Residual",
            "the output of 'layers' is 4×4×8, but the shortcut is 4×4×3",
            PASTE_8,
        ),
        (
            "[Residual: [{Conv2D: {filters: 3, kernel_size: 4}}]]",
            "[0].Residual",
            "the output of 'layers' is 5×5×3, but the input of the block is 8×8×3",
            VALID,
        ),
        (
            "[Residual: [Flatten]]",
            "[0].Residual",
            "the output of 'layers' is 192 features, but the input of the block is 8×8×3",
            "use a shortcut whose output has the shape of the output of layers",
        ),
        (
            f"[ReLU, Residual: [{CONV}, Residual: [{STRIDED}]]]",
            "[1].Residual.layers[1].Residual",
            "the output of 'layers' is 4×4×8, but the input of the block is 8×8×3",
            PASTE_8,
        ),
    ],
    ids=["identity", "shortcut", "valid", "features", "nested"],
)
def test_a_residual_that_does_not_fit(layers: str, path: str, message: str, hint: str) -> None:
    assert complaint(layers) == (f"layers{path}", message, hint)


@pytest.mark.parametrize("size", [7, 8, 9, 16])
@pytest.mark.parametrize("strides", [1, 2, 3])
def test_the_suggested_shortcut_fits(size: int, strides: int) -> None:
    layer = f"Conv2D: {{filters: 5, kernel_size: 3, strides: {strides}, padding: same}}"
    _, _, hint = complaint(f"[Residual: [{layer}]]", (size, size, 3))
    pasted = hint.removeprefix("write ")
    assert pasted != hint
    outputs = -(-size // strides)
    text = f"[Residual: {{layers: [{layer}], {pasted}}}]"
    assert leaves(text, (size, size, 3))[-1][2] == (outputs, outputs, 5)


def test_no_shortcut_is_suggested_if_no_stride_fits() -> None:
    assert suggested_shortcut((8, 8, 3), (4, 2, 3)) == VALID


# ── Repeat ────────────────────────────────────────────────────────────────────────────────────


def test_each_repetition_has_its_own_weights() -> None:
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


def test_the_layer_that_does_not_fit_is_named_once() -> None:
    shrinking = "Repeat: {times: 5, layers: [ReLU, MaxPooling2D]}"
    assert complaint(f"[{shrinking}]") == (
        "layers[0].Repeat.layers[1].MaxPooling2D",
        "a 2×2 window does not fit the 1×1 input of this layer",
        "use padding: same, a smaller window, or less pooling before this layer",
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
            "branches: one list of layers per branch",
        ),
        (
            "[Parallel: {branches: [[ReLU], [ReLU]], merge: ReLU}]",
            "",
            "merge must be a layer that joins inputs, found ReLU",
            "use Concatenate or Add",
        ),
        (
            "[Parallel: {branches: [[ReLU], [ReLU]], merge: {Add: [a, b]}}]",
            "",
            "the inputs of merge are always the branches",
            "leave out inputs",
        ),
        (
            "[Parallel: {branches: [[ReLU], [MaxPooling2D]], merge: Add}]",
            "",
            "cannot add inputs with shapes 8×8×3 and 4×4×3",
            "padding: same keeps height and width, and a 1×1 Conv2D changes the channels",
        ),
        (
            "[Parallel: {branches: [[ReLU], [ReLU, MaxPooling2D: 9]]}]",
            ".branches[1][1].MaxPooling2D",
            "a 9×9 window does not fit the 8×8 input of this layer",
            "use padding: same, a smaller window, or less pooling before this layer",
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
            "layers: layers of the main branch",
        ),
        (
            "[Repeat: {times: 0, layers: [ReLU]}]",
            ".Repeat.times",
            "must be above 0, found 0",
            "times: number of repetitions",
        ),
        (
            "[Repeat: 3]",
            ".Repeat",
            "'layers' is required",
            "layers: layers to repeat",
        ),
        (
            "[ReLU: {name: a}, Residual: {inputs: [input, a], layers: [ReLU]}]",
            ".Residual",
            "Residual takes one input, found 2",
            "first join them with Add or Concatenate",
        ),
    ],
    ids=["no-layers", "no-times", "only-times", "two-inputs"],
)
def test_refusals(layers: str, path: str, message: str, hint: str) -> None:
    index = layers.count("name: a")
    assert complaint(layers) == (f"layers[{index}]{path}", message, hint)
