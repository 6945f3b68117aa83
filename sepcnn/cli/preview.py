"""``sepcnn preview``: a picture of what the net will see."""

from __future__ import annotations

from pathlib import Path

import click

from sepcnn.cli import console
from sepcnn.cli.options import PATH, overrides
from sepcnn.config import loading
from sepcnn.data.dataset import SPLITS
from sepcnn.errors import InputError, StorageError
from sepcnn.preview import contact_sheet
from sepcnn.wording import counted

HEADINGS = ("as stored", "as the steps of training see it")


@click.command(name="preview")
@click.argument("path", metavar="CONFIG", type=PATH)
@click.option("--out", metavar="FILE.png", type=PATH, default=Path("preview.png"), help="Where to.")
@click.option("--count", type=click.IntRange(1, 256), default=8, help="How many images.")
@click.option("--split", type=click.Choice(SPLITS), default="train", help="Default: train.")
@overrides
def command(path: Path, out: Path, count: int, split: str, overrides: tuple[str, ...]) -> None:
    """Draw what the net will see into a PNG file, with labels.

    Of the training images each row shows one, first as stored, then augmented, as seven steps
    would see it; one that is mixed of two has both labels. Other splits are never augmented.
    """
    if out.suffix.lower() != ".png":
        raise InputError(
            f"--out {out} is no name of a PNG file", "write it as in --out preview.png"
        )
    settings = loading.load_config(path, overrides)
    with console.Reading() as watch:
        dataset = settings.open_data(watch)
    images, names = dataset.split(split), dataset.class_names
    augmented = split == "train" and bool(settings.data.augment)
    rows = (contact_sheet.augmented_views if augmented else contact_sheet.views)(
        settings, images, names, count
    )
    rules = ", ".join(rule.chosen_name for rule in settings.data.augment) if augmented else "none"
    height, width, channels = settings.model.input_shape
    title = f"{path}, {split} images, {height} x {width} x {channels}, augmentation: {rules}"
    picture = contact_sheet.draw(rows, HEADINGS if augmented else (), title)
    try:
        picture.save(out, format="PNG")
    except OSError as error:
        raise StorageError.of(out, error) from None
    shown = counted(sum(map(len, rows)), "picture")
    console.say(f"{out}: {shown} of {counted(len(images), f'{split} image')}")
