"""``sepcnn eval``: evaluate a trained model on a split of its data."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import torch

from sepcnn.backends import machine
from sepcnn.cli import console
from sepcnn.cli.options import PATH, as_json, overrides
from sepcnn.cli.recalibration import NOTHING_WRITTEN, recalibrate_net
from sepcnn.config.config import Config
from sepcnn.data.dataset import SPLITS, Dataset
from sepcnn.data.sources.base import LAST
from sepcnn.errors import DataError, SepcnnError
from sepcnn.language.mismatch import Mismatch
from sepcnn.results.csv_file import check_target
from sepcnn.results.mistakes import write_mistakes
from sepcnn.training import checkpoint, evaluation
from sepcnn.training.checkpoint import BEST
from sepcnn.training.evaluation import Evaluation
from sepcnn.training.older_layout import layout_hints, other_classes_hint
from sepcnn.training.records import finite
from sepcnn.wording import counted, listed

DEVICE = "train.device"
ALL_SPLITS = "all"
"""in place of a split's name: every image, as for a folder that was not used in training"""
EVALUATED, RECALIBRATED = (BEST, checkpoint.LAST), (checkpoint.LAST, BEST)
"""checkpoints of a run folder, the first that exists. The statistics to re-estimate may have chosen
a wrong epoch as the best
"""
MAX_CLASSES_SHOWN = 20
"""the confusion matrix of more classes is printed only with --json"""
SHORTEST_NAME = 8
"""column names of a confusion matrix are shortened to this many characters at most"""
MAX_NAMED = 5
"""number of classes without images that a note lists"""
CORNER = "true ╲ predicted"
MEAN_OF_CLASSES = "mean of the classes"


@click.command(name="eval")
@click.argument("path", metavar="CHECKPOINT_OR_RUN_DIR", type=PATH)
@click.option(
    "--split",
    type=click.Choice([*SPLITS, ALL_SPLITS]),
    help="The split to evaluate, or all. Default: test, else val, else train.",
)
@click.option(
    "--errors",
    type=PATH,
    metavar="FILE",
    help="Write the images that are classified wrongly to a CSV file.",
)
@click.option(
    "--recalibrate",
    "recalibrates",
    is_flag=True,
    help="Re-estimate the moving statistics of BatchNormalization from training images first.",
)
@click.option(
    "--out",
    type=PATH,
    metavar="FILE",
    help="With --recalibrate: write a new checkpoint that has these statistics.",
)
@overrides
@as_json
def command(
    path: Path,
    split: str | None,
    errors: Path | None,
    recalibrates: bool,
    out: Path | None,
    overrides: tuple[str, ...],
    as_json: bool,
) -> None:
    """Evaluate a trained model: loss, accuracy, per-class metrics, confusion matrix, calibration.

    For a run folder, the best checkpoint is used, or the last if there is no best one. --set can
    change values of data and train.device, for instance to evaluate other images. --split all
    evaluates the images of all splits. --recalibrate prefers the last checkpoint, because the
    statistics that it replaces may have chosen a wrong best one; it changes no file.
    """
    if errors is not None:
        check_target(errors, "--errors")
    if out is not None:
        if not recalibrates:
            raise click.UsageError("--out needs --recalibrate")
        checkpoint.check_unused(out)
    machine.keep_freed_memory()
    stored = checkpoint.read(checkpoint.locate(path, RECALIBRATED if recalibrates else EVALUATED))
    settings = stored.config.with_overrides(
        overrides,
        lambda key: key.startswith("data.") or key == DEVICE,
        Mismatch(
            "evaluation cannot change", "only data.… and train.device can change after training"
        ),
    )
    device = choose_device(settings, asked=any(o.startswith(DEVICE) for o in overrides))
    facts = stored.facts
    # An older checkpoint has one fingerprint of all splits: they can only be compared together.
    needs_all = split == ALL_SPLITS or recalibrates or "fingerprints" not in facts
    needed = None if needs_all else split or LAST
    dataset = open_data(settings, stored.class_names, needed)
    name = split or default_split(dataset)
    names = list(dataset.splits()) if name == ALL_SPLITS else [name]
    images = [dataset.split(split_name) for split_name in names]
    count, total = sum(map(len, images)), dataset.total()
    read = sorted({*names, "train"}, key=SPLITS.index) if recalibrates else names
    if text := difference(dataset, read, facts):
        # Not if only the test split differs: --split all would include the training images.
        train_differs = "train" in dataset.splits() and dataset.changed_splits(["train"], facts)
        if not split and train_differs and total is not None and count < total:
            text += f"; --split {ALL_SPLITS} evaluates all {total:,} images"
        console.notes([text])
    if source := facts.get(checkpoint.RECALIBRATED):
        images_used = counted(source["images"], "training image")
        console.notes([f"the moving statistics were re-estimated from {images_used}"])
    net = stored.net().to(device)
    on_device = [split_images.to(device) for split_images in images]
    recalibration = None
    if recalibrates:
        before = evaluation.evaluate(net, on_device, settings.train.loss, stored.class_names)
        recalibration = recalibrate_net(net, dataset, settings, before)
    result = evaluation.evaluate(net, on_device, settings.train.loss, stored.class_names)
    if errors is not None:
        splits = dict(zip(names, images, strict=True))
        write_mistakes(errors, result.mistakes, splits, stored.class_names)
    if recalibration and out is not None:
        checkpoint.save_recalibrated(out, stored, net, recalibration.source)
    if as_json:
        scope = {"split": name, "images": count, "total_images": total}
        scope |= recalibration.to_json() if recalibration else {}
        console.data(json.dumps(finite({**scope, **result.to_json()})))
    else:
        of_all = "" if total is None else f" of {total:,}"
        console.line(f"{stored.path} on {name}: {count:,}{of_all} images")
        if recalibration:
            console.say(recalibration.describe())
        show(result)
        if errors is not None:
            wrong = counted(len(result.mistakes), "image")
            console.line(f"wrote {errors}: {wrong} classified wrongly")
        if recalibration:
            console.line(f"wrote {out}" if out else NOTHING_WRITTEN)


