"""``sepcnn preview``: draw images as the model receives them."""

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

HEADINGS = ("as stored", "augmented, as in training steps")


@click.command(name="preview")
@click.argument("path", metavar="CONFIG", type=PATH)
@click.option(
    "--out",
    metavar="FILE.png",
    type=PATH,
    default=Path("preview.png"),
    help="The file to write. Default: preview.png.",
)
@click.option(
    "--count",
    type=click.IntRange(1, 256),
    metavar="N",
    default=8,
    help="Number of images. Default: 8.",
)
@click.option(
    "--split", type=click.Choice(SPLITS), default="train", help="The split to draw. Default: train."
)
@overrides
def command(path: Path, out: Path, count: int, split: str, overrides: tuple[str, ...]) -> None:
    """Write a PNG file that shows images as the model receives them, with labels.

    With data.augment, each training image has a row: the stored image, then seven augmented
    versions, each from another training step. Images mixed by MixUp or CutMix show both labels.
    The val and test splits are not augmented.
    """
    if out.suffix.lower() != ".png":
        raise InputError(
            f"--out {out} is not the name of a PNG file", "use a name such as preview.png"
        )
    settings = loading.load_config(path, overrides)
    with console.ReadingProgress() as progress:
        dataset = settings.open_data(progress)
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
