"""A config's images, looked at and opened: what the checks work on."""

from __future__ import annotations

from collections.abc import Iterator

from sepcnn.backends.machine import Machine
from sepcnn.check.base import Finding, Subject
from sepcnn.config.config import Config
from sepcnn.config.loading import check_data
from sepcnn.data.dataset import Dataset
from sepcnn.data.files.inspection import ListedImage, Picture, examine
from sepcnn.data.files.listing import list_images
from sepcnn.data.progress import ProgressCallback, no_progress
from sepcnn.data.sources.base import Request
from sepcnn.data.sources.folder import Folder, by_split
from sepcnn.errors import ConfigError, DataError, SepcnnError
from sepcnn.nn.graph import Graph


def look(config: Config, hardware: Machine, watch: ProgressCallback = no_progress) -> Subject:
    """All that can be had of a config; ``hardware`` is what it would be trained on."""
    problems: list[SepcnnError] = []
    pictures = pictures_of(config, watch)
    dataset = opened(config, pictures, watch, problems)
    classes = len(dataset.class_names) if dataset else config.known_classes
    return Subject(
        config, hardware, pictures, dataset, graph_of(config, classes, problems), tuple(problems)
    )


def pictures_of(config: Config, watch: ProgressCallback) -> tuple[Picture, ...]:
    """The image files, each looked at; none where the images are no files, or cannot be listed."""
    data, source = config.data, config.data.source
    if not isinstance(source, Folder):
        return ()
    try:
        listing = list_images(source.path, source.labels)
    except DataError:  # opening will tell
        return ()
    request = Request(config.model.input_shape, data.validation, data.split_seed)
    splits = by_split(listing.files, request)
    entries = [
        ListedImage(f.path, name, f.class_name) for name, files in splits.items() for f in files
    ]
    return examine(entries, config.model.input_shape[2], watch)


def opened(
    config: Config,
    pictures: tuple[Picture, ...],
    watch: ProgressCallback,
    problems: list[SepcnnError],
) -> Dataset | None:
    """The data set, without files that cannot be read: those are told one by one."""
    if not all(picture.look for picture in pictures):
        source = config.data.source.model_copy(update={"skip_unreadable": True})
        data = config.data.model_copy(update={"source": source})
        located = config.origin
        config = config.model_copy(update={"data": data})
        config = config.with_origin(located) if located else config
    try:
        dataset = config.open_data(watch)
    except SepcnnError as error:
        problems.append(error)
        return None
    try:
        check_data(config, dataset)
    except ConfigError as error:
        problems.append(error)
    return dataset


def graph_of(config: Config, classes: int | None, problems: list[SepcnnError]) -> Graph:
    """The net for the classes of the data, or where that does not fit, as it stands."""
    try:
        return config.graph(classes)
    except ConfigError as error:
        problems.append(error)
        return config.graph(config.known_classes)


def problems(subject: Subject) -> Iterator[Finding]:
    """What would end training before it begins, and what the source notes; files that cannot be
    read are told elsewhere.
    """
    for error in subject.problems:
        if isinstance(error, ConfigError):
            for problem in error.problems:
                place = f"{problem.location}: " if problem.location else ""
                message = f"{place}{problem.path}: {problem.message}"
                yield Finding("data", "error", message, problem.hint)
        else:
            yield Finding("data", "error", error.message, error.hint)
    broken = any(not picture.look for picture in subject.pictures)
    for text in subject.dataset.notes if subject.dataset else ():
        if not (broken and "cannot be read" in text):
            yield Finding("data", "note", text)
