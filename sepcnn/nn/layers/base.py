"""What a layer is: a spec that tells its output shape and builds one module for it.

Shapes are Keras' without the batch: (height, width, channels) or (features,). Modules take and
give torch's order, N×C×H×W or N×F.
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
from sepcnn.nn.layers.module import Rules

Shape = tuple[int, ...]


class ShapeError(SepcnnError):
    """A layer cannot follow what is above it. `sepcnn.nn.graph` adds the place in the config."""


def _layer_name(value: object) -> str:
    if isinstance(value, str) and value and not set(value) & set("./ \t\n"):
        return value
    hint = "use letters, digits, - and _; '/' is reserved for blocks"
    raise invalid(f"expected the name of a layer, found {quote(value)}", hint)


def _layer_names(value: object) -> tuple[str, ...]:
    names = [value] if isinstance(value, str) else value
    if isinstance(names, list | tuple) and names and all(isinstance(n, str) for n in names):
        return tuple(names)
    raise invalid(f"expected a list of names of layers above, found {quote(value)}")


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
        "layer", "keep one; in a list, write each layer behind its own '- '"
    )
    elsewhere: ClassVar[Mapping[str, str]] = {
        "data_format": "write it once for the whole file: model.data_format",
        "seed": "train.seed decides all that is drawn; each layer has a stream of its own",
        "dtype": "train.precision is that of the whole net",
        "activity_regularizer": "there is none; weights have regularizers, as kernel_regularizer",
    }

    name: LayerName | None = None
    """name of the layer; Keras' automatic name unless given"""
    inputs: LayerNames | None = None
    """names of the layers above that this one reads; the layer right above unless given"""
    trainable: bool = True
    """false: its weights stay as they are, and batch normalization uses its moving statistics"""

    @classmethod
    def own_fields(cls) -> list[str]:
        return [name for name in cls.model_fields if name not in Layer.model_fields]


@dataclass(frozen=True, slots=True)
class Window:
    """What one output pixel sees of the input: extent and distance of windows, in pixels."""

    size: tuple[int, int]
    strides: tuple[int | Fraction, int | Fraction] = (1, 1)
    """below 1 where the layer enlarges the image"""


class LeafLayer(Layer):
    """A layer that builds one module for given input shapes."""

    max_inputs: ClassVar[Literal[1, 2] | None] = 1
    """how many inputs it takes: one, exactly two, or None: any number from two"""

    def rules(self, weight: str) -> Rules:
        """What the fields ``<weight>_initializer`` and so on say of a weight."""
        kinds = ("initializer", "regularizer", "constraint")
        return Rules(*(getattr(self, f"{weight}_{kind}") for kind in kinds))

    def check_constraints(self, axes: int) -> None:
        """Errors: `ShapeError` if one does not fit a weight of so many axes.

        For layers whose weights have as many as the input tells; others know when they are read.
        """
        for name in type(self).model_fields:
            rule = getattr(self, name)
            if isinstance(rule, Constraint) and (mismatch := rule.mismatch(axes)):
                raise ShapeError(f"{name}: {mismatch.message}", mismatch.hint)

    @abstractmethod
    def output_shape(self, *inputs: Shape) -> Shape:
        """The shape of the output. Errors: `ShapeError`, naming what does not fit."""

    @abstractmethod
    def build(self, *inputs: Shape) -> nn.Module:
        """The module for inputs of these shapes, its weights not yet drawn."""

    def macs(self, inputs: tuple[Shape, ...], output: Shape) -> int:
        """Multiply-adds of convolutions and dense layers for one image."""
        return 0

    def window(self) -> Window | None:
        """The window over height and width; None where every output sees the whole input."""
        return Window((1, 1))

    def window_on(self, *inputs: Shape) -> Window | None:
        """`window`, for the layers where it depends on the shape of the input."""
        return self.window()


LayerList = Annotated[tuple[Layer, ...], Field(strict=False, min_length=1)]


class Place(Protocol):
    """Where a block stands while the graph is made: what it calls to add its layers."""

    def chain(self, layers: Sequence[Layer], source: str, *path: str | int) -> str:
        """Add layers one after the other, the first reading ``source``; names the last output.

        ``path`` leads from the block to the list in the config.
        """

    def leaf(self, layer: LeafLayer, sources: Sequence[str]) -> str:
        """Add one leaf layer of the block's own; its name comes back."""

    def shape(self, name: str) -> Shape:
        """The output shape of a layer added before."""

    def repetition(self, number: int) -> Place:
        """The place of one of several equal parts, numbered from 1."""


class Block(Layer):
    """A layer that builds nothing: it expands into leaf layers when the config is read."""

    @abstractmethod
    def expand(self, place: Place, source: str) -> str:
        """Add the block's layers, reading ``source``; gives the name of its output."""


# ── helpers of several layers ─────────────────────────────────────────────────────────────────


def image(shape: Shape) -> tuple[int, int, int]:
    """The shape as height, width, channels. Errors: `ShapeError` if it is not an image."""
    if len(shape) != 3:
        hint = "move it above the Flatten or global pooling layer"
        raise ShapeError(f"needs an image, but its input is {show_shape(shape)}", hint)
    return shape


def show_shape(shape: Shape) -> str:
    """``2×2×64``, or ``128 features``."""
    return "×".join(map(str, shape)) if len(shape) > 1 else f"{shape[0]} features"
