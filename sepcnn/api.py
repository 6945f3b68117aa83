"""What ``import sepcnn`` offers to Python programs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sepcnn.config.config import Config
from sepcnn.config.loading import load_config as load_config_file
from sepcnn.errors import InputError
from sepcnn.nn import model
from sepcnn.nn.model import Net
from sepcnn.training.evaluation import load_predictor as load

__all__ = ["build", "load", "load_config"]


def load_config(path: Path | str, overrides: Sequence[str] = ()) -> Config:
    """Read and check a config; ``overrides`` are ``KEY=VALUE`` as on the command line.

    Errors: `sepcnn.errors.ConfigError`, with every problem at its place.
    """
    return load_config_file(path, overrides)


def build(config: Config, classes: int | None = None) -> Net:
    """The net of a config with its first weights: float N×C×H×W of 0 to 255 → N×classes.

    ``classes`` stands for ``units: auto`` where the data does not tell before it is read. A
    Normalization without numbers of its own has mean 0 and variance 1 until it is trained.
    Errors: `ConfigError` for shapes that do not fit, `InputError` if classes are unknown.
    """
    classes = classes or config.known_classes
    graph = config.graph(classes)
    if classes is None and graph.output.depends_on_classes:
        raise InputError("the number of classes is not known", "give build(config, classes=N)")
    return model.build(graph, config.train.seed)
