"""Whole nets of Keras and of sepcnn: which layers correspond, and equal random weights."""

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
    """Each layer of Keras with weights, and the same layer of ours, in the order of Keras.

    Keras lists the layers of a net by their distance from the output. Two layers of the same kind
    at the same distance would be ambiguous and fail an assertion.
    """
    distance = distances(graph)
    ours: dict[str, list[Leaf]] = defaultdict(list)
    for leaf in sorted(graph.leaves, key=lambda leaf: -distance[leaf.name]):
        ours[leaf.layer.chosen_name].append(leaf)
    for leaves in ours.values():
        if leaves[0].layer.chosen_name in KERAS_NAMES:
            assert len({distance[leaf.name] for leaf in leaves}) == len(leaves)
    paired = [
        (layer, ours[type(layer).__name__].pop(0)) for layer in theirs.layers if layer.weights
    ]
    assert not [kind for kind in KERAS_NAMES if ours[kind]], "ours has more layers"
    return paired


def distances(graph: Graph) -> dict[str, int]:
    """The length of the longest path from each leaf to the output."""
    distance = {graph.output.name: 0}
    for leaf in reversed(graph.leaves):
        for source in leaf.inputs:
            distance[source] = max(distance.get(source, 0), distance[leaf.name] + 1)
    return distance


def shared_weights(
    theirs: keras.Model, net: Net
) -> Iterator[tuple[keras.Variable, torch.Tensor, WeightInfo]]:
    """Each weight and statistic of Keras, and the same tensor of our net."""
    for layer, leaf in pairs(theirs, net.graph):
        for name, tensor, info in weights(net.get_submodule(leaf.name)):
            variable = getattr(layer, KERAS_NAMES[leaf.layer.chosen_name][name])
            yield variable, tensor, info


@torch.no_grad()
def share_weights(theirs: keras.Model, net: Net) -> None:
    """Set equal random weights in both nets, with which signals neither vanish nor explode."""
    random = np.random.default_rng(0)
    shared = list(shared_weights(theirs, net))
    assert len(shared) == len(theirs.weights) == len(list(weights(net)))
    for variable, tensor, info in shared:
        if variable.name in ("gamma", "moving_variance"):
            values = random.uniform(0.5, 2.0, size=variable.shape)
        else:  # one value per channel, or a kernel whose outputs are about as large as its inputs
            inputs = math.prod(tensor.shape[1:]) if tensor.dim() > 1 else 2
            values = random.normal(0, math.sqrt(2 / inputs), size=variable.shape)
        variable.assign(values)
        info.write(tensor, variable.value)
