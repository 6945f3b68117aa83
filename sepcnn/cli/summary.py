"""``sepcnn summary``: show the layers of a model, their shapes and costs."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

from sepcnn.cli import console
from sepcnn.cli.options import PATH, as_json, overrides
from sepcnn.config import loading
from sepcnn.errors import InputError
from sepcnn.nn import summary
from sepcnn.nn.graph import Graph
from sepcnn.nn.layers.base import Shape
from sepcnn.nn.summary import LayerSummary, Summary
from sepcnn.training import checkpoint

WIDE = 110
"""on a narrower terminal the table leaves out the types and the memory"""


@click.command(name="summary")
@click.argument("path", metavar="CONFIG_OR_CHECKPOINT", type=PATH)
@click.option(
    "--classes", type=click.IntRange(min=1), metavar="N", help="Number of classes, for units: auto."
)
@overrides
@as_json
def command(path: Path, classes: int | None, overrides: tuple[str, ...], as_json: bool) -> None:
    """Show each layer's output shape, parameters, multiply-adds, memory and receptive field.

    Also shows the cost of the same model with Conv2D in place of SeparableConv2D. Only the config
    or the checkpoint is read, no images.
    """
    result = summary.summarize(graph_of(path, classes, overrides))
    if as_json:
        console.data(json.dumps(to_json(result)))
    else:
        show(result)


def graph_of(path: Path, classes: int | None, overrides: tuple[str, ...]) -> Graph:
    if os.path.isdir(path) or path.suffix == ".safetensors":
        if overrides:
            raise InputError("--set changes a config, not a checkpoint", "give the config file")
        stored = checkpoint.read(checkpoint.locate(path))
        return stored.config.graph(len(stored.class_names))
    settings = loading.load_config(path, overrides)
    return settings.graph(classes or settings.known_classes)


def to_json(result: Summary) -> dict[str, object]:
    def total(column: str) -> int | None:
        """Return the sum, or None if some layers are unknown: a partial sum would mislead."""
        return None if result.unknown else result.total(column)

    return {
        "params": total("params"),
        "trainable_params": total("trainable_params"),
        "macs": total("macs"),
        "activation_bytes": total("activation_bytes"),
        "dense_twin": {"params": total("twin_params"), "macs": total("twin_macs")},
        "layers": [
            {
                "name": layer.name,
                "type": layer.type,
                "output_shape": list(layer.output_shape) if layer.output_shape else None,
                "params": layer.params,
                "trainable_params": layer.trainable_params,
                "macs": layer.macs,
                "activation_bytes": layer.activation_bytes,
                "receptive_field": list(layer.receptive_field) if layer.receptive_field else None,
            }
            for layer in result.layers
        ],
    }


def show(result: Summary) -> None:
    columns = ["layer", "type", "output", "params", "multiply-adds", "memory", "field"]
    kept = list(range(len(columns)))
    if console.width() < WIDE:
        kept = [columns.index(c) for c in ("layer", "output", "params", "multiply-adds", "field")]
    rows = [[cells[index] for index in kept] for cells in map(row, result.layers)]
    console.table([columns[index] for index in kept], rows, left=2 if 1 in kept else 1)
    params, trainable = result.total("params"), result.total("trainable_params")
    fixed, part = params - trainable, left_out(result)
    console.say(
        f"parameters     {params:,} ({trainable:,} trainable, {fixed:,} non-trainable){part}"
    )
    console.say(f"multiply-adds  {result.total('macs'):,} for one image{part}")
    memory = size(result.total("activation_bytes"))
    console.say(f"activations    {memory} for one image in float32{part}")
    if result.unknown:
        console.say("?              depends on the number of classes; set it with --classes N")
    if result.has_twin:
        twin_params, twin_macs = result.total("twin_params"), result.total("twin_macs")
        console.say(
            f"with Conv2D in place of SeparableConv2D: {twin_params:,} parameters "
            f"({twin_params / params:.1f} ×), {twin_macs:,} multiply-adds "
            f"({twin_macs / result.total('macs'):.1f} ×){part}"
        )


def left_out(result: Summary) -> str:
    """Return a remark on the layers that the totals leave out; empty if there are none."""
    names = [layer.name for layer in result.layers if layer.params is None]
    if len(names) < 2:
        return f", without {names[0]}" if names else ""
    return f", without the {len(names)} layers marked ?"


def row(layer: LayerSummary) -> list[str]:
    return [
        layer.name,
        layer.type,
        shape(layer.output_shape),
        console.count(layer.params),
        console.count(layer.macs),
        "?" if layer.activation_bytes is None else size(layer.activation_bytes),
        "all" if layer.receptive_field is None else shape(layer.receptive_field),
    ]


def shape(value: Shape | None) -> str:
    return "?" if value is None else "×".join(map(str, value))


def size(count: int) -> str:
    """Return a number of bytes with its unit, as in ``1.5 MiB``."""
    number = float(count)
    for unit in ("B", "KiB", "MiB"):
        if number < 1024:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} GiB"
