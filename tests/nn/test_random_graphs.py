"""Random models of all layers: the summary of a model is true for the built module.

Layers and their arguments are drawn from the schema of the config, so that a new layer or field
takes part by itself. A net grows layer by layer: one that does not fit must be refused in our
words, and is left out.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

import pytest
import torch
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from sepcnn.config.json_schema import schema
from sepcnn.errors import ConfigError
from sepcnn.language.spec import to_plain
from sepcnn.nn.graph import INPUT, Graph, GraphError, make_graph
from sepcnn.nn.layers import LAYERS
from sepcnn.nn.layers.base import Block, Shape
from sepcnn.nn.layers.merge import Merge
from sepcnn.nn.layers.module import begin_step
from sepcnn.nn.model import Net, build
from sepcnn.nn.schedules import Progress
from sepcnn.nn.summary import summarize
from tests.nn.layers.reading import read_layers

SCHEMA: dict[str, Any] = schema()["$defs"]
NUMBERS = [-1.0, 0.0, 0.25, 0.9, 1.0, 1.5, 3.0]
TEXTS = ["1/4", "2 steps", "1 epochs", "25%"]
MOST_ELEMENTS = 4_000
"""largest size of an activation, because several layers may enlarge the image"""
MERGES = [name for name, layer in LAYERS.items() if issubclass(layer, Merge)]
BLOCKS = [name for name, layer in LAYERS.items() if issubclass(layer, Block)]
SINGLE = [name for name in LAYERS if name not in (*MERGES, *BLOCKS)]


# ── values of the schema ──────────────────────────────────────────────────────────────────────


def values(part: dict[str, Any]) -> SearchStrategy[Any]:
    """Small values that are valid for a part of the schema."""
    if "$ref" in part:
        return st.deferred(lambda: referred(part["$ref"].removeprefix("#/$defs/")))
    if "anyOf" in part:
        return st.one_of([values(option) for option in part["anyOf"]])
    if "enum" in part or "const" in part:
        return st.sampled_from(part.get("enum") or [part["const"]])
    kind = part["type"]
    if kind == "array":
        items = values(part.get("items", {"type": "number"}))
        least = part.get("minItems", 0)
        return st.lists(items, min_size=least, max_size=part.get("maxItems", least + 2))
    if kind == "integer":
        least = part.get("minimum", part.get("exclusiveMinimum", -2) + 1)
        return st.integers(least, least + 4)
    if kind == "number":
        return st.sampled_from([number for number in NUMBERS if allows(part, number)])
    if kind == "string":
        return st.sampled_from([t for t in TEXTS if re.search(part.get("pattern", ""), t)])
    if kind == "object":
        ramp = {"start": 1, "end": 3, "until": "2 steps"}
        return fields(part["properties"], []) if "properties" in part else st.just(ramp)
    return st.booleans() if kind == "boolean" else st.none()


def allows(part: dict[str, Any], number: float) -> bool:
    return (
        part.get("minimum", number) <= number <= part.get("maximum", number)
        and part.get("exclusiveMinimum", -math.inf) < number
        and number < part.get("exclusiveMaximum", math.inf)
    )


def referred(key: str) -> SearchStrategy[Any]:
    if key == "layer":
        return LEAVES
    if key not in {"activation", "initializer", "regularizer", "constraint"}:
        return values(SCHEMA[key])
    names = [name for name in SCHEMA if name.startswith(f"{key}.")]
    return st.sampled_from(names).flatmap(
        lambda name: values({"$ref": f"#/$defs/{name}"}).map(
            lambda content: {name.partition(".")[2]: content}
        )
    )


UNLIKELY: dict[str, SearchStrategy[Any]] = {
    "target_shape": st.permutations([-1, 1, 2]) | st.lists(st.just(-1), min_size=1, max_size=1),
    "dims": st.permutations([1, 2, 3]) | st.permutations([1, 2, 3, 4]) | st.just([1]),
    "noise_shape": st.lists(st.sampled_from([None, 1, 1]), min_size=2, max_size=4),
    "groups": st.sampled_from([1, 2, -1, 3]),
    "axis": st.sampled_from([-1, 3, 1]),
}
"""fields whose random values would hardly ever fit the model"""


@st.composite
def fields(draw: st.DrawFn, parts: dict[str, Any], required: list[str]) -> dict[str, Any]:
    """The required fields and a few others, as users write them."""
    optional = [name for name in parts if name not in (*required, "name", "inputs")]
    chosen = draw(st.lists(st.sampled_from(optional), max_size=3, unique=True)) if optional else []
    return {name: draw(UNLIKELY.get(name, values(parts[name]))) for name in [*required, *chosen]}


def layer(kind: str) -> SearchStrategy[dict[str, Any]]:
    required = [key for key, field in LAYERS[kind].model_fields.items() if field.is_required()]
    parts = SCHEMA[f"layer.{kind}"]["properties"]
    return fields(parts, required).map(lambda content: {kind: content})


LEAVES = st.sampled_from(SINGLE).flatmap(layer)
LENGTHS = st.sampled_from([7, 8, 6, 9, 3, 2, 1])
IMAGES = st.tuples(LENGTHS, LENGTHS, st.sampled_from([4, 3, 6, 1]))


@st.composite
def step(draw: st.DrawFn, kind: str) -> list[dict[str, Any]]:
    """The layers to append next: one layer, or a branch and the layer that joins it.

    Numbers among ``inputs`` stand for layers above, counted from the last.
    """
    new = draw(layer(kind))
    if kind not in MERGES:
        return [new]
    above = draw(st.lists(st.integers(0, 3), max_size=2))
    if draw(st.booleans()):
        new[kind]["inputs"] = [0, *above]
        return [new]
    branch = draw(LEAVES)
    next(iter(branch.values()))["inputs"] = [draw(st.integers(0, 3))]
    new[kind]["inputs"] = [0, 1, *above]
    return [branch, new]


STEPS = st.lists(st.sampled_from(list(LAYERS)).flatmap(step), min_size=1, max_size=3)


# ── growing a net ─────────────────────────────────────────────────────────────────────────────


def named(above: list[Any], new_layers: list[dict[str, Any]]) -> list[Any]:
    """The previous and the new layers, each with a name, and inputs by name."""
    layers = list(above)
    for new in new_layers:
        ((kind, content),) = new.items()
        names = [INPUT, *(next(iter(each.values()))["name"] for each in layers)]
        content = {**content, "name": f"layer{len(layers)}"}
        if "inputs" in content:
            content["inputs"] = [names[max(0, len(names) - 1 - i)] for i in content["inputs"]]
        layers.append({kind: content})
    return layers


def graph_of(layers: list[Any], shape: Shape) -> Graph | None:
    """The graph, or None if the layers were rejected with a located error."""
    try:
        return make_graph(read_layers(json.dumps(layers)), shape)
    except (ConfigError, GraphError) as error:
        refusal = error
    if isinstance(refusal, GraphError):
        assert refusal.hint, refusal
        assert refusal.path[:2] == ("model", "layers")
    else:
        assert all(problem.hint and problem.location for problem in refusal.problems), refusal
    return None


def grown(shape: Shape, drawn: list[list[dict[str, Any]]]) -> tuple[list[Any], Graph | None]:
    layers: list[Any] = []
    graph = None
    for new_layers in drawn:
        longer = named(layers, new_layers)
        found = graph_of(longer, shape)
        if found and max(math.prod(leaf.shape) for leaf in found.leaves) <= MOST_ELEMENTS:
            layers, graph = longer, found
    return layers, graph


# ── what must hold ────────────────────────────────────────────────────────────────────────────


def net_of(graph: Graph) -> Net:
    net = build(graph, seed=3)
    begin_step(net, 3, Progress(step=1, steps_per_epoch=2, total_steps=8))
    return net


def outputs(net: Net, shape: Shape) -> list[torch.Tensor]:
    """In inference and in training, of two images."""
    height, width, channels = shape
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, channels, height, width, generator=generator)
    return [net.eval()(x), net.train()(x)]


def check_shapes(net: Net, shape: Shape) -> None:
    found: dict[str, tuple[int, ...]] = {}
    handles = [
        net.get_submodule(leaf.name).register_forward_hook(
            lambda module, inputs, output, name=leaf.name: found.update({name: output.shape})
        )
        for leaf in net.graph.leaves
    ]
    outputs(net, shape)
    told = {leaf.name: (2, leaf.shape[-1], *leaf.shape[:-1]) for leaf in net.graph.leaves}
    assert {name: tuple(size) for name, size in found.items()} == told
    for handle in handles:
        handle.remove()


def check_summary(net: Net) -> None:
    for leaf, line in zip(net.graph.leaves, summarize(net.graph).layers, strict=True):
        module = net.get_submodule(line.name)
        if leaf.depends_on_classes:  # unknown here
            assert line.params is None
            continue
        counted = sum(value.numel() for value in module.state_dict().values())
        trained = sum(value.numel() for value in module.parameters() if value.requires_grad)
        assert (line.params, line.trainable_params) == (counted, trained)


def assert_same(found: list[torch.Tensor], expected: list[torch.Tensor]) -> None:
    # An initializer may draw what becomes NaN, as the root of a negative variance does.
    torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True)


def check_reading(
    text: str, graph: Graph, weights: dict[str, torch.Tensor], y: list[torch.Tensor]
) -> None:
    """The YAML gives the same model, to the last bit."""
    again = make_graph(read_layers(text), graph.input_shape)
    assert again == graph
    net = net_of(again)
    state = net.state_dict()
    assert list(state) == list(weights)
    assert_same([state[name] for name in weights], list(weights.values()))
    assert_same(outputs(net, graph.input_shape), y)


def check(shape: Shape, drawn: list[list[dict[str, Any]]]) -> None:
    layers, graph = grown(shape, drawn)
    if graph is None:
        return
    net = net_of(graph)
    check_shapes(net, shape)
    check_summary(net)

    net = net_of(graph)
    weights = {name: value.clone() for name, value in net.state_dict().items()}
    y = outputs(net, shape)
    resolved = to_plain(read_layers(json.dumps(layers)))
    check_reading(json.dumps(resolved), graph, weights, y)
    block_style = yaml.safe_dump(resolved, allow_unicode=True, sort_keys=False)
    check_reading(block_style.replace("\n", "\n  "), graph, weights, y)


@pytest.mark.covering("one")
@pytest.mark.parametrize("kind", LAYERS)
@settings(
    max_examples=10,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(data=st.data(), shape=IMAGES, above=STEPS, below=STEPS)
def test_the_summary_of_a_random_net_is_true(
    kind: str,
    data: st.DataObject,
    shape: Shape,
    above: list[list[dict[str, Any]]],
    below: list[list[dict[str, Any]]],
) -> None:
    check(shape, [*above, data.draw(step(kind)), *below])
