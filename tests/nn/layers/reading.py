"""Read layers from YAML, as a config is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from sepcnn.errors import ConfigError
from sepcnn.language.node import format_path
from sepcnn.language.spec import Context, Spec, read_spec
from sepcnn.language.yaml_reader import parse
from sepcnn.nn.graph import GraphError, make_graph
from sepcnn.nn.layers.base import Layer, LayerList, Shape
from sepcnn.nn.model import Net, build


class Layers(Spec):
    """The part of a config that lists layers."""

    layers: LayerList
    """the layers"""


def read_layers(text: str) -> tuple[Layer, ...]:
    """Read the layers of a YAML list, as ``[Flatten, Dense: 3]``."""
    return read_spec(Layers, parse(f"layers:\n  {text}", "c.yaml"), Context(Path())).layers


def read_layer(text: str) -> Layer:
    """Read one layer, as ``Dense: 3``."""
    (layer,) = read_layers(f"[{text}]")
    return layer


def read_net(text: str, shape: Shape, seed: int = 0) -> Net:
    return build(make_graph(read_layers(text), shape), seed)


def complaint(text: str, shape: Shape = (8, 8, 3)) -> tuple[str, str, str]:
    """Return path, message and hint of the only error in a list of layers."""
    with pytest.raises((ConfigError, GraphError)) as caught:
        make_graph(read_layers(text), shape)
    error = caught.value
    if isinstance(error, GraphError):
        return format_path(error.path).removeprefix("model."), error.message, error.hint
    assert isinstance(error, ConfigError)
    (problem,) = error.problems
    return problem.path, problem.message, problem.hint
