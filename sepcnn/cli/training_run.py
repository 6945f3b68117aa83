"""``sepcnn train``: train a run, show its progress and save its checkpoints."""

from __future__ import annotations

from pathlib import Path

from sepcnn.backends import machine
from sepcnn.backends.background_load import BackgroundLoad
from sepcnn.backends.short_waits import ShortWaits
from sepcnn.cli import console, progress
from sepcnn.cli.signals import INTERRUPTED, StopRequest
from sepcnn.data.class_balance import is_imbalanced
from sepcnn.data.dataset import Dataset
from sepcnn.errors import DivergedError
from sepcnn.training import checkpoint, loop, session
from sepcnn.training.moving_statistics import compare_statistics
from sepcnn.training.records import EpochRecord
from sepcnn.training.run_folder import Run
from sepcnn.training.session import Session
from sepcnn.training.state import State
from sepcnn.training.step import TrainingStep
from sepcnn.training.warm_up import ChanceLevel
from sepcnn.wording import counted, shell_command
from sepcnn.world import World

LARGE_GAP = 0.1
"""difference of accuracies above which the moving statistics explain validation at chance"""


def train_run(
    config_path: Path | None,
    resume: Path | None,
    run_dir: Path | None,
    overrides: tuple[str, ...],
) -> int:
    """Start or resume a run and train it to its end. Return the exit code."""
    machine.keep_freed_memory()
    with StopRequest() as stop, BackgroundLoad() as load:
        with console.ReadingProgress() as reading:
            if resume is not None:
                prepared = session.resume(resume, overrides, reading.note, reading)
            else:
                assert config_path is not None
                prepared = session.start(config_path, run_dir, overrides, reading.note, reading)
        threads = prepared.run.machine.threads
        load.measure()
        console.notes(load_notes(load, threads))
        try:
            with ShortWaits(threads):
                return train(prepared, stop)
        finally:
            prepared.run.lock.release()


def load_notes(load: BackgroundLoad, threads: int) -> list[str]:
    """Return a note if other programs use processors that the threads of the run need."""
    if not load.delays(threads):
        return []
    count = machine.processor_count()
    text = f"other programs use {load.processors:.1f} of {counted(count, 'processor')}"
    left = max(1, round(count - (load.processors or 0.0)))
    if left < threads:
        text += f": OMP_NUM_THREADS={left} leaves these to them"
    return [text]


def train(session: Session, stop: StopRequest) -> int:
    """Train to the end, or until the user stops the run. Return the exit code."""
    run, state, world = session.run, session.state, World()
    options = session.config.train
    steps = loop.steps_per_epoch(session.config, session.dataset.train)
    if len(state.epochs) >= options.epochs:
        console.note(f"finished already; train longer with --set train.epochs={2 * options.epochs}")
    macro = macro_metric(session)
    chance = chance_level(session.dataset)
    display = progress.Display(options.epochs, steps, options.batch_size, state.step, macro)
    stop.deferred = True
    try:
        with display:
            records = loop.train(
                session.config, session.dataset, run.machine, state, world, display.note
            )
            for record in records:
                if isinstance(record, EpochRecord):
                    best = state.best is record
                    run.record_epoch(record)
                    run.save(state, best=best)
                    display.epoch(record, best)
                    if chance and chance.begins_to_be_stuck(state.epochs, options.epochs):
                        display.note(reason_for_chance(session))
                elif not stop.requested:  # after SIGHUP the terminal is closed
                    if display.is_due():
                        scores = loop.running_scores(state, world)
                        display.step(record.epoch, record.step, scores)
                    if run.wants_step_record():
                        run.record_step(record, loop.running_scores(state, world))
                    if run.wants_checkpoint():
                        run.save(state)
                if world.any(stop.requested):
                    run.save(state)
                    display.close()
                    console.note(f"stopped at step {state.step:,}; continue with")
                    console.line(shell_command("train", "--resume", run.folder))
                    return INTERRUPTED
    except DivergedError as error:
        raise with_advice(error, session, steps) from None
    finally:
        stop.deferred = False
    if len(state.epochs) < options.epochs:
        console.note(early_stop(session))
    print_result(run, state, macro)
    return 0


