"""The ``sepcnn`` program. It imports a command only when the command is called.

Exit codes: 0 success, 1 the command failed, 2 the command line or the config is wrong, 3 a bug in
sepcnn, 130 interrupted.
"""

from __future__ import annotations

import errno
import os
import re
import sys
import traceback
from difflib import get_close_matches
from importlib import import_module
from io import TextIOWrapper

import click

from sepcnn import __version__
from sepcnn.cli import signals

COMMANDS = {
    "check": "Find problems in the images and the model before training.",
    "train": "Train a model from a config, or resume a run.",
    "eval": "Evaluate a trained model on a split of its data.",
    "preview": "Write a PNG of images as the model receives them.",
    "summary": "Show the layers of a model, their shapes and costs.",
    "predict": "Predict the class of images.",
    "benchmark": "Measure the speed of training or inference.",
    "cache": "List or remove cached images and compiled kernels.",
    "init": "Write a commented config, for your images or built-in ones.",
    "layers": "List the layers, or show the manual page of one.",
    "manual": "Show the manual: layers, optimizers and all config keys.",
    "schema": "Print the JSON schema of the config, for editors.",
}


OUTPUT_LOST = (errno.ENOSPC, errno.EDQUOT, errno.EIO)
"""errors of standard output: the disk is full or no longer available"""


class LazyGroup(click.Group):
    """A group that lists its commands from `COMMANDS` without importing them, so help is fast."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        with signals.exit_at_once():
            module = import_module(f"sepcnn.cli.{name}")
        command: click.Command = module.command
        return command

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in COMMANDS and not context.resilient_parsing:
            near = get_close_matches(name, COMMANDS, n=1)
            suggestion = f" Did you mean '{near[0]}'?" if near else ""
            context.fail(f"No such command '{name}'.{suggestion}")
        return super().resolve_command(context, args)

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="sepcnn")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.pass_context
def group(context: click.Context, debug: bool) -> None:
    """Train small, fast image classifiers from one YAML file.

    \b
    sepcnn init                             write starter.yaml
    sepcnn check starter.yaml               find problems before training
    sepcnn train starter.yaml               train; the run folder is runs/starter/1
    sepcnn eval runs/starter/1              evaluate the model on the test images
    sepcnn predict runs/starter/1 a.jpg     predict the class of an image
    """
    context.obj = debug


def run(arguments: list[str]) -> int:
    """Run the program, print its errors and return the exit code."""
    debug = "--debug" in arguments
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # print ? for × if the encoding lacks it
            stream.reconfigure(errors="replace")
    try:
        os.getcwd()
    except FileNotFoundError:
        print("error: the current folder no longer exists\n   cd to another one", file=sys.stderr)
        return 2
    try:
        result = group.main(arguments, prog_name="sepcnn", standalone_mode=False)
    except click.exceptions.Abort:
        return signals.INTERRUPTED
    except KeyboardInterrupt:
        return signals.INTERRUPTED
    except click.ClickException as problem:
        return refuse(problem, arguments)
    except Exception as problem:
        return report(problem, debug)
    return end_output(result if isinstance(result, int) else 0)


def refuse(problem: click.ClickException, arguments: list[str]) -> int:
    """Print an error of the command line, and return its exit code."""
    from sepcnn.cli import console

    hint = hint_for(problem, arguments)
    problem.message = console.visible_lines(problem.message)  # type: ignore[misc]
    problem.show()
    if hint:
        console.stderr_lines(f"   {hint}")
    return problem.exit_code


def end_output(code: int) -> int:
    """Flush standard output and return the exit code: ``code`` unless the output is lost."""
    try:
        sys.stdout.flush()
    except OSError as problem:
        return output_lost(problem, code)
    return code


def output_lost(problem: OSError, code: int = 1) -> int:
    """Report that standard output cannot be written, and return the exit code.

    A pipe that its reader closed, as in ``| head``, is not an error: the result is ``code``.
    """
    from sepcnn.cli import console

    console.stop_printing()
    if isinstance(problem, BrokenPipeError):
        return code
    print(f"error: the output could not be written: {problem.strerror}", file=sys.stderr)
    return 1


def hint_for(problem: click.ClickException, arguments: list[str]) -> str:
    """Return a hint for two common mistakes; else an empty text.

    They are a config key given as an option, and a folder given to ``sepcnn eval``.
    """
    from sepcnn.config.sections import Data, Model, Train
    from sepcnn.wording import shell_command

    context = problem.ctx if isinstance(problem, click.UsageError) else None
    if context is None or not any(option.name == "overrides" for option in context.command.params):
        return ""
    if isinstance(problem, click.NoSuchOption):
        key = problem.option_name.lstrip("-").replace("-", "_")
        fields = {
            "train": Train.model_fields,
            "data": Data.model_fields,
            "model": Model.model_fields,
        }
        for section, names in fields.items():
            if key in names:
                return (
                    f"write it as --set {section}.{key}={value_of(problem.option_name, arguments)}"
                )
    extra = re.fullmatch(r"Got unexpected extra argument \((.*)\)", problem.message)
    if extra and context.info_name == "eval":
        folder = f"data.source.Folder.path={extra[1]}"
        words = shell_command("eval", context.params["path"], "--split", "all", "--set", folder)
        return f"to evaluate all images of a folder: {words}"
    return ""


def value_of(option: str, arguments: list[str]) -> str:
    """Return the value given to an option, as in ``--epochs 3`` or ``--epochs=3``."""
    for argument, following in zip(arguments, [*arguments[1:], ""], strict=True):
        name, equals, value = argument.partition("=")
        if name == option:
            return value if equals else following or "VALUE"
    return "VALUE"


def report(problem: Exception, debug: bool) -> int:
    """Print an error that no command handled, and return its exit code."""
    from sepcnn.backends.machine import memory_exhausted
    from sepcnn.cli import console
    from sepcnn.errors import SepcnnError

    if debug:
        console.stderr_lines(traceback.format_exc().rstrip())
    error = problem if isinstance(problem, SepcnnError) else memory_exhausted(problem)
    if error is not None:
        console.error(error)
        return error.exit_code
    if isinstance(problem, OSError) and problem.filename is None and problem.errno in OUTPUT_LOST:
        return output_lost(problem)
    if not debug:
        console.stderr_lines(traceback.format_exc().rstrip())
    versions = f"sepcnn {__version__}, Python {sys.version.split()[0]}, {sys.platform}"
    print(
        f"\nThis is a bug in sepcnn. Please report it and include the lines above.\n{versions}",
        file=sys.stderr,
    )
    return 3
