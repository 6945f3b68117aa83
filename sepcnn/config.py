"""The config: its sections together, and how a file with its overrides is read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import (
    PrivateAttr,
)

from sepcnn import source
from sepcnn.balance import BALANCED, misfits
from sepcnn.data.augmentation import followed
from sepcnn.data.base import Dataset, Request, Watch, unwatched
from sepcnn.errors import ConfigError, DataError, InputError, Problem
from sepcnn.graph import INPUT, Graph, GraphError, make_graph
from sepcnn.layers import LAYERS
from sepcnn.layers.group_normalization import WithinImage
from sepcnn.layers.normalization import BatchNormalization
from sepcnn.layers.scaling import Normalization, Rescaling
from sepcnn.model import Net
from sepcnn.node import KeyPath, Node, format_path
from sepcnn.override import apply_override
from sepcnn.sections import Data, Model, Train
from sepcnn.spec import Context, Spec, plain, read


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
        node = source.parse(resolved, "resolved config")
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

    def open_data(self, watch: Watch = unwatched) -> Dataset:
        """Read the images. Errors: `ConfigError` at the source that does not fit."""
        data = self.data
        request = Request(self.model.input_shape, data.validation, data.split_seed, watch)
        try:
            return self.data.source.open(request)
        except DataError as error:
            raise self.source_problem(error) from None

    def source_problem(self, error: DataError) -> ConfigError:
        """An error of the images at the place that names their source."""
        path = ("data", "source", self.data.source.chosen_name)
        return self.problem(path, error.message, error.hint)

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
    text, node = source.read(path)
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
    errors = [
        *_ending_errors(config, graph),
        *_statistics_errors(config, graph),
        *_source_errors(config),
        *_class_errors(config, config.data.source.known_class_names() or ()),
        *_augment_errors(config),
        *_progressive_errors(config),
    ]
    if errors:
        raise ConfigError([problem for error in errors for problem in error.problems])


def _ending_errors(config: Config, graph: Graph) -> Iterator[ConfigError]:
    """The end of the net and the loss must mean the same."""
    if misfit := graph.ending.misfit(config.train.loss):
        yield config.problem(graph.output.path, *misfit)


def _statistics_errors(config: Config, graph: Graph) -> Iterator[ConfigError]:
    """A Normalization without numbers of its own reads the images."""
    for leaf in graph.leaves:
        adapts = isinstance(leaf.layer, Normalization) and leaf.layer.mean is None
        if adapts and leaf.inputs != (INPUT,):
            message = "takes its statistics from the images, so it must be the first layer"
            yield config.problem(leaf.path, message, "move it up, or give mean and variance")


def _source_errors(config: Config) -> Iterator[ConfigError]:
    """The source must be able to give images of the net's size."""
    try:
        config.data.source.check(config.model.input_shape)
    except DataError as error:
        yield config.source_problem(error)


def check_data(config: Config, dataset: Dataset) -> None:
    """What sections must keep to that only the data tells. Errors: `ConfigError`."""
    errors = [*_class_errors(config, dataset.class_names)]
    best = config.train.best
    if best.startswith("macro") and dataset.val is None:
        message = f"{best} is measured on validation images, but there are none"
        hint = "give data.validation a share, or write best: accuracy"
        errors.append(config.problem(("train", "best"), message, hint))
    if errors:
        raise ConfigError([problem for error in errors for problem in error.problems])


def _class_errors(config: Config, class_names: Sequence[str]) -> Iterator[ConfigError]:
    """Weights are of classes that there are."""
    for path, message, hint in misfits(config.train.class_weights, class_names):
        whole = ("train", "class_weights", *path)
        yield config.problem(whole, message, hint, at_key=bool(path))


def _augment_errors(config: Config) -> Iterator[ConfigError]:
    """Augmentations must be able to change images of the net's channels, and mixing is last."""
    rules = config.data.augment
    for place, rule in enumerate(rules):
        try:
            rule.check(config.model.input_shape)
        except DataError as error:
            path = ("data", "augment", place, rule.chosen_name)
            yield config.problem(path, error.message, error.hint)
    for place, other in followed(rules):
        message = f"must come after all that changes single images, but {other.chosen_name} follows"
        hint = "move it to the end of the list: its shares of labels are of the image it makes"
        path = ("data", "augment", place, rules[place].chosen_name)
        yield config.problem(path, message, hint, at_key=True)


def _progressive_errors(config: Config) -> Iterator[ConfigError]:
    """The net must take the images of every size on the way, with the same weights."""
    rule, shape = config.data.progressive_resizing, config.model.input_shape
    if rule is None:
        return
    graphs: list[Graph] = []
    for height, width in rule.sizes(shape[:2]):
        try:
            small = make_graph(config.model.layers, (height, width, shape[2]), config.known_classes)
        except GraphError as error:
            message = f"the net does not take {height}×{width} images: "
            message += f"{format_path(error.path)}: {error.message}"
            hint = "let 'multiple' be as many pixels as the net makes one of"
            yield config.problem(
                ("data", "progressive_resizing"),
                message,
                hint if graphs else "let 'start' be a larger share",
            )
            return
        graphs.append(small)
    graph, small = config.graph(config.known_classes), graphs[0]
    size = "{}×{}".format(*small.input_shape)
    with torch.device("meta"):
        own, other = (Net(g).state_dict() for g in (graph, small))
    for leaf in graph.leaves:
        of_leaf = [name for name in own if name.startswith(f"{leaf.name}.")]
        if any(own[name].shape != other[name].shape for name in of_leaf):
            message = f"needs other weights for the {size} images of progressive_resizing"
            hint = "put GlobalAveragePooling2D in the place of Flatten, or train at one size"
            yield config.problem(leaf.path, message, hint)


def notes(config: Config) -> list[str]:
    """What is allowed but probably not meant."""
    return [text for text in (balance_note(config), scaling_note(config)) if text]


def balance_note(config: Config) -> str:
    """Of two ways to make classes equal; empty where there is at most one."""
    if config.train.class_weights and config.train.sampling == BALANCED:
        return "class_weights and sampling: balanced add up: what is drawn evenly is weighted, too"
    return ""


def scaling_note(config: Config) -> str:
    """Of pixels that no layer scales; empty where one does, as one does that normalizes them."""
    leaves = config.graph().leaves
    first = [leaf.layer for leaf in leaves if INPUT in leaf.inputs]
    normalized = all(isinstance(layer, BatchNormalization | WithinImage) for layer in first)
    if normalized or any(isinstance(leaf.layer, Rescaling | Normalization) for leaf in leaves):
        return ""
    return (
        "the net receives pixels of 0 to 255: no Rescaling or Normalization layer scales them "
        "(Rescaling: {scale: 1/127.5, offset: -1} as first layer would)"
    )