def with_advice(error: DivergedError, session: Session, steps_per_epoch: int) -> DivergedError:
    """Return the error with the learning rate of its step and the last good checkpoint."""
    run = session.run
    step = TrainingStep(session.config, run.machine, steps_per_epoch)
    rate = step.learning_rate(max(0, error.step - 1))
    last = run.folder / checkpoint.LAST
    kept = checkpoint.read(last).step
    message = f"{error.message} (learning rate {rate:.3g})"
    hint = f"{last} is good up to step {kept}; try a lower learning rate"
    return DivergedError(message, error.step, hint)


def macro_metric(session: Session) -> str | None:
    """Return the macro metric to show: train.best, or recall if the classes are imbalanced."""
    best, data = session.config.train.best, session.dataset
    if best.startswith("macro"):
        return best
    return "macro_recall" if is_imbalanced(data.train.labels, len(data.class_names)) else None


def early_stop(session: Session) -> str:
    """Return why the run ended before its last epoch, and how it continues."""
    run, state, stopping = session.run, session.state, session.config.train.early_stopping
    best = state.best
    assert best is not None
    assert stopping is not None
    since = len(state.epochs) - best.epoch
    kind = "validation" if best.val else "training"
    metric = console.SCORE_NAMES.get(state.best_by, state.best_by)
    patience = f"train.early_stopping.patience={since + stopping.patience}"
    command = shell_command("train", "--resume", run.folder, "--set", patience)
    return (
        f"stopped early after epoch {len(state.epochs)}: the {kind} {metric} has not improved for "
        f"{counted(since, 'epoch')} (train.early_stopping.patience: {stopping.patience})\n"
        f"   to continue: {command}, or --set train.early_stopping=null"
    )


def chance_level(dataset: Dataset) -> ChanceLevel | None:
    """Return the accuracy of a constant prediction; None without validation images."""
    return ChanceLevel.of(dataset.train.labels, dataset.val.labels) if dataset.val else None


def reason_for_chance(session: Session) -> str:
    """Measure why validation stays at chance, and return the result as a note."""
    net, train = session.state.model, session.dataset.train
    compared = compare_statistics(net, train, session.config)
    moving, batch = console.percent(compared.moving), console.percent(compared.batch)
    images = counted(compared.images, "training image")
    if compared.batch - compared.moving < LARGE_GAP:
        return (
            f"validation stays at chance, but evaluation of {images} gives an accuracy of "
            f"{moving}: compare the validation images and their labels with the training images"
        )
    last = session.run.folder / checkpoint.LAST
    command = shell_command("eval", last, "--recalibrate")
    return (
        f"validation stays at chance: the accuracy on the same {images} is {batch} with the "
        f"statistics of each batch, but {moving} with the moving statistics of "
        "BatchNormalization, which evaluation uses; more steps or a lower momentum warm them up, "
        f"and {command} re-estimates them"
    )


def print_result(run: Run, state: State, macro: str | None) -> None:
    """Print the best result, the run folder, and the next command."""
    best = state.best
    if best is None:
        return
    kind = "validation" if best.val else "training"
    scores, decided = best.monitored, state.best_by
    names = [name for name in ("accuracy", macro) if name and name != decided]
    # Training images, and epochs of an older sepcnn, have no macro metrics.
    others = [
        console.named_score(scores, name) for name in names if getattr(scores, name) is not None
    ]
    text = f"best {kind} {console.named_score(scores, decided)}"
    text += f" ({', '.join(others)})" if others else ""
    console.say(f"{text} in epoch {best.epoch}")
    console.line(f"run folder {run.folder}")
    console.line(f"next: {shell_command('eval', run.folder)}")
