"""The config: its sections together, and how a file with its overrides is read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import (
    PrivateAttr,
)

from sepcnn.config import consistency
from sepcnn.config.consistency import Misfit
from sepcnn.config.sections import Data, Model, Train
from sepcnn.data.dataset import Dataset
from sepcnn.data.progress import ProgressCallback, no_progress
from sepcnn.data.sources.base import Request
from sepcnn.errors import ConfigError, DataError, InputError, Problem
from sepcnn.language import yaml_reader
from sepcnn.language.node import KeyPath, Node, format_path
from sepcnn.language.overrides import apply_override
from sepcnn.language.spec import Context, Spec, plain, read
from sepcnn.nn.graph import Graph, GraphError, make_graph
from sepcnn.nn.layers import LAYERS


@dataclass(frozen=True)
class Origin:
    """Where a config was read: for errors that are found later, and for writing it again."""

    name: str
    text: str
    """the file's text with the overrides spliced in"""
    node: Node
    overrides: tuple[str, ...] = ()


class Config(Spec):
    """A whole config file."""

    model: Model
    """the net"""
    data: Data = Data()
    """the images"""
    train: Train = Train()
    """the training run"""

    _origin: Origin | None = PrivateAttr(default=None)

    @property
    def origin(self) -> Origin | None:
        return self._origin

    def with_origin(self, origin: Origin) -> Config:
        """The same config, knowing where it stands."""
        located = self.model_copy()
        located._origin = origin
        return located

    def with_overrides(
        self, overrides: Sequence[str], allowed: Callable[[str], bool], refusal: tuple[str, str]
    ) -> Config:
        """A stored config with a few values changed, as when a run resumes.

        Errors: `ConfigError` at the override; ``refusal`` is message and hint for a key that is
        not allowed.
        """
        config = self
        for override in overrides:
            key = override.partition("=")[0].strip()
            if not allowed(key):
                message, hint = refusal
                raise InputError(f"--set {override}: {message} {key}", hint)
            config = config._with_override(override)
        return config

    def _with_override(self, override: str) -> Config:
        resolved = json.dumps(self.resolved(), ensure_ascii=False)  # JSON is YAML
        node = yaml_reader.parse(resolved, "resolved config")
        _, node = apply_override(resolved, node, override, Config)
        config = read(Config, node, folder=Path())
        if self._origin is None:
            return config
        old = self._origin
        text, node = apply_override(old.text, old.node, override, Config)
        return config.with_origin(Origin(old.name, text, node, (*old.overrides, override)))

    def problem(
        self, path: KeyPath, message: str, hint: str = "", *, at_key: bool = False
    ) -> ConfigError:
        """An error at a place of the config, found after reading."""
        location = None
        if self._origin:
            node, of_layer = self._origin.node, bool(path) and path[-1] in LAYERS
            location = node.locate_key(path) if of_layer or at_key else node.locate(path)
        return ConfigError([Problem(message, location, format_path(path), hint)])

    @property
    def known_classes(self) -> int | None:
        """The number of classes if it is known before any file is read."""
        names = self.data.source.known_class_names()
        return len(names) if names else None

    def graph(self, classes: int | None = None, size: tuple[int, int] | None = None) -> Graph:
        """The flat graph, for images of height and width ``size`` unless of the net's own.

        Errors: `ConfigError` at the layer, or loss, that does not fit.
        """
        *own, channels = self.model.input_shape
        height, width = size or own
        try:
            graph = make_graph(self.model.layers, (height, width, channels), classes)
        except GraphError as error:
            raise self.problem(error.path, error.message, error.hint) from None
        loss, found = self.train.loss, graph.ending.classes
        if found and (misfit := loss.misfit(found)):
            raise self.problem(("train", "loss", loss.chosen_name), *misfit)
        return graph

    def open_data(self, watch: ProgressCallback = no_progress) -> Dataset:
        """Read the images. Errors: `ConfigError` at the source that does not fit."""
        data = self.data
        request = Request(self.model.input_shape, data.validation, data.split_seed, watch)
        try:
            return self.data.source.open(request)
        except DataError as error:
            raise self.source_problem(error) from None

    def source_problem(self, error: DataError) -> ConfigError:
        """An error of the images at the place that names their source."""
        return self._located(consistency.of_source(self.data, error))

    def refuse(self, misfits: Iterable[Misfit]) -> None:
        """Errors: `ConfigError` with each at its place, if there are any."""
        errors = [self._located(misfit) for misfit in misfits]
        if errors:
            raise ConfigError([problem for error in errors for problem in error.problems])

    def _located(self, misfit: Misfit) -> ConfigError:
        return self.problem(misfit.path, misfit.message, misfit.hint, at_key=misfit.at_key)

    def resolved(self) -> dict[str, Any]:
        """Plain data with every default explicit; `from_resolved` reads it back."""
        data: dict[str, Any] = plain(self)
        data["model"]["defaults"] = {}  # every layer says all of it
        return data

    @classmethod
    def from_resolved(cls, data: dict[str, Any]) -> Config:
        return cls.model_validate(data, context=Context())


def load(path: Path | str, overrides: Sequence[str] = ()) -> Config:
    """Read a config file with ``KEY=VALUE`` overrides and check all that needs no data.

    Errors: `ConfigError` with every problem at its place.
    """
    path = Path(path)
    text, node = yaml_reader.read(path)
    return from_node(text, node, str(path), path.parent, overrides)


def from_node(
    text: str, node: Node, name: str, folder: Path, overrides: Sequence[str] = ()
) -> Config:
    """As `load`, from what was read."""
    for override in overrides:
        text, node = apply_override(text, node, override, Config)
    config = read(Config, node, folder=folder.absolute())
    config = config.with_origin(Origin(name, text, node, tuple(overrides)))
    check(config)
    return config


def check(config: Config) -> None:
    """What sections and layers must keep to together. Errors: `ConfigError`."""
    graph = config.graph(config.known_classes)
    config.refuse(consistency.disagreements(config.model, config.data, config.train, graph))


def check_data(config: Config, dataset: Dataset) -> None:
    """What sections must keep to that only the data tells. Errors: `ConfigError`."""
    config.refuse(
        [
            *consistency.class_weights(config.train, dataset.class_names),
            *consistency.best(config.train, validated=dataset.val is not None),
        ]
    )


def notes(config: Config) -> list[str]:
    """What is allowed but probably not meant."""
    found = consistency.balance_note(config.train), consistency.scaling_note(config.graph())
    return [text for text in found if text]
