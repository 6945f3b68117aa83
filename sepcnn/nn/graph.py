"""Layer list → flat graph of leaf layers: names, inputs, shapes, and errors with a location."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from sepcnn.errors import SepcnnError
from sepcnn.language.messages import nearest
from sepcnn.language.node import KeyPath, format_path
from sepcnn.nn.constraints import Constraint
from sepcnn.nn.head import ONE_OUTPUT_PER_CLASS, Head, split_head
from sepcnn.nn.layers.base import Block, Layer, LeafLayer, Shape, ShapeError, format_shape
from sepcnn.nn.layers.dense import Dense
from sepcnn.wording import counted

INPUT = "input"
"""the name of the image in ``inputs``"""
MAX_LAYERS = 10_000
"""largest number of leaf layers; stops nested Repeats that would exhaust the memory"""
JOIN_FIRST = "first join them with Add or Concatenate"


class GraphError(SepcnnError):
    """A layer does not fit into the graph; ``path`` is its location in the config."""

    def __init__(self, path: KeyPath, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.path = path


@dataclass(frozen=True, slots=True)
class Leaf:
    """One leaf layer of the graph."""

    name: str
    """unique name; layers of blocks are ``block/layer``"""
    layer: LeafLayer
    inputs: tuple[str, ...]
    """names of the leaves it reads, or `INPUT`"""
    input_shapes: tuple[Shape, ...]
    shape: Shape
    path: KeyPath
    """location of the layer, or of the block that added it, in the config"""
    depends_on_classes: bool
    """its shape depends on ``units: auto``"""


@dataclass(frozen=True, slots=True)
class Graph:
    """The leaf layers of a config, each after its inputs; the last is the output.

    ``classes`` is the number of classes for ``units: auto``. If it is None, not known, then leaves
    that depend on it use the placeholder 1.
    """

    input_shape: Shape
    leaves: tuple[Leaf, ...]
    classes: int | None

    @property
    def output(self) -> Leaf:
        return self.leaves[-1]

    @property
    def head(self) -> Head:
        """The output layer, split into logits and activation."""
        last = self.output
        unknown = len(last.shape) != 1 or (last.depends_on_classes and self.classes is None)
        return split_head(last.layer, None if unknown else last.shape[0])

    def consumers(self) -> dict[str, list[str]]:
        """Return the names of the leaves that read the input and each leaf, by name."""
        names: dict[str, list[str]] = {INPUT: [], **{leaf.name: [] for leaf in self.leaves}}
        for leaf in self.leaves:
            for name in leaf.inputs:
                names[name].append(leaf.name)
        return names


def make_graph(layers: Sequence[Layer], input_shape: Shape, classes: int | None = None) -> Graph:
    """Expand blocks, name layers, resolve inputs and compute every shape.

    Errors: `GraphError` for the first layer that does not fit; later ones depend on it.
    """
    builder = _GraphBuilder(input_shape, classes)
    scope = _Scope(builder, "", ("model", "layers"), None, True, {INPUT: INPUT})
    output = scope.add_layers(layers, INPUT)
    graph = Graph(input_shape, tuple(builder.leaves.values()), classes)
    for name, consumers in graph.consumers().items():
        if not consumers and name != output:
            path = builder.leaves[name].path if name != INPUT else ("model", "layers")
            message = f"no later layer reads '{name}'"
            hint = f"remove '{name}', or name it in the inputs of a later layer"
            raise GraphError(path, message, hint)
    if error := _output_error(graph):
        raise error
    return graph


def _output_error(graph: Graph) -> GraphError | None:
    """Check that the output is one value per class, or one value for two classes."""
    last, head, classes = graph.output, graph.head, graph.classes
    if len(last.shape) != 1:
        if classes is None:
            return None
        message = f"the output of the model is {format_shape(last.shape)}, not one value per class"
        return GraphError(
            last.path, message, f"end with GlobalAveragePooling2D and {ONE_OUTPUT_PER_CLASS}"
        )
    if head.is_multi_label:
        message = "a sigmoid on several outputs means multi-label classification"
        message += ", which is not supported"
        hint = "write activation: softmax and a categorical loss; for two classes, write units: 1"
        return GraphError(last.path, message, hint)
    if last.shape == (1,) and head.activation == "softmax" and not last.depends_on_classes:
        message = "a softmax over one output is always 1"
        hint = "write activation: sigmoid and a binary loss, or units: auto"
        return GraphError(last.path, message, hint)
    if classes in (None, head.classes):
        return None
    if head.is_binary:
        message = f"a model with one output is for two classes, but the data has {classes}"
        hint = f"end with {ONE_OUTPUT_PER_CLASS}, and write loss: categorical_crossentropy"
        return GraphError(last.path, message, hint)
    message = f"the model has {counted(last.shape[0], 'output')}, but the data has "
    message += counted(classes, "class")
    if not isinstance(last.layer, Dense):
        hint = f"end with Dense: {{units: {classes}, activation: softmax}}"
        return GraphError(last.path, message, hint)
    hint = f"write units: {classes}, or units: auto"
    return GraphError((*last.path, "units"), message, hint)


def _check_constraints(layer: LeafLayer, path: KeyPath) -> None:
    """Raise `GraphError` if a frozen layer has a constraint."""
    for name in type(layer).model_fields:
        if isinstance(getattr(layer, name), Constraint) and not layer.trainable:
            message = f"{name} has no effect on a frozen layer (trainable: false)"
            raise GraphError((*path, name), message, f"write {name}: null, or trainable: true")


def snake_case(name: str) -> str:
    """Return the automatic name of a layer in Keras: SeparableConv2D → separable_conv2d."""
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


@dataclass
class _GraphBuilder:
    """Collects the leaves of a graph."""

    input_shape: Shape
    classes: int | None
    leaves: dict[str, Leaf] = field(default_factory=dict)

    def shape(self, name: str) -> Shape:
        return self.input_shape if name == INPUT else self.leaves[name].shape

    def add(self, name: str, layer: LeafLayer, inputs: tuple[str, ...], path: KeyPath) -> str:
        if len(self.leaves) >= MAX_LAYERS:
            message = f"the model has more than {MAX_LAYERS:,} layers"
            raise GraphError(path, message, "reduce 'times' in Repeat")
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
    """One list of layers: the names visible in it and its location in the config.

    The scope of a block is its `sepcnn.nn.layers.base.BlockBuilder`.
    """

    builder: _GraphBuilder
    prefix: str
    path: KeyPath
    parent: _Scope | None
    trainable: bool
    outputs: dict[str, str] = field(default_factory=dict)
    places: dict[str, KeyPath] = field(default_factory=dict)
    """path in the config of each layer in ``outputs``"""

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

    def _add(self, layer: Layer, source: str, path: KeyPath) -> str:
        named = enumerate(layer.inputs or ())
        sources = tuple(self._find(name, (*path, "inputs", i)) for i, name in named) or (source,)
        name = self._new_name(layer, path)
        if isinstance(layer, Block):
            if len(sources) > 1:
                message = f"{layer.chosen_name} takes one input, found {len(sources)}"
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
        self.places[name] = path
        return output

    def _check_count(self, layer: LeafLayer, count: int, path: KeyPath) -> None:
        kind = layer.chosen_name
        if layer.max_inputs != 1 and count < 2:
            expected = "two inputs" if layer.max_inputs == 2 else "two or more inputs"
            hint = f"name the layers to join, as in {kind}: [name_1, name_2]"
            raise GraphError(path, f"{kind} takes {expected}, found one", hint)
        if layer.max_inputs == 1 and count > 1:
            message = f"{kind} takes one input, found {count}"
            raise GraphError(path, message, JOIN_FIRST)

    def _new_name(self, layer: Layer, path: KeyPath) -> str:
        if layer.name is not None:
            if layer.name == INPUT:
                message = f"the name '{INPUT}' is reserved for the image"
                raise GraphError((*path, "name"), message, "choose another name")
            if layer.name in self.outputs:
                first = format_path(self.places[layer.name])
                message = f"the name '{layer.name}' is used twice; first in {first}"
                raise GraphError(
                    (*path, "name"),
                    message,
                    "choose another name: names must be unique in a list of layers",
                )
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
        hint = f"inputs available here: {', '.join(known)}"
        if block != name and block in known:
            hint = f"layers inside a block are not visible outside it: name the block, {block}"
        elif near := nearest(name, known):
            hint = f"did you mean '{near}'?"
        raise GraphError(path, f"there is no layer '{name}' before this one", hint)
