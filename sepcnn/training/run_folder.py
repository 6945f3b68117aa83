"""The run folder: config, environment, metrics, checkpoints, and a lock.

runs/<name>/<number>/
  config.yaml            the config as used, with overrides and comments
  environment.json       machine and versions
  metrics.jsonl          one line per record
  last.safetensors       the latest checkpoint
  best.safetensors       the checkpoint of the best epoch so far
"""

from __future__ import annotations

import itertools
import json
import shlex
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from sepcnn.atomic_file import replace_file
from sepcnn.backends.machine import Machine
from sepcnn.config.config import Config
from sepcnn.errors import CheckpointError, InputError, StorageError
from sepcnn.training import checkpoint
from sepcnn.training.checkpoint import BEST, LAST, Checkpoint, versions
from sepcnn.training.metrics_file import METRICS, read_lines, restore
from sepcnn.training.records import EpochRecord, Scores, StepRecord, finite, to_json
from sepcnn.training.state import State

LOCK = ".lock"
CONFIG, EDITED, ENVIRONMENT = "config.yaml", "config.edited.yaml", "environment.json"
FILES = (CONFIG, ENVIRONMENT, METRICS, LAST, BEST)
SECONDS_BETWEEN_STEP_RECORDS = 1.0


@dataclass
class Run:
    """An open, locked run folder."""

    folder: Path
    config: Config
    facts: dict[str, Any]
    """about the data: class names, counts, fingerprints, decoder"""
    machine: Machine
    lock: FileLock
    last_saved: float = 0.0
    last_step_record: float = 0.0

    def begin(self, state: State) -> None:
        """Write the files of a new run. The checkpoint comes first: it is enough to resume."""
        self.save(state)
        self._write_config()
        write_text(self.folder / METRICS, "")

    def resume(self, state: State, stored: Config) -> list[str]:
        """Bring the files to the step of the checkpoint, whose config is ``stored``.

        Return notes on files that were not as the run had left them.
        """
        restored = restore(self.folder / METRICS, state)
        best = self._restore_best(state)
        write_text(self.folder / METRICS, restored.text)
        edited = self._keep_edited_config(stored)
        self._write_config()
        return [note for note in (restored.note, best, edited) if note]

    def _restore_best(self, state: State) -> str:
        """Check that the best checkpoint belongs to the best epoch. Return a note if not."""
        if state.best is None:
            return ""
        path, known = self.folder / BEST, [to_json(record) for record in state.epochs]
        try:
            found = [to_json(record) for record in checkpoint.read(path).epochs]
        except CheckpointError:
            problem = "is damaged" if path.exists() else "was missing"
        else:
            # A run that was killed between both checkpoints has a newer best one.
            if found[: len(known)] == known or found == known[: state.best.epoch]:
                return ""
            problem = "is of another run or epoch"
        if state.best is state.epochs[-1] and state.best.step == state.step:
            checkpoint.save(path, self.config, self.facts, self.machine.facts(), state)
            return f"{path} {problem}: restored from {LAST}"
        return f"{path} {problem}: the next epoch above epoch {state.best.epoch} replaces it"

    def _keep_edited_config(self, stored: Config) -> str:
        """Keep a config.yaml that was edited under another name. Return a note if it was."""
        path, kept = self.folder / CONFIG, self.folder / EDITED
        lines = read_lines(path)
        text = stored.origin.text if stored.origin else ""
        if lines is None or "\n".join(lines).splitlines() == text.splitlines():
            return ""
        try:
            path.replace(kept)
        except OSError as error:
            raise StorageError.of(kept, error) from None
        return (
            f"{path} is not the config of the checkpoint, which is used: it is now {kept.name}; "
            "use --set to change a value"
        )

    def _write_config(self) -> None:
        origin = self.config.origin
        write_text(self.folder / CONFIG, origin.text if origin else "")
        environment = {"versions": versions(), "machine": self.machine.facts(), "data": self.facts}
        write_text(self.folder / ENVIRONMENT, json.dumps(environment, indent=2) + "\n")

    def save(self, state: State, *, best: bool = False) -> None:
        """Write the last checkpoint, and the best one if the epoch is the best so far.

        Errors: `DivergedError`, `StorageError`; the older files are then unchanged.
        """
        facts, machine = self.facts, self.machine.facts()
        state.sums.tolist()  # wait for the device: unfinished steps are not time spent on saving
        start = time.perf_counter()
        if best:
            checkpoint.save(self.folder / BEST, self.config, facts, machine, state)
        checkpoint.save(self.folder / LAST, self.config, facts, machine, state)
        state.saving += time.perf_counter() - start
        self.last_saved = time.monotonic()

    def record_step(self, record: StepRecord, scores: Scores) -> None:
        line = {**to_json(record), **finite({"loss": scores.loss, "accuracy": scores.accuracy})}
        self._append(line)
        self.last_step_record = time.monotonic()

    def record_epoch(self, record: EpochRecord) -> None:
        self._append(to_json(record))

    def wants_step_record(self) -> bool:
        return time.monotonic() - self.last_step_record >= SECONDS_BETWEEN_STEP_RECORDS

    def wants_checkpoint(self) -> bool:
        return time.monotonic() - self.last_saved >= 60 * self.config.train.checkpoint_minutes

    def _append(self, line: dict[str, Any]) -> None:
        try:
            with (self.folder / METRICS).open("a") as file:
                file.write(json.dumps(line) + "\n")
        except OSError as error:
            raise StorageError.of(self.folder / METRICS, error) from None


