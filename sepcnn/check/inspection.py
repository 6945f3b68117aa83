"""Inspect a config's images and open its data set: the input of all checks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from sepcnn.backends.machine import Machine
from sepcnn.check.base import CheckContext, Finding
from sepcnn.config.config import Config
from sepcnn.config.loading import check_data
from sepcnn.data.dataset import Dataset
from sepcnn.data.decoding.value_range import NOTE
from sepcnn.data.inspection import InspectedImage, ListedImage, inspect_images
from sepcnn.data.progress import ProgressCallback, no_progress
from sepcnn.data.sources.base import Request
from sepcnn.data.sources.folder import Folder
from sepcnn.errors import ConfigError, DataError, SepcnnError
from sepcnn.nn.graph import Graph


def inspect_config(
    config: Config, machine: Machine, progress: ProgressCallback = no_progress
) -> CheckContext:
    """Read the images of a config; ``machine`` is the one that would train it.

    Problems of the data are collected in the result, not raised.
    """
    problems: list[SepcnnError] = []
    config = measure_range(config)
    pictures = examine_files(config, progress)
    dataset = open_dataset(config, pictures, progress, problems)
    classes = len(dataset.class_names) if dataset else config.known_classes
    graph = graph_of(config, classes, problems)
    return CheckContext(config, machine, pictures, dataset, graph, tuple(problems))


def measure_range(config: Config) -> Config:
    """Replace ``value_range: auto`` by what is measured, so that it is measured once."""
    source = config.data.source
    if not isinstance(source, Folder) or source.value_range != "auto":
        return config
    with suppress(DataError):  # `open_dataset` reports it
        training = source.split_files(source.listing().files, request_of(config))
        rules = source.rules(training["train"], config.model.input_shape[2])
        return config.with_source(source.model_copy(update={"value_range": rules.value_range}))
    return config


def request_of(config: Config) -> Request:
    data = config.data
    return Request(
        config.model.input_shape, data.validation, data.split_seed, split_rule=data.split_rule
    )


def examine_files(config: Config, progress: ProgressCallback) -> tuple[InspectedImage, ...]:
    """Examine each image file; empty if the source is not a folder or cannot be listed."""
    source, channels = config.data.source, config.model.input_shape[2]
    if not isinstance(source, Folder):
        return ()
    try:
        listing = source.listing()
    except DataError:  # `open_dataset` reports it
        return ()
    splits = source.split_files(listing.files, request_of(config))
    entries = [
        ListedImage(f.path, name, f.class_name) for name, files in splits.items() for f in files
    ]
    return inspect_images(entries, channels, progress, source.rules())


def open_dataset(
    config: Config,
    pictures: tuple[InspectedImage, ...],
    progress: ProgressCallback,
    problems: list[SepcnnError],
) -> Dataset | None:
    """Open the data set without unreadable files, which have a check of their own."""
    if not all(picture.properties for picture in pictures):
        source = config.data.source.model_copy(update={"skip_unreadable": True})
        config = config.with_source(source)
    try:
        dataset = config.open_data(progress)
    except SepcnnError as error:
        problems.append(error)
        return None
    try:
        check_data(config, dataset)
    except ConfigError as error:
        problems.append(error)
    return dataset


def graph_of(config: Config, classes: int | None, problems: list[SepcnnError]) -> Graph:
    """Return the graph for the data's classes or, if they do not fit, for the config's own."""
    try:
        return config.graph(classes)
    except ConfigError as error:
        problems.append(error)
        return config.graph(config.known_classes)


def data_problems(context: CheckContext) -> Iterator[Finding]:
    """Report problems that prevent training, and the notes of the data source.

    Unreadable files and pixel values are left to `sepcnn.check.images`.
    """
    for error in context.problems:
        if isinstance(error, ConfigError):
            for problem in error.problems:
                place = f"{problem.location}: " if problem.location else ""
                message = f"{place}{problem.path}: {problem.message}"
                yield Finding("data", "error", message, problem.hint)
        else:
            yield Finding("data", "error", error.message, error.hint)
    unreadable = any(not picture.properties for picture in context.pictures)
    for text in context.dataset.notes if context.dataset else ():
        repeated = unreadable and "cannot be read" in text
        if not repeated and not (context.pictures and text.startswith(NOTE)):
            yield Finding("data", "note", text)
