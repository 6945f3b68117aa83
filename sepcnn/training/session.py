"""Prepare a run: choose the machine, open the images, make or restore the state."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from sepcnn.backends import machine
from sepcnn.backends.machine import Machine
from sepcnn.config import loading
from sepcnn.config.config import Config
from sepcnn.data.dataset import Dataset
from sepcnn.data.progress import ProgressCallback
from sepcnn.data.sources import SOURCES
from sepcnn.data.sources.base import Source
from sepcnn.data.validation import missing_classes_note, validation_note
from sepcnn.errors import DataError, SepcnnError
from sepcnn.language.mismatch import Mismatch
from sepcnn.nn.graph import Graph
from sepcnn.nn.model import Net
from sepcnn.training import loop, run_folder
from sepcnn.training.older_layout import layout_hints, other_classes_hint
from sepcnn.training.run_folder import Run
from sepcnn.training.state import State, new_state
from sepcnn.training.thread_choice import choose_threads
from sepcnn.training.warm_up import cold_statistics
from sepcnn.wording import counted, shell_command

Tell = Callable[[str], None]
"""called with each line that the user should see while a run is prepared"""

RESUMABLE = (
    "train.epochs",
    "train.early_stopping",
    "train.early_stopping.patience",
    "train.device",
    "train.checkpoint_minutes",
)
"""keys that a resumed run may change: they do not affect the steps already taken"""
IMAGE_LOCATIONS = tuple(
    f"data.source.{name}.{field}"
    for name, source in SOURCES.items()
    if issubclass(source, Source)
    for field in source.location_fields
)
"""keys that a resumed run may change as well: the same images may lie elsewhere"""
COMPILERS_NEEDED = (
    "say compile: auto, or install what it needs: g++ on a CPU, gcc and Triton on a GPU"
)


@dataclass
class Session:
    """A run that is ready to train."""

    run: Run
    dataset: Dataset
    state: State

    @property
    def config(self) -> Config:
        return self.run.config


def start(
    path: Path,
    folder: Path | None,
    overrides: tuple[str, ...],
    tell: Tell,
    progress: ProgressCallback,
) -> Session:
    """Prepare a new run of the config file at ``path``.

    Nothing is written before the config, the machine and the data have been checked. ``folder``
    is the run folder; unless given, it is the next free number in ``runs/NAME``.
    Errors: `InputError`, `StorageError`.
    """
    config = loading.load_config(path, overrides)
    if folder is not None:
        run_folder.check_empty(folder)  # before the images are read, which takes time
    graph = config.graph(config.known_classes)
    check_trainable(config, graph)
    _tell_notes(tell, loading.notes(config, graph))
    hardware = choose_machine(config)
    tell(f"{shell_command('train', path)} on {hardware.describe()}")
    _tell_notes(tell, machine.missing_speedups(hardware, config.train.fused))
    dataset = open_data(config, tell, progress)
    config = config.with_source(config.data.source.with_measurements(dataset))
    loading.check_data(config, dataset)
    tell(describe_data(config, dataset))
    steps_per_epoch = loop.steps_per_epoch(config, dataset.train)
    if cold := cold_statistics(graph, config.train, steps_per_epoch):
        _tell_notes(tell, [f"{cold.message}; {cold.hint}"])
    steps = config.train.epochs * steps_per_epoch
    if config.train.compile == "auto" and machine.compiling_pays(hardware.device, steps):
        hardware = replace(hardware, form="compiled")
        tell("compiled with torch.compile: the first step waits for it, about a minute")
    if graph.classes != len(dataset.class_names):
        graph = config.graph(len(dataset.class_names))
    state = new_state(config, graph, hardware.device)
    loop.adapt(config, dataset, state)
    folder = folder or run_folder.next_folder(path.stem)
    run = run_folder.create(folder, config, dataset.summary(), hardware)
    run.begin(state)
    return Session(run, dataset, state)


def resume(
    folder: Path, overrides: tuple[str, ...], tell: Tell, progress: ProgressCallback
) -> Session:
    """Prepare to continue the run in ``folder`` from its last checkpoint.

    Errors: `InputError`, `CheckpointError`, `DataError` if the images are not those of the run.
    """
    run_folder.check_resumable(folder)
    lock = run_folder.acquire(folder)
    stored = run_folder.read_last(folder)
    config = stored.config.with_overrides(
        overrides,
        {*RESUMABLE, *IMAGE_LOCATIONS}.__contains__,
        Mismatch(
            "a resumed run cannot change",
            f"only {', '.join(RESUMABLE)} and the location of the images; start a new run instead",
        ),
    )
    threads = torch.get_num_threads()
    hardware = choose_machine(config, stored.machine)
    tell(f"resuming {folder} at step {stored.step:,} on {hardware.describe()}")
    before, now = stored.machine["device"], str(hardware.device)
    if before != now:
        tell(f"note: trained on {before} so far, now on {now}: the last digits will differ")
    form, now = stored.machine.get("form", hardware.form), hardware.form
    if form != now:
        tell(f"note: computed {form} so far, now {now}: speed and last digits will differ")
        _tell_notes(tell, machine.missing_speedups(hardware, config.train.fused))
    with layout_hints():
        dataset = open_data(config, tell, progress)
    facts = dataset.summary()
    if facts["fingerprint"] != stored.facts["fingerprint"]:
        raise _other_data(folder, config, dataset, stored.facts)
    hardware = choose_threads(threads, hardware, stored, config, dataset)
    if threads != stored.machine["threads"] and hardware.device.type == "cpu":
        tell(_about_threads(hardware.threads, threads))
    state = stored.state(config, hardware.device)
    run = Run(folder, config, facts, hardware, lock)
    _tell_notes(tell, run.resume(state, stored.config))
    return Session(run, dataset, state)


def _about_threads(chosen: int, available: int) -> str:
    """Return a note on the threads of a resumed run, if it began with another number."""
    if chosen == available:
        return f"note: now with {counted(chosen, 'thread')}; the numbers of this run stay the same"
    return (
        f"note: still with {counted(chosen, 'thread')}: "
        f"with {available} the last digits of this run would differ"
    )


def _tell_notes(tell: Tell, notes: list[str]) -> None:
    for text in notes:
        tell(f"note: {text}")


def _other_data(folder: Path, config: Config, dataset: Dataset, facts: dict[str, Any]) -> DataError:
    """The error for images that are not those of the run, or that were decoded differently."""
    how = dataset.decoder_change(facts)
    if how is None or dataset.summary()["counts"] != facts["counts"]:
        message = f"the data is not what {folder} was trained on"
        hint = "bring back the old images, or start a new run"
        if other := other_classes_hint(config, dataset.class_names, facts["class_names"]):
            hint += f"\n   {other}"
        return DataError(message, hint)
    message = f"the pixels are not those that {folder} was trained on: {how}"
    old = facts["decoder"].lower().replace(" ", "==")
    return DataError(message, f"if the files are the same, pip install {old}; else start a new run")


def open_data(config: Config, tell: Tell, progress: ProgressCallback) -> Dataset:
    """Open the images, and tell the user what is notable about them."""
    dataset = config.open_data(progress)
    missing = validation_note(dataset, config.data.validation)
    notes = [*dataset.notes, missing, missing_classes_note(dataset, "test")]
    _tell_notes(tell, list(filter(None, notes)))
    return dataset


def describe_data(config: Config, dataset: Dataset) -> str:
    """The images in one line: ``Folder: 3 classes, 900 train, 100 val``."""
    counts = ", ".join(f"{len(split):,} {name}" for name, split in dataset.splits().items())
    classes = counted(len(dataset.class_names), "class")
    return f"{config.data.source.chosen_name}: {classes}, {counts}"


def choose_machine(config: Config, before: dict[str, Any] | None = None) -> Machine:
    """The machine that the config asks for.

    ``before`` is what a checkpoint says about the machine of a resumed run. Its precision,
    threads and form are kept, since they affect the last bits of every number.
    Errors: `ConfigError` for a device, torch.compile or CUDA graphs that are not available here.
    """
    options = config.train
    precision, fused, compiled = options.precision, options.fused, options.compile is True
    graphs = options.cuda_graphs
    if before:
        precision, form = before["precision"], before.get("form")
        fused, compiled = form == "fused", form == "compiled"
        graphs = before.get("graphs", False)
    try:
        chosen = machine.choose_machine(options.device, precision, fused and not compiled)
    except SepcnnError as error:
        raise config.problem(("train", "device"), error.message, error.hint) from None
    if before and chosen.device.type == "cpu":
        machine.use_threads(before["threads"])
        chosen = replace(chosen, threads=before["threads"])
    if compiled and machine.supports_compile(chosen.device):
        chosen = replace(chosen, form="compiled")
    elif compiled and not before:
        message = f"torch.compile does not work here on {chosen.device}"
        raise config.problem(("train", "compile"), message, COMPILERS_NEEDED)
    if graphs and machine.supports_cuda_graphs(chosen.device):
        chosen = replace(chosen, graphs=True)
    elif graphs and not before:
        message = f"there are no CUDA graphs on {chosen.device}"
        hint = "they are for CUDA GPUs: say false, or leave it out"
        raise config.problem(("train", "cuda_graphs"), message, hint)
    return chosen


def check_trainable(config: Config, graph: Graph) -> None:
    """Errors: `ConfigError` if no layer has weights that train."""
    with torch.device("meta"):
        net = Net(graph)
    if not net.trained_weights():
        hint = "add a Dense, or let a layer train that says trainable: false"
        raise config.problem(("model", "layers"), "no layer has weights to train", hint)
