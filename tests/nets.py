"""Whole nets of real Keras beside ours: which layer is which, and shared random weights."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator

import numpy as np
import torch

from sepcnn.nn.graph import Graph, Leaf
from sepcnn.nn.layers.module import WeightInfo, weights
from sepcnn.nn.model import Net
from tests.reference import KERAS_NAMES, keras


def pairs(theirs: keras.Model, graph: Graph) -> list[tuple[keras.Layer, Leaf]]:
    """Every layer that has weights, Keras' and ours, in Keras' order.

    Keras lists a net's layers by their distance from the output. Layers of one kind at one
    distance could not be told apart, and are refused.
    """
    distance = distances(graph)
    ours: dict[str, list[Leaf]] = defaultdict(list)
    for leaf in sorted(graph.leaves, key=lambda leaf: -distance[leaf.name]):
        ours[leaf.layer.chosen_name].append(leaf)
    for leaves in ours.values():
        if leaves[0].layer.chosen_name in KERAS_NAMES:
            assert len({distance[leaf.name] for leaf in leaves}) == len(leaves)
    found = [(layer, ours[type(layer).__name__].pop(0)) for layer in theirs.layers if layer.weights]
    assert not [kind for kind in KERAS_NAMES if ours[kind]], "ours has more layers"
    return found


def distances(graph: Graph) -> dict[str, int]:
    """The length of the longest way from each leaf to the output."""
    found = {graph.output.name: 0}
    for leaf in reversed(graph.leaves):
        for source in leaf.inputs:
            found[source] = max(found.get(source, 0), found[leaf.name] + 1)
    return found


def shared_weights(
    theirs: keras.Model, net: Net
) -> Iterator[tuple[keras.Variable, torch.Tensor, WeightInfo]]:
    """Each weight and statistic of Keras, and ours in the same place."""
    for layer, leaf in pairs(theirs, net.graph):
        for name, tensor, info in weights(net.get_submodule(leaf.name)):
            variable = getattr(layer, KERAS_NAMES[leaf.layer.chosen_name][name])
            yield variable, tensor, info


@torch.no_grad()
def share_weights(theirs: keras.Model, net: Net) -> None:
    """New random weights in both, with which what a net sees reaches its end."""
    random = np.random.default_rng(0)
    shared = list(shared_weights(theirs, net))
    assert len(shared) == len(theirs.weights) == len(list(weights(net)))
    for variable, tensor, info in shared:
        if variable.name in ("gamma", "moving_variance"):
            values = random.uniform(0.5, 2.0, size=variable.shape)
        else:  # one value a channel, or a kernel whose outputs are about as large as its inputs
            inputs = math.prod(tensor.shape[1:]) if tensor.dim() > 1 else 2
            values = random.normal(0, math.sqrt(2 / inputs), size=variable.shape)
        variable.assign(values)
        info.write(tensor, variable.value)
