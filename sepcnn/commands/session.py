"""A run of `sepcnn train`: from its config or its folder to the last line that is shown."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from sepcnn import checkpoint, config, console, display, machine, run, train
from sepcnn.balance import are_unequal
from sepcnn.checkpoint import State
from sepcnn.commands.stop import Stop
from sepcnn.config import Config
from sepcnn.data.base import Dataset
from sepcnn.data.validation import validation_note
from sepcnn.errors import DataError, DivergedError, SepcnnError, counted, typed
from sepcnn.machine import Machine
from sepcnn.model import Net
from sepcnn.record import EpochRecord
from sepcnn.run import Run
from sepcnn.world import World

INTERRUPTED = 130
RESUMABLE = ("train.epochs", "train.device", "train.checkpoint_minutes")
"""what a resumed run may change: nothing that decides about the steps already taken"""
NEEDED = "say compile: auto, or install what it needs: g++ on a CPU, gcc and Triton on a GPU"
PLACES = (
    "data.source.Folder.path",
    "data.source.Folder.labels",
    "data.source.Torchvision.root",
    "data.source.Arrays.path",
    "data.source.Arrays.train",
    "data.source.Arrays.val",
    "data.source.Arrays.test",
)
"""and these: the images must be the same wherever they lie"""


def train_run(
    config_path: Path | None,
    resume: Path | None,
    run_dir: Path | None,
    overrides: tuple[str, ...],
) -> int:
    """All of `sepcnn train` once its arguments are read; the exit code."""
    machine.keep_memory()
    stop = Stop()
    with stop:
        if resume is not None:
            session = resumed(resume, overrides)
        else:
            assert config_path is not None
            session = started(config_path, run_dir, overrides)
        try:
            return follow(session, stop)
        finally:
            session.run.lock.release()


@dataclass
class Session:
    """A run about to be trained."""

    run: Run
    dataset: Dataset
    state: State

    @property
    def config(self) -> Config:
        return self.run.config


def started(path: Path, run_dir: Path | None, overrides: tuple[str, ...]) -> Session:
    """A new run. Nothing is written before the config, the machine and the data are fine."""
    settings = config.load(path, overrides)
    if run_dir is not None:
        run.check_empty(run_dir)  # before the images are read
    check_trainable(settings)
    console.notes(config.notes(settings))
    hardware = choose_machine(settings)
    console.note(f"{typed('train', path)} on {hardware.describe()}")
    console.notes(machine.lacking(hardware, settings.train.fused))
    dataset = open_data(settings)
    config.check_data(settings, dataset)
    console.note(describe(settings, dataset))
    steps = settings.train.epochs * train.steps_per_epoch(settings, dataset.train)
    if settings.train.compile == "auto" and machine.worth_compiling(hardware.device, steps):
        hardware = replace(hardware, form="compiled")
        console.note("compiled with torch.compile: the first step waits for it, about a minute")
    state = new_state(settings, dataset, hardware)
    folder = run_dir or run.next_folder(path.stem)
    opened = run.create(folder, settings, dataset.facts(), hardware)
    opened.begin(state)
    return Session(opened, dataset, state)


def resumed(folder: Path, overrides: tuple[str, ...]) -> Session:
    """A run that goes on from its last checkpoint."""
    path = run.find_last(folder)
    lock = run.acquire(folder)
    stored = checkpoint.read(path)
    settings = stored.config.with_overrides(
        overrides,
        {*RESUMABLE, *PLACES}.__contains__,
        (
            "a resumed run cannot change",
            f"only {', '.join(RESUMABLE)} and where the images lie; start a new run instead",
        ),
    )
    hardware = choose_machine(settings, stored.machine)
    console.note(f"resuming {folder} at step {stored.step:,} on {hardware.describe()}")
    before, now = stored.machine["device"], str(hardware.device)
    if before != now:
        console.note(f"note: trained on {before} so far, now on {now}: the last digits will differ")
    form, now = stored.machine.get("form", hardware.form), hardware.form
    if form != now:
        console.notes([f"computed {form} so far, now {now}: speed and last digits will differ"])
        console.notes(machine.lacking(hardware, settings.train.fused))
    dataset = open_data(settings)
    facts = dataset.facts()
    if facts["fingerprint"] != stored.facts["fingerprint"]:
        raise other_data(folder, dataset, stored.facts)
    state = stored.state(settings, hardware.device)
    opened = Run(folder, settings, facts, hardware, lock)
    opened.go_on(state)
    return Session(opened, dataset, state)


def other_data(folder: Path, dataset: Dataset, facts: dict[str, Any]) -> DataError:
    """The refusal of images that are not those of the run, or not decoded as they were."""
    how = dataset.decoded_otherwise(facts)
    if how is None or dataset.facts()["counts"] != facts["counts"]:
        message = f"the data is not what {folder} was trained on"
        return DataError(message, "bring back the old images, or start a new run")
    message = f"the pixels are not those that {folder} was trained on: {how}"
    old = facts["decoder"].lower().replace(" ", "==")
    return DataError(message, f"if the files are the same, pip install {old}; else start a new run")


def open_data(settings: Config) -> Dataset:
    """The images, with what there is to say of them."""
    with console.Reading() as watch:
        dataset = settings.open_data(watch)
    lacking = validation_note(dataset, settings.data.validation)
    console.notes([*dataset.notes, lacking] if lacking else dataset.notes)
    return dataset


def describe(settings: Config, dataset: Dataset) -> str:
    """The images in one line."""
    counts = ", ".join(f"{len(split):,} {name}" for name, split in dataset.splits().items())
    classes = counted(len(dataset.class_names), "class")
    return f"{settings.data.source.chosen_name}: {classes}, {counts}"


def choose_machine(settings: Config, before: dict[str, Any] | None = None) -> Machine:
    """The machine's settings; those of a run that goes on are kept, for they decide about bits."""
    options = settings.train
    precision, fused, compiled = options.precision, options.fused, options.compile is True
    graphs = options.cuda_graphs
    if before:
        precision, form = before["precision"], before.get("form")
        fused, compiled = form == "fused", form == "compiled"
        graphs = before.get("graphs", False)
        machine.use_threads(before["threads"])
    try:
        chosen = machine.choose(options.device, precision, fused and not compiled)
    except SepcnnError as error:
        raise settings.problem(("train", "device"), error.message, error.hint) from None
    if compiled and machine.compiles(chosen.device):
        chosen = replace(chosen, form="compiled")
    elif compiled and not before:
        message = f"torch.compile does not work here on {chosen.device}"
        raise settings.problem(("train", "compile"), message, NEEDED)
    if graphs and machine.has_graphs(chosen.device):
        chosen = replace(chosen, graphs=True)
    elif graphs and not before:
        message = f"there are no CUDA graphs on {chosen.device}"
        hint = "they are for CUDA GPUs: say false, or leave it out"
        raise settings.problem(("train", "cuda_graphs"), message, hint)
    return chosen


