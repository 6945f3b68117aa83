"""The command line: a group that loads a command only when it is called.

Exit codes: 0 done · 1 the run failed · 2 the command line or the config is wrong · 3 a bug in
sepcnn · 130 interrupted.
"""

from __future__ import annotations

import os
import sys
import traceback
from importlib import import_module

import click

from sepcnn import __version__

COMMANDS = {
    "train": "Train a net from a config, or go on with a run.",
    "eval": "Measure a trained net on a split of its data.",
    "summary": "Show the layers of a net and what they cost.",
    "predict": "Name what is on image files.",
    "init": "Write a commented starter config.",
    "layers": "Show the manual of the layers.",
    "schema": "Print a JSON schema of the config for editors.",
}


class LazyGroup(click.Group):
    """Commands are listed from a table and imported when called, so that help is quick."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module = import_module(f"sepcnn.commands.{name}")
        command: click.Command = module.command
        return command

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
    try:
        result = group.main(arguments, prog_name="sepcnn", standalone_mode=False)
    except click.exceptions.Abort:
        return 130
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of our output has gone, as in `sepcnn layers | head`.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except click.ClickException as problem:
        problem.show()
        return problem.exit_code
    except Exception as problem:
        return report(problem, debug)
    return result if isinstance(result, int) else 0


def report(problem: Exception, debug: bool) -> int:
    """Print an error that reached the top; its exit code."""
    from sepcnn import console
    from sepcnn.errors import SepcnnError

    if debug:
        traceback.print_exc()
    if isinstance(problem, SepcnnError):
        console.error(problem)
        return problem.exit_code
    if not debug:
        traceback.print_exc()
    versions = f"sepcnn {__version__}, Python {sys.version.split()[0]}, {sys.platform}"
    print(
        f"\nThis is a bug in sepcnn. Please report it with the lines above.\n{versions}",
        file=sys.stderr,
    )
    return 3
