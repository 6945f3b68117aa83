"""Read a config file with its overrides, and check everything that needs no images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sepcnn.config import consistency
from sepcnn.config.config import Config, Origin, read_config
from sepcnn.data.dataset import Dataset
from sepcnn.language import yaml_reader
from sepcnn.language.node import Node
from sepcnn.language.overrides import apply_override
from sepcnn.nn.graph import Graph


def load_config(path: Path | str, overrides: Sequence[str] = ()) -> Config:
    """Read a config file with ``KEY=VALUE`` overrides and check it.

    Errors: `ConfigError` with every problem at its place.
    """
    path = Path(path)
    text, node = yaml_reader.read_file(path)
    return config_from_node(text, node, str(path), path.parent, overrides)


def config_from_node(
    text: str, node: Node, name: str, folder: Path, overrides: Sequence[str] = ()
) -> Config:
    """As `load_config`, for a text that has been parsed already."""
    for override in overrides:
        text, node = apply_override(text, node, override, Config)
    config = read_config(node, folder.absolute())
    config = config.with_origin(Origin(name, text, node, tuple(overrides)))
    check(config)
    return config


def check(config: Config) -> None:
    """Apply the rules between sections and layers. Errors: `ConfigError`."""
    graph = config.graph(config.known_classes)
    mismatches = consistency.find_mismatches(config.model, config.data, config.train, graph)
    config.raise_mismatches(mismatches)


def check_data(config: Config, dataset: Dataset) -> None:
    """Apply the rules that depend on the images. Errors: `ConfigError`."""
    config.raise_mismatches(
        [
            *consistency.class_weight_mismatches(config.train, dataset.class_names),
            *consistency.best_metric_mismatches(config.train, validated=dataset.val is not None),
        ]
    )


def notes(config: Config, graph: Graph) -> list[str]:
    """What is valid but probably a mistake. ``graph`` is the graph of the config."""
    found = consistency.balance_note(config.train), consistency.scaling_note(graph)
    return [text for text in found if text]
