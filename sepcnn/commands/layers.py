"""``sepcnn layers``: the manual of the layers, from their docstrings."""

from __future__ import annotations

import inspect
import json

import click

from sepcnn import console
from sepcnn.errors import InputError
from sepcnn.layers import LAYERS
from sepcnn.refusal import nearest
from sepcnn.spec import Choice, plain


@click.command(name="layers")
@click.argument("name", required=False)
def command(name: str | None) -> None:
    """List the layers, or show the manual page of one."""
    if name is None:
        for layer, cls in LAYERS.items():
            console.say(f"{layer:<24}{(inspect.getdoc(cls) or '').splitlines()[0]}")
        console.say("\nsepcnn layers NAME shows a layer's fields")
        return
    if name not in LAYERS:
        near = nearest(name, LAYERS)
        hint = f"did you mean {near}?" if near else "sepcnn layers lists them"
        raise InputError(f"there is no layer '{name}'", hint)
    console.say(page(name, LAYERS[name]))


def page(name: str, layer: type[Choice]) -> str:
    """The manual page of a layer: its docstring, then its fields."""
    lines = [name, "", inspect.getdoc(layer) or "", ""]
    for field in (*layer.own_fields(), "name", "inputs"):
        info = layer.model_fields[field]
        default = "required" if info.is_required() else f"default {written(info.default)}"
        lines += [f"  {field} ({default})", f"      {info.description}"]
    return "\n".join(lines)


def written(value: object) -> str:
    """A default as a config would write it."""
    if isinstance(value, Choice):
        return value.chosen_name
    shown = plain(value)
    return shown if isinstance(shown, str) else json.dumps(shown)
