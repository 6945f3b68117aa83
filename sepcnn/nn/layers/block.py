"""Blocks: layers that expand into leaf layers when the graph is made."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from sepcnn.language.values import PositiveInt
from sepcnn.nn.layers.base import (
    Block,
    BlockBuilder,
    Layer,
    LayerList,
    Shape,
    ShapeError,
    format_shape,
)
from sepcnn.nn.layers.merge import Add, Concatenate, Merge


class Residual(Block):
    """Residual block: ``y = layers(x) + shortcut(x)``. Not a layer of Keras.

    He et al. 2015, arXiv:1512.03385. Without ``shortcut`` the input itself is added, so the
    layers must keep its shape.
    """

    layers: LayerList
    """layers of the main branch"""
    shortcut: Annotated[tuple[Layer, ...], Field(strict=False)] = ()
    """layers of the shortcut; the identity by default"""

    def expand(self, builder: BlockBuilder, source: str) -> str:
        main = builder.add_layers(self.layers, source, "layers")
        shortcut = (
            builder.add_layers(self.shortcut, source, "shortcut") if self.shortcut else source
        )
        expected, found = builder.shape(main), builder.shape(shortcut)
        if expected != found:
            other = "the shortcut" if self.shortcut else "the input of the block"
            message = (
                f"the output of 'layers' is {format_shape(expected)}, "
                f"but {other} is {format_shape(found)}"
            )
            raise ShapeError(message, suggested_shortcut(builder.shape(source), expected))
        return builder.add_leaf(Add(), [main, shortcut])


def suggested_shortcut(source: Shape, target: Shape) -> str:
    """Return a hint; if a strided 1×1 convolution makes the shapes agree, its YAML."""
    if len(source) != 3 or len(target) != 3:
        return "use a shortcut whose output has the shape of the output of layers"
    for strides in range(1, 9):
        if all(-(-source[axis] // strides) == target[axis] for axis in (0, 1)):
            fields = f"filters: {target[2]}, kernel_size: 1, strides: {strides}, padding: same"
            return f"write shortcut: [Conv2D: {{{fields}, use_bias: false}}, BatchNormalization]"
    return "use padding: same in layers, so that only strides change the size"


class Repeat(Block):
    """Repeats layers in sequence, each time with new weights. Not a layer of Keras."""

    times: PositiveInt
    """number of repetitions"""
    layers: LayerList
    """layers to repeat"""

    def expand(self, builder: BlockBuilder, source: str) -> str:
        for number in range(1, self.times + 1):
            source = builder.numbered_part(number).add_layers(self.layers, source, "layers")
        return source


class Parallel(Block):
    """Parallel branches that read the same input, joined by a merge layer. Not a layer of Keras."""

    branches: Annotated[tuple[LayerList, ...], Field(strict=False, min_length=2)]
    """one list of layers per branch"""
    merge: Layer = Concatenate()
    """layer that joins the branches: Concatenate, Add or another merge layer"""

    def expand(self, builder: BlockBuilder, source: str) -> str:
        if not isinstance(self.merge, Merge):
            message = f"merge must be a layer that joins inputs, found {self.merge.chosen_name}"
            raise ShapeError(message, "use Concatenate or Add")
        if self.merge.inputs is not None:
            raise ShapeError("the inputs of merge are always the branches", "leave out inputs")
        outputs = [
            builder.numbered_part(number).add_layers(branch, source, "branches", number - 1)
            for number, branch in enumerate(self.branches, start=1)
        ]
        return builder.add_leaf(self.merge, outputs)
