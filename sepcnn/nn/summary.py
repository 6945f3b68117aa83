"""The summary of a model: shapes, parameters and costs of each layer.

Parameters are counted as in Keras: moving statistics are non-trainable parameters. Multiply-adds
are counted for convolutions and dense layers, per image.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch

from sepcnn.nn.graph import INPUT, Graph, Leaf
from sepcnn.nn.layers.base import LeafLayer, ReceptiveField, Shape
from sepcnn.nn.layers.convolution import SeparableConv2D

BYTES_PER_VALUE = 4
"""float32"""


@dataclass(frozen=True, slots=True)
class LayerSummary:
    """One line of the summary. Values that depend on an unknown number of classes are None."""

    name: str
    type: str
    output_shape: Shape | None
    params: int | None
    trainable_params: int | None
    macs: int | None
    activation_bytes: int | None
    """size of the float32 output for one image"""
    receptive_field: tuple[int, int] | None
    """height and width in pixels of the image; None: the whole image"""
    twin_params: int | None
    """parameters if SeparableConv2D is replaced by Conv2D"""
    twin_macs: int | None
    """multiply-adds if SeparableConv2D is replaced by Conv2D"""


@dataclass(frozen=True, slots=True)
class Summary:
    """The summary of a model; totals leave out unknown values."""

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
    """Summarize a graph. Modules are built without memory for their weights."""
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
    """Return the graph with every SeparableConv2D replaced by Conv2D."""
    leaves = tuple(
        replace(leaf, layer=leaf.layer.dense_twin())
        if isinstance(leaf.layer, SeparableConv2D)
        else leaf
        for leaf in graph.leaves
    )
    return replace(graph, leaves=leaves)


def summarize_leaf(leaf: Leaf, field: ReceptiveField | None, known: bool) -> LayerSummary:
    """Summarize one leaf; ``known`` is false if its shape depends on an unknown class count."""
    params, trainable = count_parameters(leaf.layer, leaf.input_shapes)
    macs = leaf.layer.macs(leaf.input_shapes, leaf.shape)
    twin_params, twin_macs = params, macs
    if isinstance(leaf.layer, SeparableConv2D):
        twin = leaf.layer.dense_twin()
        twin_params, _ = count_parameters(twin, leaf.input_shapes)
        twin_macs = twin.macs(leaf.input_shapes, leaf.shape)
    # The ceiling of a fractional field includes every pixel, and at most one more.
    return LayerSummary(
        name=leaf.name,
        type=leaf.layer.chosen_name,
        output_shape=leaf.shape if known else None,
        params=params if known else None,
        trainable_params=trainable if known else None,
        macs=macs if known else None,
        activation_bytes=math.prod(leaf.shape) * BYTES_PER_VALUE if known else None,
        receptive_field=(math.ceil(field.size[0]), math.ceil(field.size[1])) if field else None,
        twin_params=twin_params if known else None,
        twin_macs=twin_macs if known else None,
    )


def count_parameters(layer: LeafLayer, shapes: tuple[Shape, ...]) -> tuple[int, int]:
    """Return the numbers of all and of trainable parameters of a layer."""
    with torch.device("meta"):
        module = layer.build(*shapes)
    trainable = sum(weight.numel() for weight in module.parameters()) if layer.trainable else 0
    return sum(value.numel() for value in module.state_dict().values()), trainable


def accumulated_receptive_field(
    leaf: Leaf, inputs: list[ReceptiveField | None]
) -> ReceptiveField | None:
    """Return the receptive field in the image, from the largest of the input fields."""
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