def create(folder: Path, config: Config, facts: dict[str, Any], machine: Machine) -> Run:
    """Make and lock a run folder.

    Errors: `InputError` if it exists and is not empty, `StorageError` if it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        check_empty(folder)  # before the lock file is created
        lock = acquire(folder)
        check_empty(folder)
    except OSError as error:
        raise StorageError.of(folder, error) from None
    return Run(folder, config, facts, machine, lock)


def check_empty(folder: Path) -> None:
    """Check that a run can use the folder. A run that was killed at its start leaves only a lock.

    Errors: `InputError` for a folder that is not empty, `StorageError` if it cannot be read.
    """
    try:
        if not folder.exists():
            return
        if not folder.is_dir():
            raise InputError(f"the run folder {folder} is a file", "give a folder, absent or empty")
        names = [entry.name for entry in folder.iterdir()]
    except OSError as error:  # a name that is too long, a folder that may not be entered
        raise StorageError.of(folder, error) from None
    if any(name != LOCK and not name.endswith(".partial") for name in names):
        hint = "choose another, or continue that run with --resume"
        raise InputError(f"the run folder {folder} is not empty", hint)


def next_folder(name: str) -> Path:
    """Make the folder ``runs/<name>/<number>``; the number is one above the highest in use.

    Errors: `StorageError`.
    """
    parent = Path("runs") / name
    try:
        parent.mkdir(parents=True, exist_ok=True)
        taken = [int(f.name) for f in parent.iterdir() if f.name.isdecimal()]
        for number in itertools.count(max(taken, default=0) + 1):
            with suppress(FileExistsError):  # another run may be taking the same number
                (parent / str(number)).mkdir()
                break
    except OSError as error:
        raise StorageError.of(parent, error) from None
    return parent / str(number)


def acquire(folder: Path) -> FileLock:
    """Lock a run folder. The system releases the lock whenever the process ends.

    Errors: `InputError` if another process holds it, `StorageError` if it cannot be locked.
    """
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except NotImplementedError:
        message = f"{folder} cannot be locked: its file system has no locks"
        raise StorageError(message, "use --run-dir to write to a folder of another disk") from None
    except OSError as error:
        if not isinstance(error, Timeout):
            raise StorageError.of(folder / LOCK, error) from None
        message = f"the run folder {folder} is in use by another process"
        raise InputError(message, "wait until it ends, or stop it") from None
    return lock


def check_resumable(folder: Path) -> None:
    """Check that a folder contains a run. Errors: `InputError`, `CheckpointError`."""
    try:
        is_folder = folder.is_dir()
        misplaced = [folder / name for name in FILES if (folder / name).is_dir()]
        holds_last = (folder / LAST).exists()
    except OSError:  # a name that is too long, a folder that may not be entered
        is_folder = holds_last = False
        misplaced = []
    if not is_folder:
        raise InputError(f"there is no run folder {folder}", "give a folder such as runs/name/1")
    if misplaced:
        message = f"{misplaced[0]} is a folder, but the run has a file of that name"
        raise InputError(message, "move it away, then resume")
    if not holds_last:
        runs = sorted(str(found.parent) for found in folder.glob(f"*/{LAST}"))
        hint = f"did you mean {runs[-1]}?" if runs else "the run was never started; start a new one"
        raise CheckpointError(f"{folder} holds no {LAST}", use_best(folder) or hint)


def read_last(folder: Path) -> Checkpoint:
    """The checkpoint to resume from. Errors: `CheckpointError`."""
    try:
        return checkpoint.read(folder / LAST)
    except CheckpointError as error:
        raise CheckpointError(error.message, use_best(folder) or error.hint) from None


def use_best(folder: Path) -> str:
    """How to continue from the best checkpoint; empty if it cannot be read."""
    try:
        epoch = len(checkpoint.read(folder / BEST).epochs)
    except CheckpointError:
        return ""
    command = shlex.join(["cp", str(folder / BEST), str(folder / LAST)])
    return f"to continue after epoch {epoch}, the best one: {command}"


def write_text(path: Path, text: str) -> None:
    replace_file(path, text.encode())
