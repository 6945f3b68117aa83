"""The config: its three sections, and the file that it was read from."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import PrivateAttr

from sepcnn.config.consistency import at_source
from sepcnn.config.layer_defaults import with_defaults
from sepcnn.config.sections import Data, Model, Train
from sepcnn.data.dataset import Dataset
from sepcnn.data.progress import ProgressCallback, no_progress
from sepcnn.data.sources.base import Request, Source
from sepcnn.errors import ConfigError, DataError, InputError, Problem
from sepcnn.language import yaml_reader
from sepcnn.language.data_format import CHANNELS_FIRST
from sepcnn.language.mismatch import Mismatch
from sepcnn.language.node import KeyPath, Node, format_path
from sepcnn.language.overrides import apply_override
from sepcnn.language.spec import Context, Spec, read_spec, to_plain
from sepcnn.nn.graph import Graph, GraphError, make_graph
from sepcnn.nn.layers import LAYERS
from sepcnn.nn.layers.base import Layer, Shape


@dataclass(frozen=True)
class Origin:
    """The file that a config was read from: for errors found later, and to save its text."""

    name: str
    text: str
    """text of the file, with the overrides in it"""
    node: Node
    overrides: tuple[str, ...] = ()


class Config(Spec):
    """A whole config file."""

    model: Model
    """the model: its input and its layers"""
    data: Data = Data()
    """the images: source, validation split, augmentation"""
    train: Train = Train()
    """the training run: length, optimizer, loss, device"""

    _origin: Origin | None = PrivateAttr(default=None)

    @property
    def origin(self) -> Origin | None:
        return self._origin

    def with_origin(self, origin: Origin) -> Config:
        """The same config with this origin."""
        located = self.model_copy()
        located._origin = origin
        return located

    def with_overrides(
        self, overrides: Sequence[str], allowed: Callable[[str], bool], forbidden: Mismatch
    ) -> Config:
        """A stored config with a few values changed, as when a run resumes.

        Errors: `ConfigError` for an override that is wrong, `InputError` with the text of
        ``forbidden`` for a key that is not allowed.
        """
        config = self
        for override in overrides:
            key = override.partition("=")[0].strip()
            if not allowed(key):
                message = f"--set {override}: {forbidden.message} {key}"
                raise InputError(message, forbidden.hint)
            config = config._with_override(override)
        return config.with_source(config.data.source.trained_as(self.data.source))

    def with_source(self, source: Source) -> Config:
        """The same config with another data source; its text stays as it is."""
        if source is self.data.source:
            return self
        data = self.data.model_copy(update={"source": source})
        config = self.model_copy(update={"data": data})
        config._origin = self._origin
        return config

    def _with_override(self, override: str) -> Config:
        resolved = json.dumps(self.resolved(), ensure_ascii=False)  # JSON is YAML
        node = yaml_reader.parse(resolved, "resolved config")
        _, node = apply_override(resolved, node, override, Config)
        config = read_config(node, Path())
        if self._origin is None:
            return config
        old = self._origin
        text, node = apply_override(old.text, old.node, override, Config)
        return config.with_origin(Origin(old.name, text, node, (*old.overrides, override)))

    def problem(
        self, path: KeyPath, message: str, hint: str = "", *, at_key: bool = False
    ) -> ConfigError:
        """An error at a place in the config that was found after reading."""
        location = None
        if self._origin:
            node, of_layer = self._origin.node, bool(path) and path[-1] in LAYERS
            location = node.locate_key(path) if of_layer or at_key else node.locate(path)
        return ConfigError([Problem(message, location, format_path(path), hint)])

    @property
    def known_classes(self) -> int | None:
        """The number of classes, if it is known without reading the data."""
        names = self.data.source.known_class_names()
        return len(names) if names else None

    def graph(self, classes: int | None = None, size: tuple[int, int] | None = None) -> Graph:
        """The graph of the model. ``size`` is another height and width than the model's own.

        Errors: `ConfigError` at the layer or loss that does not fit.
        """
        *own, channels = self.model.input_shape
        height, width = size or own
        try:
            graph = _graph(self.model.layers, (height, width, channels), classes)
        except GraphError as error:
            raise self.problem(error.path, error.message, error.hint) from None
        loss, found = self.train.loss, graph.head.classes
        if found and (mismatch := loss.mismatch(found)):
            raise self._located(mismatch.below("train", "loss", loss.chosen_name))
        return graph

    def open_data(
        self, progress: ProgressCallback = no_progress, split: str | None = None
    ) -> Dataset:
        """Read the images; only one split if it is named. Errors: `ConfigError` at the source."""
        data, shape = self.data, self.model.input_shape
        request = Request(shape, data.validation, data.split_seed, progress, split, data.split_rule)
        try:
            return self.data.source.open(request)
        except DataError as error:
            raise self.source_problem(error) from None

    def source_problem(self, error: DataError) -> ConfigError:
        """An error about the images, at the place that names their source."""
        return self._located(at_source(self.data, error))

    def raise_mismatches(self, mismatches: Iterable[Mismatch]) -> None:
        """Errors: `ConfigError` with every mismatch at its place, if there are any."""
        errors = [self._located(mismatch) for mismatch in mismatches]
        if errors:
            raise ConfigError([problem for error in errors for problem in error.problems])

    def _located(self, mismatch: Mismatch) -> ConfigError:
        return self.problem(mismatch.path, mismatch.message, mismatch.hint, at_key=mismatch.at_key)

    def resolved(self) -> dict[str, Any]:
        """Plain data with every default written out; `from_resolved` reads it back."""
        data: dict[str, Any] = to_plain(self)
        data["model"]["defaults"] = {}  # applied already: every layer has all its fields
        return data

    @classmethod
    def from_resolved(cls, data: dict[str, Any]) -> Config:
        return cls.model_validate(data, context=Context())


@lru_cache(maxsize=16)
def _graph(layers: tuple[Layer, ...], input_shape: Shape, classes: int | None) -> Graph:
    """Layers are frozen, so the graph is computed once, however often a run needs it."""
    return make_graph(layers, input_shape, classes)


def read_config(node: Node, folder: Path) -> Config:
    """Read a node tree. Relative paths start at ``folder``.

    Errors: `ConfigError` with every problem of the tree at its place. The rules between sections
    are checked by `sepcnn.config.loading`.
    """
    return read_spec(Config, node, context_of(node.plain(), folder))


def context_of(data: Any, folder: Path) -> Context:
    """What has to be known of a config before its values are validated."""
    model = data.get("model") if isinstance(data, Mapping) else None
    if not isinstance(model, Mapping):
        return Context(folder)
    context = Context(folder, channels_first=model.get("data_format") == CHANNELS_FIRST)
    return with_defaults(context, model.get("defaults"))
