"""The shipped configs: their names, their summaries, and copies for other images.

A wheel holds them as ``sepcnn/configs``; in a checkout they are in ``configs``, next to the
package (docs/decisions/0011-configs-in-the-wheel.md).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TYPE_CHECKING

import sepcnn
from sepcnn.errors import ConfigError, InputError
from sepcnn.language import yaml_reader
from sepcnn.language.edit import to_yaml
from sepcnn.language.messages import nearest
from sepcnn.language.node import Node
from sepcnn.wording import first_sentence

if TYPE_CHECKING:  # it imports torch
    from sepcnn.config.config import Config

SUFFIX = ".yaml"


def folder() -> Traversable:
    """Return the folder of the shipped configs."""
    in_wheel = files(sepcnn) / "configs"
    return in_wheel if in_wheel.is_dir() else Path(sepcnn.__path__[0]).parent / "configs"


def names() -> list[str]:
    """Return the names of the configs in alphabetical order."""
    found = (file.name for file in folder().iterdir())
    return sorted(name.removesuffix(SUFFIX) for name in found if name.endswith(SUFFIX))


def read(name: str) -> str:
    """Return the text of a config. Errors: `InputError` if there is no config of this name."""
    known = names()
    if name not in known:
        near = nearest(name, known)
        hint = f"did you mean '{near}'?" if near else "sepcnn init --list shows all of them"
        raise InputError(f"there is no shipped config '{name}'", hint)
    return (folder() / f"{name}{SUFFIX}").read_text(encoding="utf-8")


def summary(text: str) -> str:
    """Return the first sentence of a config's header."""
    header = re.match(r"# yaml-language-server[^\n]*\n((?:#[^\n]*\n)*)", text)
    return first_sentence(" ".join(header[1].replace("#", " ").split())) if header else ""


def for_images(text: str, images: Path, options: Mapping[str, object] | None = None) -> str:
    """Return a shipped config changed to read the images in a folder, with its comments.

    ``options`` are further fields of Folder.
    If the last layer is Dense, it gets ``units: auto``, which fits any number of classes.
    """
    from sepcnn.config.loading import config_from_node  # it imports torch

    source = _source(yaml_reader.parse(text, "shipped config"))
    keeps_source = isinstance(source.value, dict) and "Folder" in source.value
    if not keeps_source and "\n" not in text[source.start : source.end]:
        # The comment after the source describes the one that is replaced.
        text = text[: source.end] + re.sub(r"\A[ \t]*#[^\n]*", "", text[source.end :])
    fields = {"path": str(images), **(options or {})}
    if keeps_source:
        changes = [f"data.source.{key}={to_yaml(value)}" for key, value in fields.items()]
    else:
        changes = [f"data.source={{Folder: {to_yaml(fields if options else str(images))}}}"]
    node = yaml_reader.parse(text, "shipped config")
    overrides = [*changes, *_any_classes(node)]
    config = config_from_node(text, node, "shipped config", Path(), overrides)
    assert config.origin
    return config.origin.text


def _source(config: Node) -> Node:
    data = config.child("data")
    source = data.child("source") if data else None
    assert source, "a shipped config has a data source"
    return source


def _any_classes(config: Node) -> Iterator[str]:
    """The override that makes a last layer of Dense fit any number of classes."""
    model = config.child("model")
    layers = model.child("layers") if model else None
    assert layers
    assert isinstance(layers.value, list)
    last = layers.value[-1].value
    units = last["Dense"].child("units") if isinstance(last, dict) and "Dense" in last else None
    if units and units.value != "auto":
        yield f"model.layers[{len(layers.value) - 1}].Dense.units=auto"


def class_mismatch(config: Config, classes: int) -> str:
    """Return why a model does not fit a number of classes and what to do; "" if it fits."""
    try:
        config.graph(classes)
    except ConfigError as error:
        problem = error.problems[0]
        return f"{problem.message}: {problem.hint}"
    return ""


def missing_data(config: Config) -> Path | None:
    """Return the first file or folder of the config's data source that does not exist."""
    for value in dict(config.data.source).values():
        for path in value if isinstance(value, tuple) else (value,):
            if isinstance(path, Path) and not path.exists():
                return Path(os.path.normpath(path))
    return None
