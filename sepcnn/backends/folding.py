"""A model for inference only: batch normalizations are folded into the layers before them.

``scale · (W·x + b) + offset = (scale · W)·x + (scale · b + offset)``
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import torch

from sepcnn.nn.activations import Linear
from sepcnn.nn.graph import Graph
from sepcnn.nn.layers.base import LeafLayer
from sepcnn.nn.layers.convolution import Conv2D, SeparableConv2D
from sepcnn.nn.layers.dense import Dense
from sepcnn.nn.layers.depthwise import DepthwiseConv2D
from sepcnn.nn.layers.normalization import BatchNormalization, BatchNormalizationModule
from sepcnn.nn.layers.transposed import Conv2DTranspose
from sepcnn.nn.model import Net


@torch.no_grad()
def folded(net: Net) -> Net:
    """An equivalent of ``net`` for inference, with fewer layers and its own frozen weights."""
    hosts = foldable(net.graph)
    if not hosts:
        return deepcopy(net).requires_grad_(False).eval()
    graph = without(net.graph, hosts)
    layers = {leaf.name: leaf.layer for leaf in graph.leaves}
    modules, state = dict(net.named_children()), net.state_dict()
    like = next(iter(state.values()))
    for name, host in hosts.items():
        normalization = (
            deepcopy(modules[name]).cpu().double()
        )  # to the CPU first: MPS has no float64
        assert isinstance(normalization, BatchNormalizationModule)
        scale, offset = normalization.inference_coefficients()
        for weight in normalization.state_dict():
            del state[f"{name}.{weight}"]
        part = f"{host}.pointwise" if isinstance(layers[host], SeparableConv2D) else host
        kernel, bias = f"{part}.weight", f"{part}.bias"
        outputs = 1 if isinstance(layers[host], Conv2DTranspose) else 0
        weight = state[kernel].cpu().double().transpose(outputs, -1)
        state[kernel] = (weight * scale).transpose(outputs, -1)
        state[bias] = offset + (scale * state[bias].cpu().double() if bias in state else 0)
    other = Net(graph).to(like).to(memory_format=torch.channels_last)
    other.load_state_dict(state)
    return other.requires_grad_(False).eval()


def foldable(graph: Graph) -> dict[str, str]:
    """The batch normalizations that can be folded, each with the layer that it is folded into."""
    layers = {leaf.name: leaf.layer for leaf in graph.leaves}
    readers = graph.consumers()
    hosts: dict[str, str] = {}
    for leaf in graph.leaves:
        source = leaf.inputs[0]
        host = hosts.get(source, source)
        alone = readers[source] == [leaf.name]
        if isinstance(leaf.layer, BatchNormalization) and alone and is_linear(layers.get(host)):
            hosts[leaf.name] = host
    return hosts


def is_linear(layer: LeafLayer | None) -> bool:
    """Whether a layer only applies a kernel and a bias."""
    match layer:
        case Conv2D() | SeparableConv2D() | DepthwiseConv2D() | Conv2DTranspose() | Dense():
            return layer.activation is None or isinstance(layer.activation, Linear)
    return False


def without(graph: Graph, hosts: dict[str, str]) -> Graph:
    """The graph without the folded normalizations; their layers have a bias."""
    leaves = []
    for leaf in graph.leaves:
        if leaf.name in hosts:
            continue
        layer = leaf.layer
        if leaf.name in hosts.values():
            layer = layer.model_copy(update={"use_bias": True})
        inputs = tuple(hosts.get(name, name) for name in leaf.inputs)
        leaves.append(replace(leaf, layer=layer, inputs=inputs))
    return replace(graph, leaves=tuple(leaves))
