"""The command line: a group that loads a command only when it is called.

Exit codes: 0 done · 1 the run failed · 2 the command line or the config is wrong · 3 a bug in
sepcnn · 130 interrupted.
"""

from __future__ import annotations

import errno
import re
import sys
import traceback
from difflib import get_close_matches
from importlib import import_module
from io import TextIOWrapper

import click

from sepcnn import __version__

COMMANDS = {
    "check": "Look for what is wrong with images and net before training.",
    "train": "Train a net from a config, or go on with a run.",
    "eval": "Measure a trained net on a split of its data.",
    "preview": "Draw what the net will see, with labels.",
    "summary": "Show the layers of a net and what they cost.",
    "predict": "Name what is on image files.",
    "benchmark": "Measure how fast a net is on this machine.",
    "cache": "Show or clear the cache of decoded images.",
    "init": "Write a commented starter config.",
    "layers": "Show the manual of the layers.",
    "manual": "Show the manual of all that a config can name.",
    "schema": "Print a JSON schema of the config for editors.",
}


OUTPUT_LOST = (errno.ENOSPC, errno.EDQUOT, errno.EIO)
"""of an error without a file's name: standard output goes to a disk that is full, or gone"""


class LazyGroup(click.Group):
    """Commands are listed from a table and imported when called, so that help is quick."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module = import_module(f"sepcnn.cli.{name}")
        command: click.Command = module.command
        return command

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in COMMANDS and not context.resilient_parsing:
            near = get_close_matches(name, COMMANDS, n=1)
            meant = f" Did you mean '{near[0]}'?" if near else ""
            context.fail(f"No such command '{name}'.{meant}")
        return super().resolve_command(context, args)

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="sepcnn")
@click.option("--debug", is_flag=True, help="Show tracebacks of errors.")
@click.pass_context
def group(context: click.Context, debug: bool) -> None:
    """Train small, fast image classifiers from one YAML file.

    \b
    sepcnn init                             writes starter.yaml
    sepcnn check starter.yaml               looks for what is wrong before training
    sepcnn train starter.yaml               trains it into runs/starter/1
    sepcnn eval runs/starter/1              measures it on the test images
    sepcnn predict runs/starter/1 a.jpg     names what is on a picture
    """
    context.obj = debug


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and leave with its exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    sys.exit(run(arguments))


def run(arguments: list[str]) -> int:
    """The exit code of a command line. Errors are printed."""
    debug = "--debug" in arguments
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a terminal that lacks × shows ?
            stream.reconfigure(errors="replace")
    try:
        result = group.main(arguments, prog_name="sepcnn", standalone_mode=False)
    except click.exceptions.Abort:
        return 130
    except KeyboardInterrupt:
        return 130
    except click.ClickException as problem:
        problem.show()
        if hint := advice(problem, arguments):
            print(f"   {hint}", file=sys.stderr)
        return problem.exit_code
    except Exception as problem:
        return report(problem, debug)
    return end_output(result if isinstance(result, int) else 0)


def end_output(code: int) -> int:
    """Write out what is still to be written; the exit code then."""
    try:
        sys.stdout.flush()
    except OSError as problem:
        return output_lost(problem, code)
    return code


def output_lost(problem: OSError, code: int = 1) -> int:
    """Say that standard output cannot be written, but where its reader has gone; the exit code."""
    from sepcnn.cli import console

    console.stop_printing()
    if isinstance(problem, BrokenPipeError):
        return code
    print(f"error: the output could not be written: {problem.strerror}", file=sys.stderr)
    return 1


def advice(problem: click.ClickException, arguments: list[str]) -> str:
    """What to write instead of a value of the config as an option, or of a folder to measure."""
    from sepcnn.config.sections import Data, Model, Train
    from sepcnn.wording import typed

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
        for section, known in fields.items():
            if key in known:
                return (
                    f"write it as --set {section}.{key}={value_of(problem.option_name, arguments)}"
                )
    extra = re.fullmatch(r"Got unexpected extra argument \((.*)\)", problem.message)
    if extra and context.info_name == "eval":
        folder = f"data.source.Folder.path={extra[1]}"
        words = typed("eval", context.params["path"], "--split", "all", "--set", folder)
        return f"to measure all images of a folder: {words}"
    return ""


def value_of(option: str, arguments: list[str]) -> str:
    """What was given with an option: ``--epochs 3`` or ``--epochs=3``."""
    for argument, following in zip(arguments, [*arguments[1:], ""], strict=True):
        name, equals, value = argument.partition("=")
        if name == option:
            return value if equals else following or "VALUE"
    return "VALUE"


def report(problem: Exception, debug: bool) -> int:
    """Print an error that reached the top; its exit code."""
    from sepcnn.backends.machine import memory_exhausted
    from sepcnn.cli import console
    from sepcnn.errors import SepcnnError

    if debug:
        traceback.print_exc()
    told = problem if isinstance(problem, SepcnnError) else memory_exhausted(problem)
    if told is not None:
        console.error(told)
        return told.exit_code
    if isinstance(problem, OSError) and problem.filename is None and problem.errno in OUTPUT_LOST:
        return output_lost(problem)
    if not debug:
        traceback.print_exc()
    versions = f"sepcnn {__version__}, Python {sys.version.split()[0]}, {sys.platform}"
    print(
        f"\nThis is a bug in sepcnn. Please report it with the lines above.\n{versions}",
        file=sys.stderr,
    )
    return 3
