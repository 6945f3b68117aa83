"""``sepcnn check``: find problems in the images and the model of a config."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path

import click

from sepcnn import check
from sepcnn.backends import machine
from sepcnn.check.base import SEVERITIES, CheckContext, Finding
from sepcnn.check.inspection import inspect_config
from sepcnn.cli import console
from sepcnn.cli.options import PATH, as_json, overrides
from sepcnn.config import loading
from sepcnn.training.session import choose_machine, describe_data
from sepcnn.wording import counted, listed

FAILED = 1
MAX_FILES = 4
"""number of files printed per finding; --json has all of them"""
ENDINGS = {
    "error": "fix the errors before you train",
    "warning": "training is possible, but look at the warnings first",
    "note": "ready to train",
}


@click.command(name="check")
@click.argument("path", metavar="CONFIG", type=PATH)
@overrides
@as_json
def command(path: Path, overrides: tuple[str, ...], as_json: bool) -> int:
    """Find problems in the images and the model of CONFIG before training.

    Looks for damaged and duplicate images, images in two splits or with two labels,
    imbalanced classes, unsuitable image sizes and layers, and too little memory; then trains a few
    steps to estimate how long the run will take. The exit code is 1 if there are errors.
    """
    machine.keep_freed_memory()
    settings = loading.load_config(path, overrides)
    hardware = choose_machine(settings)
    with console.ReadingProgress() as progress:
        context = inspect_config(settings, hardware, progress)
    findings = list(check.findings(context))
    if as_json:
        console.data(json.dumps({"findings": [finding.to_json() for finding in findings]}))
    else:
        show(path, context, findings)
    return FAILED if any(finding.severity == "error" for finding in findings) else 0


def show(path: Path, context: CheckContext, findings: list[Finding]) -> None:
    folder = common_folder(findings)
    console.say(title(path, context))
    if folder:
        console.line(f"images in {folder}")
    for severity in SEVERITIES:
        selected = [finding for finding in findings if finding.severity == severity]
        if selected:
            console.heading(f"{severity}s" if len(selected) > 1 else severity, severity)
        for finding in selected:
            console.line(f"  {finding.kind.replace('_', ' ')}: {finding.message}")
            if finding.hint:
                console.line(f"    → {finding.hint}")
            for file in finding.files[:MAX_FILES]:
                console.line(f"      {os.path.relpath(file, folder) if folder else file}")
            if len(finding.files) > MAX_FILES:
                console.say(
                    f"      … and {len(finding.files) - MAX_FILES:,} more; --json lists all of them"
                )
    console.say()
    console.say(last_line(findings))


def title(path: Path, context: CheckContext) -> str:
    """Return lines that describe the data set."""
    if context.dataset is None:
        return f"{path}: the images could not be opened"
    classes = f"classes: {listed(context.dataset.class_names)}"
    return f"{path}: {describe_data(context.config, context.dataset)}\n{classes}"


def common_folder(findings: list[Finding]) -> str:
    """Return the folder that contains all listed files; it is printed once, to shorten paths."""
    files = [file for finding in findings for file in finding.files if os.path.isabs(file)]
    return os.path.commonpath([os.path.dirname(file) for file in files]) if files else ""


def last_line(findings: list[Finding]) -> str:
    counts = Counter(finding.severity for finding in findings)
    worst = next((severity for severity in SEVERITIES if counts[severity]), "note")
    totals = ", ".join(f"{counted(counts[s], s)}" for s in SEVERITIES)
    return f"{totals}: {ENDINGS[worst]}"
