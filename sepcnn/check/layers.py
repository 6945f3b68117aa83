"""Check that the model's layers suit the size of the images."""

from __future__ import annotations

from collections.abc import Iterator

from sepcnn.check.base import CheckContext, Finding
from sepcnn.config.consistency import scaling_note
from sepcnn.nn.graph import Leaf
from sepcnn.nn.layers.reshape import Flatten, Reshape
from sepcnn.nn.summary import summarize
from sepcnn.wording import counted

STEM_LAYERS = 3
"""number of layers with a window, from the input, that form the stem"""
STEM_REDUCTION, STEM_SIDE = 4, 16
"""a stem that divides the image's side by at least the first, to below the second, in pixels, is
reported
"""
LEAST_FIELD = 0.5
"""smallest receptive field of the last feature map that is not reported, as a fraction of the side
of the image
"""


def scaling(context: CheckContext) -> Iterator[Finding]:
    """Report a model that receives unscaled pixels."""
    if text := scaling_note(context.graph):
        yield Finding("scaling", "warning", text)


def stem(context: CheckContext) -> Iterator[Finding]:
    """Report first layers that shrink a small image too quickly."""
    side = min(context.graph.input_shape[:2])
    for number, leaf in enumerate(windowed_layers(context)[:STEM_LAYERS]):
        after = min(leaf.shape[:2])
        if after and side / after >= STEM_REDUCTION and after < STEM_SIDE:
            first = f"first {number + 1} layers shrink" if number else "first layer shrinks"
            message = (
                f"the {first} the {side}-pixel image to {counted(after, 'pixel')} "
                f"('{leaf.name}'): fine detail is lost"
            )
            hint = "use strides: 1 in one of them, or a larger input_shape"
            yield Finding("stem", "warning", message, hint)
            return


def single_pixel(context: CheckContext) -> Iterator[Finding]:
    """Report windows that slide over a single pixel and its padding."""
    useless = [
        leaf
        for leaf in windowed_layers(context)
        if leaf.input_shapes[0][:2] == (1, 1) and window_size(leaf) > 1
    ]
    if useless:
        message = (
            f"from '{useless[0].name}' on the feature map is a single pixel: {len(useless)} "
            f"{'layer sees' if len(useless) == 1 else 'layers see'} only padding around it"
        )
        hint = "shrink the image less often, or use a larger input_shape"
        yield Finding("used_up", "warning", message, hint)


def receptive_field(context: CheckContext) -> Iterator[Finding]:
    """Report a last feature map whose positions see only a small part of the image."""
    if any(isinstance(leaf.layer, Flatten | Reshape) for leaf in context.graph.leaves):
        return  # a Dense layer after it sees all positions, each with its own weights
    maps = [line for line in summarize(context.graph).layers if len(line.output_shape or ()) == 3]
    field = maps[-1].receptive_field if maps else None
    height, width, _ = context.graph.input_shape
    if field and (field[0] < LEAST_FIELD * height or field[1] < LEAST_FIELD * width):
        message = (
            f"each position of the last feature map ('{maps[-1].name}') sees only "
            f"{field[0]}×{field[1]} of {height}×{width} pixels"
        )
        hint = "add a MaxPooling2D or more layers, or use a smaller input_shape"
        yield Finding("receptive_field", "warning", message, hint)


def windowed_layers(context: CheckContext) -> list[Leaf]:
    """Return the layers that slide a window over an image, or shrink it."""
    return [
        leaf
        for leaf in context.graph.leaves
        if len(leaf.shape) == 3 and len(leaf.input_shapes[0]) == 3 and window_size(leaf) > 1
    ]


def window_size(leaf: Leaf) -> float:
    """Return the largest of a layer's window sides and strides; 1 if it has no window."""
    window = leaf.layer.receptive_field(*leaf.input_shapes)
    return float(max(*window.size, *window.strides)) if window else 1.0
