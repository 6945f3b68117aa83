"""Base classes of layers: a spec that computes its output shape and builds its module.

Shapes are in Keras order without the batch: (height, width, channels) or (features,). Modules take
and return tensors in torch order: N×C×H×W or N×F.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated, ClassVar, Literal, Protocol

from pydantic import Field, PlainValidator, WithJsonSchema
from torch import nn

from sepcnn.errors import SepcnnError
from sepcnn.language.messages import invalid, quote
from sepcnn.language.spec import Choice, Table
from sepcnn.nn.constraints import Constraint
from sepcnn.nn.layers.module import WeightRules

Shape = tuple[int, ...]


class ShapeError(SepcnnError):
    """A layer does not accept its input. `sepcnn.nn.graph` adds the location in the config."""


def _layer_name(value: object) -> str:
    if isinstance(value, str) and value and not set(value) & set("./ \t\n"):
        return value
    hint = "use letters, digits, - and _; '/' is reserved for blocks"
    if type(value) is int:
        hint = f"put it in quotes: '{value}'"
    raise invalid(f"expected a layer name, found {quote(value)}", hint)


def _layer_names(value: object) -> tuple[str, ...]:
    names = [value] if isinstance(value, str) else value
    if isinstance(names, list | tuple) and names and all(isinstance(n, str) for n in names):
        return tuple(names)
    if names == []:
        hint = "layers that join inputs need two or more, as in Add: [name_1, name_2]"
        raise invalid("expected the name of at least one earlier layer, found []", hint)
    raise invalid(f"expected a list of names of earlier layers, found {quote(value)}")


LayerName = Annotated[str, PlainValidator(_layer_name), WithJsonSchema({"type": "string"})]
LayerNames = Annotated[
    tuple[str, ...],
    PlainValidator(_layer_names),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string"},
                {"type": "array", "items": {"type": "string"}, "minItems": 1},
            ]
        }
    ),
]


class Layer(Choice):
    """One layer of the config; leaf layers build modules, blocks expand into leaf layers."""

    table: ClassVar[Table] = Table(
        "layer", "keep one; in a list, start each layer with its own '- '"
    )
    first_arguments = 3
    elsewhere: ClassVar[Mapping[str, str]] = {
        "data_format": "set it once for the whole file: model.data_format",
        "seed": "train.seed sets all randomness; each layer draws from its own stream",
        "dtype": "train.precision applies to the whole model",
        "activity_regularizer": "not supported; use a regularizer such as kernel_regularizer",
    }

    name: LayerName | None = None
    """name of the layer, unique in its list; by default as Keras names it, for example conv2d_1"""
    inputs: LayerNames | None = None
    """names of the earlier layers that this layer reads; by default the previous layer"""
    trainable: bool = True
    """false freezes the weights; batch normalization then uses its moving statistics"""

    @classmethod
    def own_fields(cls) -> list[str]:
        """The fields of the layer's class, without those that all layers share."""
        return [name for name in cls.model_fields if name not in Layer.model_fields]


@dataclass(frozen=True, slots=True)
class ReceptiveField:
    """The input pixels that one output pixel depends on, along height and width.

    Fractions come from layers that resize.
    """

    size: tuple[int | Fraction, int | Fraction]
    """height and width in input pixels"""
    strides: tuple[int | Fraction, int | Fraction] = (1, 1)
    """distance between the fields of neighbouring outputs, in input pixels; below 1 if the layer
    enlarges the image"""


class LeafLayer(Layer):
    """A layer that builds one module for given input shapes."""

    max_inputs: ClassVar[Literal[1, 2] | None] = 1
    """number of inputs: 1, exactly 2, or None for two or more"""

    def weight_rules(self, weight: str) -> WeightRules:
        """The initializer, regularizer and constraint of a weight, as ``kernel`` or ``bias``."""
        kinds = ("initializer", "regularizer", "constraint")
        return WeightRules(*(getattr(self, f"{weight}_{kind}") for kind in kinds))

    def check_constraints(self, axes: int) -> None:
        """Check the constraints against a weight with ``axes`` axes.

        For layers whose weight shape depends on the input; other layers check when the config is
        read. Errors: `ShapeError` if a constraint does not fit.
        """
        for name in type(self).model_fields:
            rule = getattr(self, name)
            if isinstance(rule, Constraint) and (mismatch := rule.mismatch(axes)):
                raise ShapeError(f"{name}: {mismatch.message}", mismatch.hint)

    @abstractmethod
    def output_shape(self, *inputs: Shape) -> Shape:
        """Return the output shape. Errors: `ShapeError` if the input shapes do not fit."""

    @abstractmethod
    def build(self, *inputs: Shape) -> nn.Module:
        """Build the module for these input shapes. Its weights are not initialized yet."""

    def macs(self, inputs: tuple[Shape, ...], output: Shape) -> int:
        """Return the multiply-adds for one image; 0 except for convolutions and dense layers."""
        return 0

    def receptive_field(self, *inputs: Shape) -> ReceptiveField | None:
        """Return the receptive field; None if every output depends on the whole input.

        Only layers whose field depends on the input shape use ``inputs``.
        """
        return ReceptiveField((1, 1))


LayerList = Annotated[tuple[Layer, ...], Field(strict=False, min_length=1)]


class BlockBuilder(Protocol):
    """Adds the layers of one block to the graph."""

    def add_layers(self, layers: Sequence[Layer], source: str, *path: str | int) -> str:
        """Add layers in sequence, the first reading ``source``; return the name of the last output.

        ``path`` is the config path from the block to this list of layers.
        """

    def add_leaf(self, layer: LeafLayer, sources: Sequence[str]) -> str:
        """Add one leaf layer that reads ``sources``; return its name."""

    def shape(self, name: str) -> Shape:
        """Return the output shape of a layer that was added before."""

    def numbered_part(self, number: int) -> BlockBuilder:
        """Return a builder for a numbered part; its layers are named ``<block>/<number>/…``."""


class Block(Layer):
    """A layer without a module: it expands into leaf layers when the graph is made."""

    @abstractmethod
    def expand(self, builder: BlockBuilder, source: str) -> str:
        """Add the block's layers, the first reading ``source``; return the name of the output."""


# ── shapes ─────────────────────────────────────────────────────────────────


def image_shape(shape: Shape) -> tuple[int, int, int]:
    """Return the shape as height, width, channels. Errors: `ShapeError` if it is not an image."""
    if len(shape) != 3:
        hint = "move it before the Flatten or global pooling layer"
        raise ShapeError(f"needs an image, but its input is {format_shape(shape)}", hint)
    return shape


def format_shape(shape: Shape) -> str:
    """Format a shape for messages: ``2×2×64`` or ``128 features``."""
    return "×".join(map(str, shape)) if len(shape) > 1 else f"{shape[0]} features"