def check_trainable(settings: Config) -> None:
    """Errors: `ConfigError` for a net that could only be evaluated."""
    with torch.device("meta"):
        net = Net(settings.graph(settings.known_classes))
    if not net.trained_weights():
        hint = "add a Dense, or let a layer train that says trainable: false"
        raise settings.problem(("model", "layers"), "no layer has weights to train", hint)


def new_state(settings: Config, dataset: Dataset, hardware: Machine) -> State:
    state = checkpoint.new_state(settings, len(dataset.class_names), hardware.device)
    train.adapt(settings, dataset, state)
    return state


def follow(session: Session, stop: Stop) -> int:
    """Train, show, write and save until the end or until someone wants to stop."""
    opened, state, world = session.run, session.state, World()
    options = session.config.train
    steps = train.steps_per_epoch(session.config, session.dataset.train)
    if len(state.epochs) >= options.epochs:
        console.note(f"finished already; train longer with --set train.epochs={2 * options.epochs}")
    macro = macro_shown(session)
    shown = display.Display(options.epochs, steps, options.batch_size, state.step, macro)
    stop.listening = True
    try:
        with shown:
            of_run = (session.config, session.dataset, opened.machine, state, world)
            for record in train.train(*of_run, shown.note):
                if isinstance(record, EpochRecord):
                    best = state.best is record
                    opened.record_epoch(record)
                    opened.save(state, best=best)
                    shown.epoch(record, best)
                elif not stop.wanted:  # a terminal that was closed cannot be written to
                    if shown.wants_scores():
                        scores = train.running_scores(state, world)
                        shown.step(record.epoch, record.step, scores)
                    if opened.wants_step_record():
                        opened.record_step(record, train.running_scores(state, world))
                    if opened.wants_checkpoint():
                        opened.save(state)
                if world.any(stop.wanted):
                    opened.save(state)
                    shown.close()
                    console.note(f"stopped at step {state.step:,}; go on with")
                    console.say(typed("train", "--resume", opened.folder))
                    return INTERRUPTED
    except DivergedError as error:
        plan = train.Plan(session.config, opened.machine, steps)
        rate = plan.learning_rate(max(0, error.step - 1))
        last = opened.folder / checkpoint.LAST
        kept = checkpoint.read(last).step
        message = f"{error.message} (learning rate {rate:.3g})"
        hint = f"{last} is good up to step {kept}; try a lower learning rate"
        raise DivergedError(message, error.step, hint) from None
    finally:
        stop.listening = False
    finish(opened, state, macro)
    return 0


def macro_shown(session: Session) -> str | None:
    """The macro metric that people should see: the one that decides, or where accuracy misleads."""
    best, data = session.config.train.best, session.dataset
    if best.startswith("macro"):
        return best
    return "macro_recall" if are_unequal(data.train.labels, len(data.class_names)) else None


def finish(opened: Run, state: State, macro: str | None) -> None:
    """The closing lines: result, run folder, and what to type next."""
    best = state.best
    if best is None:
        return
    kind = "validation" if best.val else "training"
    scores, decided = best.monitored, state.best_by
    names = [name for name in ("accuracy", macro) if name and name != decided]
    # Epochs of an older sepcnn, and of training images, have no macro metrics.
    beside = [console.named(scores, name) for name in names if getattr(scores, name) is not None]
    text = f"best {kind} {console.named(scores, decided)}"
    text += f" ({', '.join(beside)})" if beside else ""
    console.say(f"{text} in epoch {best.epoch}")
    console.say(f"run folder {opened.folder}")
    console.say(f"next: {typed('eval', opened.folder)}")
