"""Layer list → one flat graph of leaf layers: names, inputs, shapes, and located shape errors."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from sepcnn.errors import SepcnnError
from sepcnn.language.messages import nearest
from sepcnn.language.node import KeyPath
from sepcnn.nn.constraints import Constraint
from sepcnn.nn.head import ONE_OUTPUT_PER_CLASS, Head, split_head
from sepcnn.nn.layers.base import Block, Layer, LeafLayer, Shape, ShapeError, format_shape
from sepcnn.nn.layers.dense import Dense
from sepcnn.wording import counted

INPUT = "input"
"""the name by which ``inputs`` reaches the image itself"""
MAX_LAYERS = 10_000
"""more leaf layers than any real net: a Repeat of a Repeat of a Repeat is stopped here"""
JOIN_FIRST = "join them first with Add or Concatenate"


class GraphError(SepcnnError):
    """A layer that cannot stand where it stands; ``path`` is its place in the config."""

    def __init__(self, path: KeyPath, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.path = path


@dataclass(frozen=True, slots=True)
class Leaf:
    """One leaf layer of the graph."""

    name: str
    """unique; parts of blocks are ``block/layer``"""
    layer: LeafLayer
    inputs: tuple[str, ...]
    """names of the leaves it reads, or `INPUT`"""
    input_shapes: tuple[Shape, ...]
    shape: Shape
    path: KeyPath
    """where its layer, or the block it belongs to, stands in the config"""
    depends_on_classes: bool
    """its shape follows from ``units: auto``"""


@dataclass(frozen=True, slots=True)
class Graph:
    """The leaf layers that a config means, each below those that it reads; the last is the output.

    ``classes`` is the number of classes behind ``units: auto``, None where it is not known: then
    the leaves that depend on it are built with a stand-in of 1.
    """

    input_shape: Shape
    leaves: tuple[Leaf, ...]
    classes: int | None

    @property
    def output(self) -> Leaf:
        return self.leaves[-1]

    @property
    def head(self) -> Head:
        last = self.output
        unknown = len(last.shape) != 1 or (last.depends_on_classes and self.classes is None)
        return split_head(last.layer, None if unknown else last.shape[0])

    def consumers(self) -> dict[str, list[str]]:
        """For the input and each leaf, the names of the leaves that read it."""
        found: dict[str, list[str]] = {INPUT: [], **{leaf.name: [] for leaf in self.leaves}}
        for leaf in self.leaves:
            for name in leaf.inputs:
                found[name].append(leaf.name)
        return found


def make_graph(layers: Sequence[Layer], input_shape: Shape, classes: int | None = None) -> Graph:
    """Expand blocks, name layers, resolve inputs and compute every shape.

    Errors: `GraphError` at the first layer that does not fit, for those below depend on it.
    """
    builder = _GraphBuilder(input_shape, classes)
    scope = _Scope(builder, "", ("model", "layers"), None, True, {INPUT: INPUT})
    output = scope.add_layers(layers, INPUT)
    graph = Graph(input_shape, tuple(builder.leaves.values()), classes)
    for name, readers in graph.consumers().items():
        if not readers and name != output:
            path = builder.leaves[name].path if name != INPUT else ("model", "layers")
            message = f"nothing reads the output of '{name}'"
            raise GraphError(path, message, "a net has one output, its last layer; remove the rest")
    if error := _output_error(graph):
        raise error
    return graph


def _output_error(graph: Graph) -> GraphError | None:
    """The output must be one value for each class, or one for two classes."""
    last, head, classes = graph.output, graph.head, graph.classes
    if len(last.shape) != 1:
        if classes is None:
            return None
        message = f"the net's output is {format_shape(last.shape)}, not one value for each class"
        return GraphError(
            last.path, message, f"end with GlobalAveragePooling2D and {ONE_OUTPUT_PER_CLASS}"
        )
    if head.is_multi_label:
        message = "a sigmoid on several outputs would give an image several classes"
        hint = "write activation: softmax and a categorical loss, or for two classes units: 1"
        return GraphError(last.path, message, hint)
    if last.shape == (1,) and head.activation == "softmax" and not last.depends_on_classes:
        message = "a softmax of one output is always 1"
        hint = "write activation: sigmoid and a binary loss, or units: auto"
        return GraphError(last.path, message, hint)
    if classes in (None, head.classes):
        return None
    if head.is_binary:
        message = f"a net with one output is for two classes, but the data has {classes}"
        hint = f"end with {ONE_OUTPUT_PER_CLASS}, and write loss: categorical_crossentropy"
        return GraphError(last.path, message, hint)
    message = f"the net has {counted(last.shape[0], 'output')}, but the data has "
    message += counted(classes, "class")
    if not isinstance(last.layer, Dense):
        hint = f"end with Dense: {{units: {classes}, activation: softmax}}"
        return GraphError(last.path, message, hint)
    hint = f"write units: {classes}, or units: auto"
    return GraphError((*last.path, "units"), message, hint)


def _check_constraints(layer: LeafLayer, path: KeyPath) -> None:
    """Errors: `GraphError` where a weight that never changes should be held to something."""
    for name in type(layer).model_fields:
        if isinstance(getattr(layer, name), Constraint) and not layer.trainable:
            message = f"{name} has no effect on a layer that is frozen (trainable: false)"
            raise GraphError((*path, name), message, f"write {name}: null, or let the layer train")


def snake_case(name: str) -> str:
    """Keras' automatic name of a class: SeparableConv2D → separable_conv2d."""
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


