"""What the sections of a config and its layers must keep to together, and what they better would.

Each function tells of one thing; `sepcnn.config.config` finds the places in the file.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from sepcnn.config.sections import Data, Model, Train
from sepcnn.data.augmentation import followed
from sepcnn.data.class_balance import BALANCED, misfits
from sepcnn.errors import DataError
from sepcnn.language.node import KeyPath, format_path
from sepcnn.nn.graph import INPUT, Graph, GraphError, make_graph
from sepcnn.nn.layers.group_normalization import WithinImage
from sepcnn.nn.layers.normalization import BatchNormalization
from sepcnn.nn.layers.scaling import Normalization, Rescaling
from sepcnn.nn.model import Net


@dataclass(frozen=True, slots=True)
class Misfit:
    """What does not agree with the rest of the config, and where that stands."""

    path: KeyPath
    message: str
    hint: str = ""
    at_key: bool = False
    """the place is that of the key, not of its value"""


def disagreements(model: Model, data: Data, train: Train, graph: Graph) -> Iterator[Misfit]:
    """All that can be told before the images are opened; ``graph`` is that of ``model``."""
    yield from ending(train, graph)
    yield from statistics(graph)
    yield from source(data, model)
    yield from class_weights(train, data.source.known_class_names() or ())
    yield from augmentations(data, model)
    yield from progressive(data, model, graph)


def ending(train: Train, graph: Graph) -> Iterator[Misfit]:
    """The end of the net and the loss must mean the same."""
    if misfit := graph.ending.misfit(train.loss):
        yield Misfit(graph.output.path, *misfit)


def statistics(graph: Graph) -> Iterator[Misfit]:
    """A Normalization without numbers of its own reads the images."""
    for leaf in graph.leaves:
        adapts = isinstance(leaf.layer, Normalization) and leaf.layer.mean is None
        if adapts and leaf.inputs != (INPUT,):
            message = "takes its statistics from the images, so it must be the first layer"
            yield Misfit(leaf.path, message, "move it up, or give mean and variance")


def source(data: Data, model: Model) -> Iterator[Misfit]:
    """The source must be able to give images of the net's size."""
    try:
        data.source.check(model.input_shape)
    except DataError as error:
        yield of_source(data, error)


def of_source(data: Data, error: DataError) -> Misfit:
    """An error of the images at the place that names their source."""
    return Misfit(("data", "source", data.source.chosen_name), error.message, error.hint)


def class_weights(train: Train, class_names: Sequence[str]) -> Iterator[Misfit]:
    """Weights are of classes that there are."""
    for path, message, hint in misfits(train.class_weights, class_names):
        yield Misfit(("train", "class_weights", *path), message, hint, at_key=bool(path))


def best(train: Train, validated: bool) -> Iterator[Misfit]:
    """Macro scores are of validation images."""
    if train.best.startswith("macro") and not validated:
        message = f"{train.best} is measured on validation images, but there are none"
        hint = "give data.validation a share, or write best: accuracy"
        yield Misfit(("train", "best"), message, hint)


def augmentations(data: Data, model: Model) -> Iterator[Misfit]:
    """They must be able to change images of the net's channels, and mixing is last."""
    paths = [("data", "augment", n, rule.chosen_name) for n, rule in enumerate(data.augment)]
    for path, rule in zip(paths, data.augment, strict=True):
        try:
            rule.check(model.input_shape)
        except DataError as error:
            yield Misfit(path, error.message, error.hint)
    for place, other in followed(data.augment):
        message = f"must come after all that changes single images, but {other.chosen_name} follows"
        hint = "move it to the end of the list: its shares of labels are of the image it makes"
        yield Misfit(paths[place], message, hint, at_key=True)


def progressive(data: Data, model: Model, graph: Graph) -> Iterator[Misfit]:
    """The net must take the images of every size on the way, with the same weights."""
    rule, shape = data.progressive_resizing, model.input_shape
    if rule is None:
        return
    graphs: list[Graph] = []
    for height, width in rule.sizes(shape[:2]):
        try:
            small = make_graph(model.layers, (height, width, shape[2]), graph.classes)
        except GraphError as error:
            message = f"the net does not take {height}×{width} images: "
            message += f"{format_path(error.path)}: {error.message}"
            hint = "let 'multiple' be as many pixels as the net makes one of"
            path = ("data", "progressive_resizing")
            yield Misfit(path, message, hint if graphs else "let 'start' be a larger share")
            return
        graphs.append(small)
    small = graphs[0]
    size = "{}×{}".format(*small.input_shape)
    with torch.device("meta"):
        own, other = (Net(g).state_dict() for g in (graph, small))
    for leaf in graph.leaves:
        of_leaf = [name for name in own if name.startswith(f"{leaf.name}.")]
        if any(own[name].shape != other[name].shape for name in of_leaf):
            message = f"needs other weights for the {size} images of progressive_resizing"
            hint = "put GlobalAveragePooling2D in the place of Flatten, or train at one size"
            yield Misfit(leaf.path, message, hint)


# ── what is allowed but probably not meant ────────────────────────────────────────────────────


def balance_note(train: Train) -> str:
    """Of two ways to make classes equal; empty where there is at most one."""
    if train.class_weights and train.sampling == BALANCED:
        return "class_weights and sampling: balanced add up: what is drawn evenly is weighted, too"
    return ""


def scaling_note(graph: Graph) -> str:
    """Of pixels that no layer scales; empty where one does, as one does that normalizes them."""
    first = [leaf.layer for leaf in graph.leaves if INPUT in leaf.inputs]
    normalized = all(isinstance(layer, BatchNormalization | WithinImage) for layer in first)
    scaled = any(isinstance(leaf.layer, Rescaling | Normalization) for leaf in graph.leaves)
    if normalized or scaled:
        return ""
    return (
        "the net receives pixels of 0 to 255: no Rescaling or Normalization layer scales them "
        "(Rescaling: {scale: 1/127.5, offset: -1} as first layer would)"
    )
