"""``sepcnn check``: what is wrong with images and net, before hours are spent."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path

import click

from sepcnn import check
from sepcnn.backends import machine
from sepcnn.check.base import SEVERITIES, Finding, Subject
from sepcnn.check.opening import look
from sepcnn.cli import console
from sepcnn.cli.options import PATH, as_json, overrides
from sepcnn.config import loading
from sepcnn.training.session import choose_machine, describe_data
from sepcnn.wording import counted

FAILED = 1
MOST_FILES = 4
"""of a finding that are printed; --json has all"""
ENDINGS = {
    "error": "do not train before the errors are gone",
    "warning": "sepcnn train would run; look at the warnings first",
    "note": "ready to train",
}


@click.command(name="check")
@click.argument("path", metavar="CONFIG", type=PATH)
@overrides
@as_json
def command(path: Path, overrides: tuple[str, ...], as_json: bool) -> int:
    """Look for what is wrong with the images and the net of CONFIG, before hours are spent.

    Damaged and repeated images, the same image in two splits or with two labels, uneven classes,
    sizes, layers, memory, and a real step of training. Exit code 1 if there are errors.
    """
    machine.keep_freed_memory()
    settings = loading.load_config(path, overrides)
    hardware = choose_machine(settings)
    with console.Reading() as watch:
        subject = look(settings, hardware, watch)
    findings = list(check.findings(subject))
    if as_json:
        console.data(json.dumps({"findings": [one.to_json() for one in findings]}))
    else:
        show(path, subject, findings)
    return FAILED if any(one.severity == "error" for one in findings) else 0


def show(path: Path, subject: Subject, findings: list[Finding]) -> None:
    folder = common_folder(findings)
    console.say(title(path, subject))
    if folder:
        console.say(f"images in {folder}")
    for severity in SEVERITIES:
        of_severity = [one for one in findings if one.severity == severity]
        if of_severity:
            console.heading(f"{severity}s" if len(of_severity) > 1 else severity, severity)
        for one in of_severity:
            console.say(f"  {one.kind.replace('_', ' ')}: {one.message}")
            if one.hint:
                console.say(f"    → {one.hint}")
            for file in one.files[:MOST_FILES]:
                console.say(f"      {os.path.relpath(file, folder) if folder else file}")
            if len(one.files) > MOST_FILES:
                console.say(f"      … and {len(one.files) - MOST_FILES:,} more: --json lists them")
    console.say()
    console.say(last_line(findings))


def title(path: Path, subject: Subject) -> str:
    """The images in one line."""
    if subject.dataset is None:
        return f"{path}: the images could not be opened"
    return f"{path}: {describe_data(subject.config, subject.dataset)}"


def common_folder(findings: list[Finding]) -> str:
    """The folder that all images lie in; shown once, so that their names are short."""
    files = [file for one in findings for file in one.files if os.path.isabs(file)]
    return os.path.commonpath([os.path.dirname(file) for file in files]) if files else ""


def last_line(findings: list[Finding]) -> str:
    counts = Counter(one.severity for one in findings)
    worst = next((severity for severity in SEVERITIES if counts[severity]), "note")
    told = ", ".join(f"{counted(counts[s], s)}" for s in SEVERITIES)
    return f"{told}: {ENDINGS[worst]}"
