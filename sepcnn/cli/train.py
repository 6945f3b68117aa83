"""``sepcnn train``: the arguments. The training itself is in `sepcnn.cli.training_run`."""

from __future__ import annotations

import os
from pathlib import Path

import click

from sepcnn.backends.native import library
from sepcnn.cli import signals
from sepcnn.cli.options import PATH, overrides


@click.command(name="train")
@click.argument("config_path", metavar="[CONFIG]", type=PATH, required=False)
@click.option("--resume", metavar="RUN_DIR", type=PATH, help="Continue the run in this folder.")
@click.option(
    "--run-dir", metavar="DIR", type=PATH, help="Write to this folder, which must be new or empty."
)
@click.option("--device", metavar="D", help="Device: auto, cpu, cuda, cuda:N or mps.")
@overrides
def command(
    config_path: Path | None,
    resume: Path | None,
    run_dir: Path | None,
    device: str | None,
    overrides: tuple[str, ...],
) -> int:
    """Train the model of CONFIG, or resume a run.

    Writes checkpoints and metrics to runs/NAME/NUMBER. Ctrl-C saves the run and stops it. --resume
    continues a run that was stopped or killed, with the same result as without the interruption.
    """
    if device is not None:
        overrides = (*overrides, f"train.device={device}")
    if (config_path is None) == (resume is None):
        raise click.UsageError("give either a CONFIG or --resume RUN_DIR")
    if resume is not None and run_dir is not None:
        raise click.UsageError("--run-dir is for a new run and cannot be combined with --resume")
    if os.path.exists(config_path or resume or ""):
        library.start_compiling()  # in parallel with the import of torch, which takes seconds
    with signals.exit_at_once():
        from sepcnn.cli import training_run

    return training_run.train_run(config_path, resume, run_dir, overrides)