def choose_device(settings: Config, asked: bool) -> torch.device:
    """Return the config's device; if it is not available and was not asked for, another one."""
    try:
        return machine.choose_device(settings.train.device)
    except SepcnnError as error:
        if asked:
            raise settings.problem(("train", "device"), error.message, error.hint) from None
        return machine.choose_device("auto")


def open_data(settings: Config, class_names: tuple[str, ...], split: str | None) -> Dataset:
    """Open the data set, or only one split of it, with the model's class indices.

    The classes of the data must be classes of the model. Prints a note if images of some
    classes are missing.
    """
    with console.ReadingProgress() as progress, layout_hints():
        dataset = settings.open_data(progress, split)
    try:
        numbered = dataset.with_class_names(class_names)
    except DataError as error:
        other = other_classes_hint(settings, dataset.class_names, class_names)
        hint = f"{error.hint}\n   {other}" if other else error.hint
        raise DataError(error.message, hint) from None
    notes = list(dataset.notes)
    if missing := [name for name in class_names if name not in dataset.class_names]:
        named = listed(missing, MAX_NAMED)
        notes += [f"the data has no images of these classes of the model: {named}"]
    console.notes(notes)
    return numbered


def default_split(dataset: Dataset) -> str:
    """Return test if there is such a split, else val, else train."""
    return list(dataset.splits())[-1]


def difference(dataset: Dataset, names: Sequence[str], facts: dict[str, Any]) -> str:
    """Return how the images differ from those of the run; empty if they are the same."""
    changed, counts = dataset.changed_splits(names, facts), facts["counts"]
    if new := [name for name in changed if name not in counts]:
        return f"the run had no {joined(new)} images"
    if not changed:
        return ""
    then = sum(counts[name] for name in changed)
    now = sum(len(dataset.split(name)) for name in changed)
    reasons = [f"{then:,} then, {now:,} now", dataset.decoder_change(facts)]
    how = "; ".join(filter(None, reasons))
    return f"the {joined(changed)} images differ from those of the run ({how})"


def joined(names: Sequence[str]) -> str:
    """Return ``train``, ``train and val`` or ``train, val and test``."""
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
    length = name_length(names, console.width())
    if classes > MAX_CLASSES_SHOWN or not length:
        width = confusion_width(names, SHORTEST_NAME)
        console.say(f"the confusion matrix is {width} columns wide; --json prints it")
    else:
        console.table(
            [CORNER, *(name[:length] for name in names)],
            [
                [name, *(str(cell) if cell else "·" for cell in row)]
                for name, row in zip(names, result.confusion, strict=True)
            ],
        )


def name_length(names: Sequence[str], columns: int) -> int:
    """Return the length to which column names must be shortened for the confusion matrix to fit.

    0 if it cannot fit.
    """
    lengths = range(max(SHORTEST_NAME, *map(len, names)), SHORTEST_NAME - 1, -1)
    return next((n for n in lengths if confusion_width(names, n) <= columns), 0)


def confusion_width(names: Sequence[str], length: int) -> int:
    """Return the width of the confusion matrix with column names of at most ``length``."""
    return max(map(len, [CORNER, *names])) + sum(len(name[:length]) + 3 for name in names)


def mean_of_classes(result: Evaluation) -> list[str]:
    """Return the row of the macro metrics, in which every class has the same weight."""
    means = (result.macro_precision, result.macro_recall, result.macro_f1)
    images = sum(c.support for c in result.per_class)
    return [MEAN_OF_CLASSES, *map(console.percent, means), f"{images:,}"]
