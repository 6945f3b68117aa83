"""``sepcnn train``: follow a run, show its progress and save its checkpoints."""

from __future__ import annotations

from pathlib import Path

from sepcnn.backends import machine
from sepcnn.cli import console, progress
from sepcnn.cli.signals import Stop
from sepcnn.data.class_balance import are_unequal
from sepcnn.errors import DivergedError
from sepcnn.training import checkpoint, loop, session
from sepcnn.training.records import EpochRecord
from sepcnn.training.run_folder import Run
from sepcnn.training.session import Session
from sepcnn.training.state import State
from sepcnn.wording import typed
from sepcnn.world import World

INTERRUPTED = 130


def train_run(
    config_path: Path | None,
    resume: Path | None,
    run_dir: Path | None,
    overrides: tuple[str, ...],
) -> int:
    """Start or resume a run and train it to its end. Returns the exit code."""
    machine.keep_freed_memory()
    with Stop() as stop:
        with console.Reading() as reading:
            if resume is not None:
                prepared = session.resume(resume, overrides, reading.note, reading)
            else:
                assert config_path is not None
                prepared = session.start(config_path, run_dir, overrides, reading.note, reading)
        try:
            return follow(prepared, stop)
        finally:
            prepared.run.lock.release()


def follow(session: Session, stop: Stop) -> int:
    """Train, show, write and save until the end or until someone wants to stop."""
    opened, state, world = session.run, session.state, World()
    options = session.config.train
    steps = loop.steps_per_epoch(session.config, session.dataset.train)
    if len(state.epochs) >= options.epochs:
        console.note(f"finished already; train longer with --set train.epochs={2 * options.epochs}")
    macro = macro_shown(session)
    shown = progress.Display(options.epochs, steps, options.batch_size, state.step, macro)
    stop.listening = True
    try:
        with shown:
            of_run = (session.config, session.dataset, opened.machine, state, world)
            for record in loop.train(*of_run, shown.note):
                if isinstance(record, EpochRecord):
                    best = state.best is record
                    opened.record_epoch(record)
                    opened.save(state, best=best)
                    shown.epoch(record, best)
                elif not stop.wanted:  # a terminal that was closed cannot be written to
                    if shown.wants_scores():
                        scores = loop.running_scores(state, world)
                        shown.step(record.epoch, record.step, scores)
                    if opened.wants_step_record():
                        opened.record_step(record, loop.running_scores(state, world))
                    if opened.wants_checkpoint():
                        opened.save(state)
                if world.any(stop.wanted):
                    opened.save(state)
                    shown.close()
                    console.note(f"stopped at step {state.step:,}; go on with")
                    console.say(typed("train", "--resume", opened.folder))
                    return INTERRUPTED
    except DivergedError as error:
        plan = loop.Plan(session.config, opened.machine, steps)
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
