"""The config and its sections, and how a file with its overrides is read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    Field,
    PlainValidator,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
)

from sepcnn import source
from sepcnn.data import SOURCES
from sepcnn.data.augmentation import Augmentation
from sepcnn.data.base import Request, Source
from sepcnn.data.shapes import Shapes
from sepcnn.errors import ConfigError, Problem, SepcnnError
from sepcnn.graph import INPUT, Graph, GraphError, make_graph
from sepcnn.layers import LAYERS
from sepcnn.layers.base import LayerList
from sepcnn.layers.scaling import Normalization, Rescaling
from sepcnn.losses import CategoricalCrossentropy, Loss
from sepcnn.machine import Precision
from sepcnn.model import without_softmax
from sepcnn.node import KeyPath, Node, format_path
from sepcnn.optimizers import Optimizer, RMSprop
from sepcnn.override import apply_override
from sepcnn.schedules import Constant, Schedule
from sepcnn.spec import Context, Spec, explained, plain, read, refuse, show, unknown
from sepcnn.values import ImageShape, NonNegativeInt, NonNegativeNumber, PositiveInt, PositiveNumber

assert SOURCES  # filled by the import: Source.table is what `Data.source` reads


def _defaults(value: Any, info: ValidationInfo) -> dict[str, dict[str, Any]]:
    """Check ``model.defaults`` at their own place, and hand them to the layers read after."""
    if not isinstance(value, dict):
        raise refuse(f"expected a mapping of layer names, found {show(value)}")
    for name, fields in value.items():
        if name not in LAYERS:
            raise unknown(f"unknown layer '{name}'", name, LAYERS)
        if not isinstance(fields, dict):
            raise refuse(f"expected the fields of {name}, found {show(fields)}")
        try:
            LAYERS[name].model_validate(fields, context=info.context)
        except ValidationError as error:
            # What the defaults leave out is each layer's own to say.
            ours = explained(LAYERS[name], (name,), error, only=fields)
            if ours.error_count():
                raise ours from None
    Context.of(info).defaults.update(value)
    return value


Defaults = Annotated[
    dict[str, dict[str, Any]], PlainValidator(_defaults), WithJsonSchema({"type": "object"})
]


class Model(Spec):
    """The net."""

    input_shape: ImageShape
    """height, width and channels of the images"""
    defaults: Defaults = {}
    """fields for every layer of a name that does not say otherwise: {Conv2D: {padding: same}}"""
    # After the defaults: fields are read in this order.
    layers: LayerList
    """the layers from input to output"""


class Data(Spec):
    """The images."""

    source: Source = Shapes()
    """where they come from"""
    validation: Annotated[NonNegativeNumber, Field(lt=1)] = 0.1
    """share of the training images held out where the set brings no validation split"""
    split_seed: NonNegativeInt = 0
    """decides which images are held out, whatever train.seed is"""
    augment: Annotated[tuple[Augmentation, ...], Field(strict=False)] = ()
    """random changes of the training images, in this order"""


class EarlyStopping(Spec):
    """Ends the run when it no longer improves."""

    patience: PositiveInt = 5
    """epochs without a new best validation result after which the run ends"""


DEVICE = r"auto|cpu|mps|cuda(:\d+)?"


class Train(Spec):
    """The training run."""

    epochs: PositiveInt = 10
    """passes over the training images"""
    batch_size: PositiveInt = 64
    """images a step, over all processes; the last batch of an epoch may be smaller"""
    optimizer: Optimizer = RMSprop()
    """the rule that changes the weights"""
    schedule: Schedule = Constant()
    """how the learning rate changes over the run"""
    loss: Loss = CategoricalCrossentropy()
    """what is made small"""
    early_stopping: EarlyStopping | None = None
    """end the run when validation no longer improves"""
    precision: Precision = "auto"
    """auto: bfloat16 where the processor or GPU computes in it natively, else float32"""
    device: Annotated[str, Field(pattern=f"^({DEVICE})$")] = "auto"
    """auto, cpu, cuda, cuda:1, mps"""
    seed: NonNegativeInt = 0
    """decides first weights, order, augmentation and dropout"""
    checkpoint_minutes: PositiveNumber = 3.0
    """time between checkpoints within an epoch"""


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

    def with_override(self, override: str) -> Config:
        """The same config with one ``KEY=VALUE`` applied after reading, as when a run resumes.

        Errors: `ConfigError`, located at the override.
        """
        resolved = json.dumps(self.resolved())  # JSON is YAML, so the one reader serves here, too
        node = source.parse(resolved, "resolved config")
        _, node = apply_override(resolved, node, override, Config)
        config = read(Config, node, folder=Path())
        if self._origin is None:
            return config
        old = self._origin
        text, node = apply_override(old.text, old.node, override, Config)
        return config.with_origin(Origin(old.name, text, node, (*old.overrides, override)))

    def problem(self, path: KeyPath, message: str, hint: str = "") -> ConfigError:
        """An error at a place of the config, found after reading."""
        location = self._origin.node.locate(path) if self._origin else None
        return ConfigError([Problem(message, location, format_path(path), hint)])

    def graph(self, classes: int | None = None) -> Graph:
        """The flat graph. Errors: `ConfigError` at the layer that does not fit."""
        try:
            return make_graph(self.model.layers, self.model.input_shape, classes)
        except GraphError as error:
            raise self.problem(error.path, error.message, error.hint) from None

    def request(self) -> Request:
        return Request(self.model.input_shape, self.data.validation, self.data.split_seed)

    def resolved(self) -> dict[str, Any]:
        """Plain data with every default explicit; `from_resolved` reads it back."""
        data: dict[str, Any] = plain(self)
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
    names = config.data.source.known_class_names()
    graph = config.graph(len(names) if names else None)
    softmax, _ = without_softmax(graph.output.layer)
    if softmax == config.train.loss.from_logits:
        loss = config.train.loss.chosen_name
        if softmax:
            message = "the last layer ends in a softmax, but the loss says from_logits: true"
            hint = "leave out one of the two"
        else:
            message = f"the last layer has no softmax, but {loss} expects probabilities"
            hint = f"add activation: softmax, or write loss: {{{loss}: {{from_logits: true}}}}"
        raise config.problem(graph.output.path, message, hint)
    for leaf in graph.leaves:
        adapts = isinstance(leaf.layer, Normalization) and leaf.layer.mean is None
        if adapts and leaf.inputs != (INPUT,):
            message = "takes its statistics from the images, so it must be the first layer"
            raise config.problem(leaf.path, message, "move it up, or give mean and variance")


def notes(config: Config) -> list[str]:
    """What is allowed but probably not meant."""
    graph = config.graph()
    if any(isinstance(leaf.layer, Rescaling | Normalization) for leaf in graph.leaves):
        return []
    return [
        "the net receives pixels of 0 to 255: no Rescaling or Normalization layer scales them "
        "(Rescaling: {scale: 1/127.5, offset: -1} as first layer would)"
    ]


def located(config: Config, path: KeyPath, error: SepcnnError) -> ConfigError:
    """An error of the data or the machine at the place of the config that asked for it."""
    return config.problem(path, error.message, error.hint)
