"""``sepcnn eval``: how good a trained net is on a split of its data."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import torch

from sepcnn.backends import machine
from sepcnn.cli import console
from sepcnn.cli.options import PATH, as_json, overrides
from sepcnn.config.config import Config
from sepcnn.data.dataset import SPLITS, Dataset
from sepcnn.errors import SepcnnError
from sepcnn.training import checkpoint, evaluation
from sepcnn.training.evaluation import Evaluation
from sepcnn.training.records import finite

DEVICE = "train.device"
EVERY = "all"
"""in place of a split: every image, as of a folder of which none was trained on"""
MOST_CLASSES_SHOWN = 20
"""a larger confusion matrix is only in the JSON"""
SHORTEST_NAME = 8
"""letters to which the names above a confusion matrix may be cut"""
MOST_NAMED = 5
"""classes without images that a note names"""


CORNER = "true ╲ predicted"
MEAN_OF_CLASSES = "mean of the classes"


@click.command(name="eval")
@click.argument("path", metavar="CHECKPOINT_OR_RUN_DIR", type=PATH)
@click.option(
    "--split", type=click.Choice([*SPLITS, EVERY]), help="Default: test, else val, else train."
)
@overrides
@as_json
def command(path: Path, split: str | None, overrides: tuple[str, ...], as_json: bool) -> None:
    """Measure a trained net: loss, accuracy, per-class metrics, confusion, calibration.

    A run folder means its best checkpoint, else its last. --set reaches data and train.device:
    to measure on other images, for instance, with --split all on every one of them.
    """
    machine.keep_freed_memory()
    stored = checkpoint.read(checkpoint.locate(path))
    settings = stored.config.with_overrides(
        overrides,
        lambda key: key.startswith("data.") or key == DEVICE,
        ("evaluation cannot change", "only data.… and train.device; the net is what was trained"),
    )
    device = choose_device(settings, asked=any(o.startswith(DEVICE) for o in overrides))
    dataset = open_data(settings, stored.class_names)
    name = split or default_split(dataset)
    names = list(dataset.splits()) if name == EVERY else [name]
    images = [dataset.split(one) for one in names]
    count, total = sum(map(len, images)), sum(map(len, dataset.splits().values()))
    if text := comparison(dataset, names, stored.facts):
        # Not where only a test split is another: what was trained on would be measured with it.
        if not split and count < total and dataset.changed_splits(["train"], stored.facts):
            text += f"; --split {EVERY} measures all {total:,} images"
        console.notes([text])
    net = stored.net().to(device)
    on_device = [one.to(device) for one in images]
    result = evaluation.evaluate(net, on_device, settings.train.loss, stored.class_names)
    if as_json:
        scope = {"split": name, "images": count, "total_images": total}
        console.data(json.dumps(finite({**scope, **asdict(result)})))
    else:
        console.say(f"{stored.path} on {name}: {count:,} of {total:,} images")
        show(result)


def choose_device(settings: Config, asked: bool) -> torch.device:
    """The device of training where it was not asked for and is not here: any other serves."""
    try:
        return machine.choose_device(settings.train.device)
    except SepcnnError as error:
        if asked:
            raise settings.problem(("train", "device"), error.message, error.hint) from None
        return machine.choose_device("auto")


def open_data(settings: Config, class_names: tuple[str, ...]) -> Dataset:
    """The data set; its classes must be some of those the net knows."""
    with console.Reading() as watch:
        dataset = settings.open_data(watch)
    numbered = dataset.with_class_names(class_names)
    notes = list(dataset.notes)
    if lacking := [name for name in class_names if name not in dataset.class_names]:
        more = f" and {len(lacking) - MOST_NAMED} more" if len(lacking) > MOST_NAMED else ""
        named = ", ".join(lacking[:MOST_NAMED])
        notes += [f"there are no images of {named}{more}, which the net knows, too"]
    console.notes(notes)
    return numbered


def default_split(dataset: Dataset) -> str:
    """Test if there is one, else val, else train."""
    return list(dataset.splits())[-1]


def comparison(dataset: Dataset, names: Sequence[str], facts: dict[str, Any]) -> str:
    """What to say of images that are not those of the run; empty where they are."""
    changed, counts = dataset.changed_splits(names, facts), facts["counts"]
    if new := [name for name in changed if name not in counts]:
        return f"the run had no {listed(new)} images"
    if not changed:
        return ""
    then = sum(counts[name] for name in changed)
    now = sum(len(dataset.split(name)) for name in changed)
    how = "; ".join(filter(None, [f"{then:,} then, {now:,} now", dataset.decoder_change(facts)]))
    return f"the {listed(changed)} images are not those of the run ({how})"


def listed(names: Sequence[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


def show(result: Evaluation) -> None:
    classes = len(result.per_class)
    console.say(console.scores(result.loss, result.accuracy))
    if classes > 5:
        console.say(f"top 5 {console.percent(result.top5)}")
    console.say(f"calibration error {console.percent(result.ece)}")
    console.say(f"{result.images_per_second:,.0f} images/s")
    console.table(
        ["class", "precision", "recall", "F1", "images"],
        [
            [c.name, *map(console.percent, (c.precision, c.recall, c.f1)), f"{c.support:,}"]
            for c in result.per_class
        ]
        + [mean_of_classes(result)],
    )
    names = [c.name for c in result.per_class]
    room = longest_names(names, console.width())
    if classes > MOST_CLASSES_SHOWN or not room:
        width = confusion_width(names, SHORTEST_NAME)
        console.say(f"the confusion matrix is {width} columns wide: --json has it")
    else:
        console.table(
            [CORNER, *(name[:room] for name in names)],
            [
                [name, *(str(cell) if cell else "·" for cell in row)]
                for name, row in zip(names, result.confusion, strict=True)
            ],
        )


def longest_names(names: Sequence[str], columns: int) -> int:
    """To how many letters the names above a confusion matrix are cut so that it fits; 0 where it
    does not.
    """
    lengths = range(max(SHORTEST_NAME, *map(len, names)), SHORTEST_NAME - 1, -1)
    return next((n for n in lengths if confusion_width(names, n) <= columns), 0)


def confusion_width(names: Sequence[str], room: int) -> int:
    """Columns of the confusion matrix, the names above it cut to so many letters."""
    return max(map(len, [CORNER, *names])) + sum(len(name[:room]) + 3 for name in names)


def mean_of_classes(result: Evaluation) -> list[str]:
    """The row of the macro metrics: each class counts alike, however few its images."""
    means = (result.macro_precision, result.macro_recall, result.macro_f1)
    images = sum(c.support for c in result.per_class)
    return [MEAN_OF_CLASSES, *map(console.percent, means), f"{images:,}"]
