"""The reference of the command line as Markdown, written from the commands of click."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

import click

INTRO = """\
Every command prints its help with `-h` or `--help`. `sepcnn --version` prints the version.
`sepcnn --debug COMMAND` shows the traceback of an error.

| exit code | meaning |
| --- | --- |
| 0 | success |
| 1 | the run failed, the check found errors, or an image file could not be read |
| 2 | the command line or the config is wrong |
| 3 | a bug in sepcnn |
| 130 | interrupted |"""


def page(group: click.Group) -> str:
    """The whole page: an introduction and a section for each command of ``group``."""
    return "\n\n".join(parts(group)) + "\n"


def parts(group: click.Group) -> Iterator[str]:
    context = click.Context(group, info_name="sepcnn")
    yield "# Command line"
    yield "<!-- Written by scripts/write-manual from the commands' help: change that instead. -->"
    yield INTRO
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield from section(command, click.Context(command, context, info_name=name))


def section(command: click.Command, context: click.Context) -> Iterator[str]:
    """A command: usage, help text, table of its options."""
    yield f"## {context.info_name}"
    yield f"```text\n{context.command_path} {' '.join(command.collect_usage_pieces(context))}\n```"
    yield from map(paragraph, inspect.cleandoc(command.help or "").split("\n\n"))
    if rows := [row for param in command.params if (row := option_row(param, context))]:
        yield "\n".join(["| option | meaning |", "| --- | --- |", *rows])


def paragraph(text: str) -> str:
    """A paragraph of help; what click keeps unwrapped, after a backspace, is a block of text."""
    if text.startswith("\b\n"):
        return f"```text\n{text[2:]}\n```"
    return code_in(text)


def option_row(param: click.Parameter, context: click.Context) -> str | None:
    record = param.get_help_record(context)
    if record is None or not isinstance(param, click.Option):
        return None
    names, meaning = (part.replace("|", "\\|") for part in record)
    return f"| `{names}` | {code_in(meaning)} |"


def code_in(text: str) -> str:
    """Text with its options as code."""
    pieces = text.replace("``", "`").split("`")  # every second piece is code already
    pieces[::2] = [re.sub(r"(?<![\w-])--[a-z][\w-]*", r"`\g<0>`", piece) for piece in pieces[::2]]
    return "`".join(pieces)
