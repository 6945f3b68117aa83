"""Layer list → graph: names, inputs, shapes and errors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import pytest
from pydantic import Field

from sepcnn.language.spec import Context, Spec, read_spec
from sepcnn.language.yaml_reader import parse
from sepcnn.nn.graph import INPUT, Graph, GraphError, make_graph, snake_case
from sepcnn.nn.layers import LAYERS
from sepcnn.nn.layers.base import LayerList


class Layers(Spec):
    """A config with only a list of layers."""

    layers: Annotated[LayerList, Field()]


def graph_of(text: str, classes: int | None = None) -> Graph:
    """The graph of a YAML list of layers on 8×8 colour images."""
    spec = read_spec(Layers, parse(f"layers: [{text}]", "c.yaml"), Context(Path()))
    return make_graph(spec.layers, (8, 8, 3), classes)


@pytest.mark.parametrize(
    ("name", "snake"),
    [
        ("Dense", "dense"),
        ("Conv2D", "conv2d"),
        ("SeparableConv2D", "separable_conv2d"),
        ("GlobalAveragePooling2D", "global_average_pooling2d"),
        ("ReLU", "re_lu"),
        ("BatchNormalization", "batch_normalization"),
    ],
)
def test_automatic_names_match_keras(name: str, snake: str) -> None:
    assert name in LAYERS
    assert snake_case(name) == snake


@pytest.mark.parametrize(
    ("layers", "leaves"),
    [
        (
            "ReLU, ReLU, Flatten, ReLU",
            {"re_lu": INPUT, "re_lu_1": "re_lu", "flatten": "re_lu_1", "re_lu_2": "flatten"},
        ),
        # An explicit name is never used as an automatic name.
        (
            "ReLU: {name: re_lu_1}, ReLU, ReLU",
            {"re_lu_1": INPUT, "re_lu": "re_lu_1", "re_lu_2": "re_lu"},
        ),
        (
            "ReLU: {name: a}, Flatten: {name: b, inputs: a}, ReLU: {name: c, inputs: [b]}",
            {"a": INPUT, "b": "a", "c": "b"},
        ),
        ("ReLU: {name: a}, Add: [a, input]", {"a": INPUT, "add": "a input"}),
        ("ReLU: {name: a}, Add: [a, a]", {"a": INPUT, "add": "a a"}),
        (
            "Residual: {layers: [ReLU, ReLU]}, Residual: {layers: [ReLU], name: r}, ReLU",
            {
                "residual/re_lu": INPUT,
                "residual/re_lu_1": "residual/re_lu",
                "residual/add": "residual/re_lu_1 input",
                "r/re_lu": "residual/add",
                "r/add": "r/re_lu residual/add",
                "re_lu": "r/add",
            },
        ),
        (
            "Residual: {layers: [ReLU: {name: a}], shortcut: [ReLU: {name: b}]}",
            {"residual/a": INPUT, "residual/b": INPUT, "residual/add": "residual/a residual/b"},
        ),
        (
            "Repeat: {times: 2, layers: [ReLU, Repeat: {times: 2, layers: [ReLU]}]}, ReLU",
            {
                "repeat/1/re_lu": INPUT,
                "repeat/1/repeat/1/re_lu": "repeat/1/re_lu",
                "repeat/1/repeat/2/re_lu": "repeat/1/repeat/1/re_lu",
                "repeat/2/re_lu": "repeat/1/repeat/2/re_lu",
                "repeat/2/repeat/1/re_lu": "repeat/2/re_lu",
                "repeat/2/repeat/2/re_lu": "repeat/2/repeat/1/re_lu",
                "re_lu": "repeat/2/repeat/2/re_lu",
            },
        ),
        (
            "Parallel: {branches: [[ReLU], [ReLU, ReLU]]}",
            {
                "parallel/1/re_lu": INPUT,
                "parallel/2/re_lu": INPUT,
                "parallel/2/re_lu_1": "parallel/2/re_lu",
                "parallel/concatenate": "parallel/1/re_lu parallel/2/re_lu_1",
            },
        ),
        # A block is an input by its name; inside it, the layers above are visible.
        (
            "ReLU: {name: a}, Repeat: {times: 1, layers: [Add: [a, input]], name: b}, "
            "Add: [b, a]",
            {"a": INPUT, "b/1/add": "a input", "add": "b/1/add a"},
        ),
        # A name inside a block hides the one outside.
        (
            "ReLU: {name: a}, Repeat: {times: 1, layers: [ReLU: {name: a}, ReLU: {inputs: a}]}",
            {"a": INPUT, "repeat/1/a": "a", "repeat/1/re_lu": "repeat/1/a"},
        ),
    ],
)  # fmt: skip
def test_names_and_inputs(layers: str, leaves: dict[str, str]) -> None:
    graph = graph_of(layers)
    assert {leaf.name: " ".join(leaf.inputs) for leaf in graph.leaves} == leaves
    assert graph.output.name == list(leaves)[-1]
    for name, readers in graph.consumers().items():
        assert readers == [
            leaf.name for leaf in graph.leaves for source in leaf.inputs if source == name
        ]


@pytest.mark.parametrize(
    ("layers", "shapes"),
    [
        ("Conv2D: {filters: 5, kernel_size: 3}, MaxPooling2D", [(6, 6, 5), (3, 3, 5)]),
        ("MaxPooling2D, Flatten", [(4, 4, 3), (48,)]),
        ("Conv2D: {filters: 5, kernel_size: 3, strides: 2, padding: same}", [(4, 4, 5)]),
        ("ReLU: {name: a}, Concatenate: [a, input]", [(8, 8, 3), (8, 8, 6)]),
        ("GlobalAveragePooling2D, Dense: 7", [(3,), (7,)]),
        ("Dense: 7", [(8, 8, 7)]),
    ],
)  # fmt: skip
def test_shapes(layers: str, shapes: list[tuple[int, ...]]) -> None:
    assert [leaf.shape for leaf in graph_of(layers).leaves] == shapes


def test_paths_locate_the_layer_in_the_config() -> None:
    graph = graph_of(
        "Residual: {layers: [ReLU]}, Parallel: {branches: [[ReLU], [ReLU, Flatten, Dense: 192]], "
        "merge: Add, name: p}".replace("[ReLU],", "[Flatten],")
    )
    assert [(leaf.name, leaf.path) for leaf in graph.leaves] == [
        ("residual/re_lu", ("model", "layers", 0, "Residual", "layers", 0, "ReLU")),
        ("residual/add", ("model", "layers", 0, "Residual")),
        ("p/1/flatten", ("model", "layers", 1, "Parallel", "branches", 0, 0, "Flatten")),
        ("p/2/re_lu", ("model", "layers", 1, "Parallel", "branches", 1, 0, "ReLU")),
        ("p/2/flatten", ("model", "layers", 1, "Parallel", "branches", 1, 1, "Flatten")),
        ("p/2/dense", ("model", "layers", 1, "Parallel", "branches", 1, 2, "Dense")),
        ("p/add", ("model", "layers", 1, "Parallel")),
    ]


def test_units_auto_is_the_number_of_classes_if_known() -> None:
    layers = "Flatten, Dense: 4, Dense: auto, Softmax"
    known, unknown = graph_of(layers, classes=5), graph_of(layers)
    assert [leaf.shape for leaf in known.leaves] == [(192,), (4,), (5,), (5,)]
    assert [leaf.shape for leaf in unknown.leaves] == [(192,), (4,), (1,), (1,)]
    for graph in (known, unknown):
        assert [leaf.depends_on_classes for leaf in graph.leaves] == [False, False, True, True]


@pytest.mark.parametrize(
    ("layers", "path", "message"),
    [
        ("ReLU: {inputs: b}", (0, "ReLU", "inputs", 0), "there is no layer 'b' before this one"),
        ("ReLU: {name: a}, ReLU: {inputs: input}", (0, "ReLU"), "no later layer reads 'a'"),
        ("Flatten", (0, "Flatten"), "the model has 192 outputs, but the data has 10 classes"),
        (
            "Flatten, Dense: 3",
            (1, "Dense", "units"),
            "the model has 3 outputs, but the data has 10 classes",
        ),
        ("ReLU", (0, "ReLU"), "the output of the model is 8×8×3, not one value per class"),
        (
            "MaxPooling2D: 9",
            (0, "MaxPooling2D"),
            "a 9×9 window does not fit the 8×8 input of this layer",
        ),
        (
            "Repeat: {times: 5000, layers: [Repeat: {times: 5000, layers: [ReLU]}]}",
            (0, "Repeat", "layers", 0, "Repeat", "layers", 0, "ReLU"),
            "the model has more than 10,000 layers",
        ),
    ],
)  # fmt: skip
def test_refusals(layers: str, path: tuple[str | int, ...], message: str) -> None:
    with pytest.raises(GraphError) as caught:
        graph_of(layers, classes=10)
    assert (caught.value.path, caught.value.message) == (("model", "layers", *path), message)
    assert caught.value.hint
