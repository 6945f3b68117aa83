"""Rules between the sections of a config and its layers.

There is one function per rule. Its docstring states the rule; it yields what breaks the rule.

`sepcnn.config.loading` applies them and finds the places in the file.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from sepcnn.config.sections import Data, Model, Train
from sepcnn.data.augmentation import misplaced_mixing
from sepcnn.data.class_balance import BALANCED, class_mismatches
from sepcnn.errors import DataError
from sepcnn.language.mismatch import Mismatch
from sepcnn.language.node import format_path
from sepcnn.nn.graph import INPUT, Graph, GraphError, make_graph
from sepcnn.nn.layers.group_normalization import PerImageNormalization
from sepcnn.nn.layers.normalization import BatchNormalization
from sepcnn.nn.layers.scaling import Normalization, Rescaling
from sepcnn.nn.model import Net


def find_mismatches(model: Model, data: Data, train: Train, graph: Graph) -> Iterator[Mismatch]:
    """Apply every rule that needs no images. ``graph`` is the graph of ``model``."""
    yield from loss_mismatches(train, graph)
    yield from statistics_mismatches(graph)
    yield from source_mismatches(data, model)
    yield from class_weight_mismatches(train, data.source.known_class_names() or ())
    yield from augmentation_mismatches(data, model)
    yield from size_mismatches(data, model, graph)


def loss_mismatches(train: Train, graph: Graph) -> Iterator[Mismatch]:
    """The loss expects what the last layer computes."""
    if mismatch := graph.head.mismatch(train.loss):
        yield mismatch.below(*graph.output.path)


def statistics_mismatches(graph: Graph) -> Iterator[Mismatch]:
    """A Normalization without mean and variance takes them from the images, so it comes first."""
    for leaf in graph.leaves:
        adapts = isinstance(leaf.layer, Normalization) and leaf.layer.mean is None
        if adapts and leaf.inputs != (INPUT,):
            message = "takes its statistics from the images, so it must be the first layer"
            yield Mismatch(message, "move it up, or give mean and variance", leaf.path)


def source_mismatches(data: Data, model: Model) -> Iterator[Mismatch]:
    """The source can give images of the shape that the model takes."""
    try:
        data.source.check(model.input_shape)
    except DataError as error:
        yield at_source(data, error)


def at_source(data: Data, error: DataError) -> Mismatch:
    """An error about the images, at the place in the config that names their source."""
    return Mismatch(error.message, error.hint, ("data", "source", data.source.chosen_name))


def class_weight_mismatches(train: Train, class_names: Sequence[str]) -> Iterator[Mismatch]:
    """Every class weight is for a class that exists."""
    for mismatch in class_mismatches(train.class_weights, class_names):
        yield mismatch.below("train", "class_weights")


def best_metric_mismatches(train: Train, validated: bool) -> Iterator[Mismatch]:
    """A macro metric decides only if there are validation images: it is measured on no others."""
    if train.best.startswith("macro") and not validated:
        message = f"{train.best} is measured on validation images, but there are none"
        hint = "set data.validation above 0, or write best: accuracy"
        yield Mismatch(message, hint, ("train", "best"))


def augmentation_mismatches(data: Data, model: Model) -> Iterator[Mismatch]:
    """Augmentations support the image's channels, and those that mix images come last."""
    paths = [("data", "augment", n, rule.chosen_name) for n, rule in enumerate(data.augment)]
    for path, rule in zip(paths, data.augment, strict=True):
        try:
            rule.check(model.input_shape)
        except DataError as error:
            yield Mismatch(error.message, error.hint, path)
    for place, other in misplaced_mixing(data.augment):
        message = (
            "must come after all augmentations of single images, "
            f"but {other.chosen_name} follows it"
        )
        hint = "move it to the end of the list: a later change would make its label weights wrong"
        yield Mismatch(message, hint, paths[place], at_key=True)


def size_mismatches(data: Data, model: Model, graph: Graph) -> Iterator[Mismatch]:
    """With progressive resizing, the same weights work for images of every size."""
    resizing, shape = data.progressive_resizing, model.input_shape
    if resizing is None:
        return
    graphs: list[Graph] = []
    for height, width in resizing.sizes(shape[:2]):
        try:
            small = make_graph(model.layers, (height, width, shape[2]), graph.classes)
        except GraphError as error:
            message = f"the model does not take {height}×{width} images: "
            message += f"{format_path(error.path)}: {error.message}"
            hint = "set 'multiple' to the factor by which the model shrinks an image"
            if not graphs:
                hint = "set 'start' to a larger fraction"
            yield Mismatch(message, hint, ("data", "progressive_resizing"))
            return
        graphs.append(small)
    small = graphs[0]
    size = "{}×{}".format(*small.input_shape)
    with torch.device("meta"):
        own, other = (Net(g).state_dict() for g in (graph, small))
    for leaf in graph.leaves:
        weights = [name for name in own if name.startswith(f"{leaf.name}.")]
        if any(own[name].shape != other[name].shape for name in weights):
            message = f"needs other weights for the {size} images of progressive_resizing"
            hint = "put GlobalAveragePooling2D in the place of Flatten, or train at one size"
            yield Mismatch(message, hint, leaf.path)


# ── valid but probably a mistake ──────────────────────────────────────────────────────────────


def balance_note(train: Train) -> str:
    """A note if classes are balanced twice, else an empty text."""
    if train.class_weights and train.sampling == BALANCED:
        return "class_weights and sampling: balanced add up: what is drawn evenly is weighted, too"
    return ""


def scaling_note(graph: Graph) -> str:
    """A note if no layer scales or normalizes the pixels, else an empty text."""
    first = [leaf.layer for leaf in graph.leaves if INPUT in leaf.inputs]
    normalized = all(
        isinstance(layer, BatchNormalization | PerImageNormalization) for layer in first
    )
    scaled = any(isinstance(leaf.layer, Rescaling | Normalization) for leaf in graph.leaves)
    if normalized or scaled:
        return ""
    return (
        "the model receives pixels of 0 to 255: no Rescaling or Normalization layer scales them "
        "(Rescaling: {scale: 1/127.5, offset: -1} as first layer would)"
    )
