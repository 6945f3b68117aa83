"""The Python API. ``import sepcnn`` provides these functions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sepcnn.config.config import Config
from sepcnn.config.loading import load_config as load_config_file
from sepcnn.errors import InputError
from sepcnn.nn import model
from sepcnn.nn.model import Net
from sepcnn.training.prediction import load_predictor as load

__all__ = ["build", "load", "load_config"]


def load_config(path: Path | str, overrides: Sequence[str] = ()) -> Config:
    """Read and validate a config file.

    ``overrides`` are strings ``KEY=VALUE``, as for ``--set`` on the command line.

    Errors: `sepcnn.errors.ConfigError` with all problems and their locations.
    """
    return load_config_file(path, overrides)


def build(config: Config, classes: int | None = None) -> Net:
    """Build the model of a config, with its initial weights.

    The model maps float images N×C×H×W with values from 0 to 255 to N×classes. This differs from
    Keras, where images are N×H×W×C. ``classes`` is the value of ``units: auto``; it can be omitted
    if the data source has a known number of classes. A Normalization layer without a given mean
    and variance has mean 0 and variance 1 until training adapts it to the data.

    Errors: `sepcnn.errors.ConfigError` if shapes do not match, `sepcnn.errors.InputError` if
    ``units: auto`` is used and the number of classes is not known.
    """
    classes = classes or config.known_classes
    graph = config.graph(classes)
    if classes is None and graph.output.depends_on_classes:
        raise InputError("the number of classes is not known", "call build(config, classes=N)")
    return model.build(graph, config.train.seed)
