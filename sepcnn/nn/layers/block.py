"""Blocks: pieces of network that expand into leaf layers when the config is read."""

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
    """Adds a shortcut around some layers: ``y = layers(x) + shortcut(x)``.

    He et al. 2015, arXiv:1512.03385. Without ``shortcut`` the input itself is added, so the
    layers must keep its shape.
    """

    layers: LayerList
    """the layers on the main way"""
    shortcut: Annotated[tuple[Layer, ...], Field(strict=False)] = ()
    """the layers on the way around; none is the identity"""

    def expand(self, builder: BlockBuilder, source: str) -> str:
        main = builder.add_layers(self.layers, source, "layers")
        around = builder.add_layers(self.shortcut, source, "shortcut") if self.shortcut else source
        wanted, found = builder.shape(main), builder.shape(around)
        if wanted != found:
            way = "the shortcut" if self.shortcut else "the block's input"
            message = f"the layers give {format_shape(wanted)}, but {way} is {format_shape(found)}"
            raise ShapeError(message, shortcut_to_paste(builder.shape(source), wanted))
        return builder.add_leaf(Add(), [main, around])


def shortcut_to_paste(source: Shape, wanted: Shape) -> str:
    """The shortcut that makes the shapes agree, as YAML, where strides can do it."""
    if len(source) != 3 or len(wanted) != 3:
        return "give a shortcut whose output has the shape of the layers' output"
    for strides in range(1, 9):
        if all(-(-source[axis] // strides) == wanted[axis] for axis in (0, 1)):
            fields = f"filters: {wanted[2]}, kernel_size: 1, strides: {strides}, padding: same"
            return f"write shortcut: [Conv2D: {{{fields}, use_bias: false}}, BatchNormalization]"
    return "use padding: same in the layers, so that the size changes by strides alone"


class Repeat(Block):
    """The same layers several times, each time with weights of its own."""

    times: PositiveInt
    """how many times"""
    layers: LayerList
    """the layers to repeat"""

    def expand(self, builder: BlockBuilder, source: str) -> str:
        for number in range(1, self.times + 1):
            source = builder.numbered_part(number).add_layers(self.layers, source, "layers")
        return source


class Parallel(Block):
    """Several branches that read the same input, joined by a merging layer."""

    branches: Annotated[tuple[LayerList, ...], Field(strict=False, min_length=2)]
    """lists of layers, one a branch"""
    merge: Layer = Concatenate()
    """the layer that joins the branches"""

    def expand(self, builder: BlockBuilder, source: str) -> str:
        if not isinstance(self.merge, Merge):
            message = f"{self.merge.chosen_name} does not join branches"
            raise ShapeError(message, "use Concatenate or Add")
        if self.merge.inputs is not None:
            raise ShapeError("merge joins the branches and reads nothing else", "leave out inputs")
        outputs = [
            builder.numbered_part(number).add_layers(branch, source, "branches", number - 1)
            for number, branch in enumerate(self.branches, start=1)
        ]
        return builder.add_leaf(self.merge, outputs)