@dataclass
class _GraphBuilder:
    """The leaves made so far."""

    input_shape: Shape
    classes: int | None
    leaves: dict[str, Leaf] = field(default_factory=dict)

    def shape(self, name: str) -> Shape:
        return self.input_shape if name == INPUT else self.leaves[name].shape

    def add(self, name: str, layer: LeafLayer, inputs: tuple[str, ...], path: KeyPath) -> str:
        if len(self.leaves) >= MAX_LAYERS:
            message = f"the net has more than {MAX_LAYERS:,} layers"
            raise GraphError(path, message, "repeat fewer times")
        automatic = isinstance(layer, Dense) and layer.units == "auto"
        if automatic:
            layer = layer.model_copy(update={"units": self.classes or 1})
        shapes = tuple(self.shape(source) for source in inputs)
        inherited = any(
            self.leaves[source].depends_on_classes for source in inputs if source in self.leaves
        )
        shape = layer.output_shape(*shapes)
        self.leaves[name] = Leaf(name, layer, inputs, shapes, shape, path, automatic or inherited)
        return name


@dataclass
class _Scope:
    """A list of layers in one block: the names seen there, and where it stands in the config."""

    builder: _GraphBuilder
    prefix: str
    path: KeyPath
    parent: _Scope | None
    trainable: bool
    outputs: dict[str, str] = field(default_factory=dict)

    # What a block calls (see `sepcnn.nn.layers.base.BlockBuilder`).

    def add_layers(self, layers: Sequence[Layer], source: str, *path: str | int) -> str:
        for index, layer in enumerate(layers):
            here = (*self.path, *path, index, layer.chosen_name)
            try:
                source = self._add(layer, source, here)
            except ShapeError as error:
                raise GraphError(here, error.message, error.hint) from None
        return source

    def add_leaf(self, layer: LeafLayer, sources: Sequence[str]) -> str:
        name = self._new_name(layer, self.path)
        return self.builder.add(self.prefix + name, layer, tuple(sources), self.path)

    def shape(self, name: str) -> Shape:
        return self.builder.shape(name)

    def numbered_part(self, number: int) -> _Scope:
        return _Scope(self.builder, f"{self.prefix}{number}/", self.path, self, self.trainable)

    # Names.

    def _add(self, layer: Layer, source: str, path: KeyPath) -> str:
        named = enumerate(layer.inputs or ())
        sources = tuple(self._find(name, (*path, "inputs", i)) for i, name in named) or (source,)
        name = self._new_name(layer, path)
        if isinstance(layer, Block):
            if len(sources) > 1:
                message = f"{layer.chosen_name} reads one layer, not {len(sources)}"
                raise GraphError(path, message, JOIN_FIRST)
            trainable = self.trainable and layer.trainable
            inner = _Scope(self.builder, f"{self.prefix}{name}/", path, self, trainable)
            output = layer.expand(inner, sources[0])
        else:
            assert isinstance(layer, LeafLayer)
            self._check_count(layer, len(sources), path)
            if not self.trainable:
                layer = layer.model_copy(update={"trainable": False})
            _check_constraints(layer, path)
            output = self.builder.add(self.prefix + name, layer, sources, path)
        self.outputs[name] = output
        return output

    def _check_count(self, layer: LeafLayer, count: int, path: KeyPath) -> None:
        kind = layer.chosen_name
        if layer.max_inputs != 1 and count < 2:
            several = "two layers" if layer.max_inputs == 2 else "two or more layers"
            hint = f"name the layers to join, as in {kind}: [name_1, name_2]"
            raise GraphError(path, f"{kind} joins {several}, but reads one", hint)
        if layer.max_inputs == 1 and count > 1:
            message = f"{kind} reads one layer, not {count}"
            raise GraphError(path, message, JOIN_FIRST)

    def _new_name(self, layer: Layer, path: KeyPath) -> str:
        if layer.name is not None:
            if layer.name == INPUT:
                message = f"the name '{INPUT}' is that of the image"
                raise GraphError((*path, "name"), message, "choose another name")
            if layer.name in self.outputs:
                message = f"the name '{layer.name}' is given twice"
                raise GraphError((*path, "name"), message, "every layer of a list has its own name")
            return layer.name
        base = snake_case(layer.chosen_name)
        taken = {*self.outputs, INPUT}
        name, number = base, 0
        while name in taken:
            number += 1
            name = f"{base}_{number}"
        return name

    def _find(self, name: str, path: KeyPath) -> str:
        known: dict[str, str] = {}
        scope: _Scope | None = self
        while scope:
            known = {**scope.outputs, **known}
            scope = scope.parent
        if name in known:
            return known[name]
        block = name.partition("/")[0]
        hint = f"known here: {', '.join(known)}; a layer can only read layers above it"
        if block != name and block in known:
            hint = f"a block is read as a whole: write {block}"
        elif near := nearest(name, known):
            hint = f"did you mean '{near}'?"
        raise GraphError(path, f"there is no layer '{name}' above", hint)
