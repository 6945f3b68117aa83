"""What a net is made of and what it costs, layer by layer, without any data.

Parameters are counted as Keras counts them: moving statistics are not trainable, but count.
Multiply-adds are those of convolutions and dense layers for one image.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch

from sepcnn.nn.graph import INPUT, Graph, Leaf
from sepcnn.nn.layers.base import LeafLayer, ReceptiveField, Shape
from sepcnn.nn.layers.convolution import SeparableConv2D

BYTES_A_VALUE = 4
"""of float32"""


@dataclass(frozen=True, slots=True)
class LayerSummary:
    """One line of the summary. ``None`` stands for what depends on an unknown number of classes."""

    name: str
    type: str
    output_shape: Shape | None
    params: int | None
    trainable_params: int | None
    macs: int | None
    activation_bytes: int | None
    """float32 values of the output for one image"""
    receptive_field: tuple[int, int] | None
    """height and width of the input that one output pixel sees; None: all of it"""
    twin_params: int | None
    """parameters with Conv2D in place of SeparableConv2D"""
    twin_macs: int | None
    """multiply-adds with Conv2D in place of SeparableConv2D"""


@dataclass(frozen=True, slots=True)
class Summary:
    """A whole net; totals leave out what is unknown."""

    layers: list[LayerSummary]

    def total(self, column: str) -> int:
        return sum(getattr(layer, column) or 0 for layer in self.layers)

    @property
    def has_twin(self) -> bool:
        return any(layer.twin_params != layer.params for layer in self.layers)

    @property
    def unknown(self) -> bool:
        return any(layer.output_shape is None for layer in self.layers)


def summarize(graph: Graph) -> Summary:
    """The summary of a graph. Modules are made without memory for their weights."""
    fields: dict[str, ReceptiveField | None] = {INPUT: ReceptiveField((1, 1), (1, 1))}
    layers = []
    for leaf in graph.leaves:
        fields[leaf.name] = accumulated_receptive_field(
            leaf, [fields[name] for name in leaf.inputs]
        )
        known = graph.classes is not None or not leaf.depends_on_classes
        layers.append(summarize_leaf(leaf, fields[leaf.name], known))
    return Summary(layers)


def dense_twin(graph: Graph) -> Graph:
    """The same net with Conv2D in place of every SeparableConv2D."""
    leaves = tuple(
        replace(leaf, layer=leaf.layer.dense_twin())
        if isinstance(leaf.layer, SeparableConv2D)
        else leaf
        for leaf in graph.leaves
    )
    return replace(graph, leaves=leaves)


def summarize_leaf(leaf: Leaf, field: ReceptiveField | None, known: bool) -> LayerSummary:
    params, trainable = count_parameters(leaf.layer, leaf.input_shapes)
    macs = leaf.layer.macs(leaf.input_shapes, leaf.shape)
    twin_params, twin_macs = params, macs
    if isinstance(leaf.layer, SeparableConv2D):
        twin = leaf.layer.dense_twin()
        twin_params, _ = count_parameters(twin, leaf.input_shapes)
        twin_macs = twin.macs(leaf.input_shapes, leaf.shape)
    return LayerSummary(
        name=leaf.name,
        type=leaf.layer.chosen_name,
        output_shape=leaf.shape if known else None,
        params=params if known else None,
        trainable_params=trainable if known else None,
        macs=macs if known else None,
        activation_bytes=math.prod(leaf.shape) * BYTES_A_VALUE if known else None,
        receptive_field=(math.ceil(field.size[0]), math.ceil(field.size[1])) if field else None,
        twin_params=twin_params if known else None,
        twin_macs=twin_macs if known else None,
    )


def count_parameters(layer: LeafLayer, shapes: tuple[Shape, ...]) -> tuple[int, int]:
    """All and trainable parameters of a layer's module."""
    with torch.device("meta"):
        module = layer.build(*shapes)
    trainable = sum(weight.numel() for weight in module.parameters()) if layer.trainable else 0
    return sum(value.numel() for value in module.state_dict().values()), trainable


def accumulated_receptive_field(
    leaf: Leaf, inputs: list[ReceptiveField | None]
) -> ReceptiveField | None:
    """What an output pixel sees; the widest of several ways."""
    own = leaf.layer.receptive_field(*leaf.input_shapes)
    if own is None or any(field is None for field in inputs):
        return None
    known = [field for field in inputs if field]
    size = [max(field.size[axis] for field in known) for axis in (0, 1)]
    strides = [max(field.strides[axis] for field in known) for axis in (0, 1)]
    return ReceptiveField(
        size=(
            size[0] + (own.size[0] - 1) * strides[0],
            size[1] + (own.size[1] - 1) * strides[1],
        ),
        strides=(strides[0] * own.strides[0], strides[1] * own.strides[1]),
    )
