"""Run layers forward and backward over a grid of their arguments: ``python -m`` this module.

`test_argument_grid` starts it as a process, because a fault in a library may end the process.
The last line of the output names the layer that was run last.
"""

from __future__ import annotations

import faulthandler
import json
import sys
from collections.abc import Iterator
from itertools import product
from typing import Any

import torch

from sepcnn.errors import SepcnnError
from sepcnn.nn.graph import make_graph
from sepcnn.nn.layers.base import Shape
from sepcnn.nn.layers.module import begin_step
from sepcnn.nn.model import Net, build
from sepcnn.nn.schedules import Progress
from tests.nn.layers.reading import read_layers
from tests.nn.layers.test_every_layer import ROWS
from tests.nn.layers.test_every_layer import SHAPE as ROW_SHAPE

Arguments = dict[str, list[Any]]
PADDINGS = ["valid", "same"]
KERNELS: Arguments = {
    "kernel_size": [1, 2, 3, 5, [1, 3], [4, 1]],
    "strides": [1, 2, 3],
    "padding": PADDINGS,
}
DILATED: Arguments = {"kernel_size": [1, 3], "dilation_rate": [2, 3], "padding": PADDINGS}
POOLS: Arguments = {"pool_size": [1, 2, 3, [1, 3]], "strides": [1, 2, 3], "padding": PADDINGS}
FILTERS: Arguments = {"filters": [1, 8]}
GRID: list[tuple[str, Arguments]] = [
    ("Conv2D", {**FILTERS, **KERNELS}),
    ("Conv2D", {**FILTERS, **DILATED}),
    ("Conv2D", {"filters": [8], "groups": [1, 8], "kernel_size": [1, 3], "strides": [1, 2]}),
    ("SeparableConv2D", {**FILTERS, **KERNELS, "depth_multiplier": [1, 2]}),
    ("SeparableConv2D", {**FILTERS, **DILATED}),
    ("DepthwiseConv2D", {**KERNELS, "depth_multiplier": [1, 2]}),
    ("DepthwiseConv2D", DILATED),
    ("Conv2DTranspose", {**FILTERS, **KERNELS}),
    ("Conv2DTranspose", {**FILTERS, **DILATED}),
    ("Conv2DTranspose", {**FILTERS, **KERNELS, "strides": [3], "output_padding": [0, 1, 2]}),
    ("MaxPooling2D", POOLS),
    ("AveragePooling2D", POOLS),
    ("UpSampling2D", {"size": [1, 2, [1, 3]], "interpolation": ["nearest", "bilinear"]}),
    (
        "Resizing",
        {
            "height": [1, 5],
            "width": [1, 12],
            "interpolation": ["nearest", "bilinear", "bicubic", "lanczos3", "lanczos5"],
            "antialias": [True, False],
        },
    ),
    ("BatchNormalization", {"renorm": [True, False], "scale": [True, False]}),
    ("LayerNormalization", {"axis": [-1, [1, 2], [1, 2, 3]]}),
    ("GroupNormalization", {"groups": [1, -1]}),
    ("GlobalAveragePooling2D", {"keepdims": [True, False]}),
    ("GlobalMaxPooling2D", {"keepdims": [True, False]}),
]
SHAPES: list[Shape] = [(9, 8, 8), (6, 7, 1), (1, 1, 8), (1, 1, 1), (30, 31, 8)]
BATCHES = (1, 8)
MEMORY_FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
GRADIENTS = (*MEMORY_FORMATS, "expanded")
"""strides of the output's gradient; global pooling expands its gradient over the pixels"""


def nets() -> Iterator[tuple[str, Net]]:
    """Yield each net of one layer that its shape allows, with a description."""
    for name, arguments in GRID:
        for values, shape in product(product(*arguments.values()), SHAPES):
            text = json.dumps({name: dict(zip(arguments, values, strict=True))})
            try:
                yield f"{text} on {shape}", build(make_graph(read_layers(f"[{text}]"), shape))
            except SepcnnError:  # for example a kernel that is larger than the image
                continue
    for row in ROWS.values():
        yield row, build(make_graph(read_layers(f"[{row}]"), ROW_SHAPE))


def gradient_like(output: torch.Tensor, kind: str) -> torch.Tensor:
    if output.dim() != 4:
        return torch.randn_like(output)
    if kind == "expanded":
        return torch.randn(*output.shape[:2], 1, 1).expand_as(output)
    return torch.randn_like(output).contiguous(memory_format=MEMORY_FORMATS[kind])


def run(net: Net, batch: int, memory_format: torch.memory_format, gradient: str) -> None:
    """One step forward and backward in training."""
    height, width, channels = net.graph.input_shape
    x = torch.randn(batch, channels, height, width).contiguous(memory_format=memory_format)
    net = net.to(memory_format=memory_format)
    net.train()
    begin_step(net, 0, Progress(step=3, steps_per_epoch=5, total_steps=10))
    output = net(x.requires_grad_())
    output.backward(gradient_like(output, gradient))


def main() -> None:
    faulthandler.enable()
    torch.set_num_threads(1)
    count = 0
    for text, net in nets():
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
        for batch, memory_format, gradient in product(BATCHES, MEMORY_FORMATS.values(), GRADIENTS):
            run(net, batch, memory_format, gradient)
            count += 1
    print(f"done: {count} steps")


if __name__ == "__main__":
    main()
