"""``sepcnn train``: its arguments. What it does is in `sepcnn.cli.training_run`."""

from __future__ import annotations

import os
from pathlib import Path

import click

from sepcnn.backends.native import library
from sepcnn.cli.options import PATH, overrides


@click.command(name="train")
@click.argument("config_path", metavar="CONFIG", type=PATH, required=False)
@click.option("--resume", metavar="RUN_DIR", type=PATH, help="Go on with a run from its folder.")
@click.option("--run-dir", metavar="DIR", type=PATH, help="The run folder; absent or empty.")
@click.option("--device", metavar="D", help="auto, cpu, cuda, cuda:1 or mps.")
@overrides
def command(
    config_path: Path | None,
    resume: Path | None,
    run_dir: Path | None,
    device: str | None,
    overrides: tuple[str, ...],
) -> int:
    """Train the net of CONFIG, or go on with a run.

    Writes checkpoints and metrics into runs/NAME/NUMBER. Ctrl-C saves and stops; a run that was
    stopped or killed goes on with --resume, to the same result as if it had never stopped.
    """
    if device is not None:
        overrides = (*overrides, f"train.device={device}")
    if (config_path is None) == (resume is None):
        raise click.UsageError("give either a CONFIG or --resume RUN_DIR")
    if resume is not None and run_dir is not None:
        raise click.UsageError("--run-dir starts a new run, --resume goes on with an old one")
    if os.path.exists(config_path or resume or ""):
        library.start_compiling()  # beside the import of torch, which takes seconds
    from sepcnn.cli import training_run

    return training_run.train_run(config_path, resume, run_dir, overrides)
