"""Whether the net's layers suit the size of the images."""

from __future__ import annotations

from collections.abc import Iterator

from sepcnn.check.base import Finding, Subject
from sepcnn.config.consistency import scaling_note
from sepcnn.nn.graph import Leaf
from sepcnn.nn.layers.reshape import Flatten, Reshape
from sepcnn.nn.summary import summarize
from sepcnn.wording import counted

STEM = 3
"""first layers with a window"""
FAST, SMALL = 4, 16
"""a stem that shrinks the image to a quarter of its side, and below this"""
SEEN = 0.5
"""share of the image's side that the last feature map should see at least"""


def scaling(subject: Subject) -> Iterator[Finding]:
    """Pixels that no layer brings into the range a net likes."""
    if text := scaling_note(subject.graph):
        yield Finding("scaling", "warning", text)


def stem(subject: Subject) -> Iterator[Finding]:
    """First layers that throw detail away before anything was seen of it."""
    windows = windowed(subject)
    side = min(subject.graph.input_shape[:2])
    for number, leaf in enumerate(windows[:STEM]):
        after = min(leaf.shape[:2])
        if after and side / after >= FAST and after < SMALL:
            first = f"first {number + 1} layers shrink" if number else "first layer shrinks"
            message = (
                f"the {first} the {side}-pixel image to {counted(after, 'pixel')} "
                f"('{leaf.name}'): fine detail is lost before it is seen"
            )
            hint = "use strides: 1 in one of them, or a larger input_shape"
            yield Finding("stem", "warning", message, hint)
            return


def used_up(subject: Subject) -> Iterator[Finding]:
    """Windows that slide over one pixel and its padding."""
    idle = [
        leaf
        for leaf in windowed(subject)
        if leaf.input_shapes[0][:2] == (1, 1) and window_size(leaf) > 1
    ]
    if idle:
        message = (
            f"from '{idle[0].name}' on the feature map is a single pixel: {len(idle)} "
            f"{'layer sees' if len(idle) == 1 else 'layers see'} only padding around it"
        )
        yield Finding(
            "used_up", "warning", message, "shrink the image less often, or give larger images"
        )


def receptive_field(subject: Subject) -> Iterator[Finding]:
    """What one place of the last feature map sees of the image."""
    if any(isinstance(leaf.layer, Flatten | Reshape) for leaf in subject.graph.leaves):
        return  # a Dense after it sees all places, each with weights of its own
    maps = [line for line in summarize(subject.graph).layers if len(line.output_shape or ()) == 3]
    field = maps[-1].receptive_field if maps else None
    height, width, _ = subject.graph.input_shape
    if field and (field[0] < SEEN * height or field[1] < SEEN * width):
        message = (
            f"the last feature map ('{maps[-1].name}') sees {field[0]}×{field[1]} pixels of "
            f"{height}×{width}: no whole object that fills the image"
        )
        hint = "add a MaxPooling2D or more layers, or give smaller images"
        yield Finding("receptive_field", "warning", message, hint)


def windowed(subject: Subject) -> list[Leaf]:
    """The layers that slide a window over an image, or shrink it."""
    return [
        leaf
        for leaf in subject.graph.leaves
        if len(leaf.shape) == 3 and len(leaf.input_shapes[0]) == 3 and window_size(leaf) > 1
    ]


def window_size(leaf: Leaf) -> float:
    window = leaf.layer.window_on(*leaf.input_shapes)
    return float(max(*window.size, *window.strides)) if window else 1.0
