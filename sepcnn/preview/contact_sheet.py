"""Draw a contact sheet: images as the model receives them, with their labels."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from sepcnn.config.config import Config
from sepcnn.data.augmentation import augment
from sepcnn.data.batch import Batch, centre_crop
from sepcnn.data.dataset import Split
from sepcnn.randomness import stream

COLUMNS = 8
SMALLEST_SIDE, LARGEST_SIDE = 112, 224
"""in pixels: small images are enlarged by a whole factor to about the first, large ones are reduced
to the second"""
GAP, LINE, MARGIN = 8, 15, 16
BACKGROUND, INK, FAINT = "white", "#222222", "#777777"

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True, slots=True)
class View:
    """An image as the model receives it, and the text below it."""

    pixels: NDArray[np.uint8]
    """H×W×C"""
    lines: tuple[str, ...]
    """the label, or the labels of two mixed images with their shares"""


def views(config: Config, split: Split, names: tuple[str, ...], count: int) -> list[list[View]]:
    """Return rows of different images as evaluation receives them, drawn with ``train.seed``."""
    size, seed = config.model.input_shape[:2], config.train.seed
    batch = split.read(random_order(split.labels, count, seed)[:count])
    plain = _views(Batch(centre_crop(batch.images, size), batch.labels), names)
    return [plain[first : first + COLUMNS] for first in range(0, len(plain), COLUMNS)]


def augmented_views(
    config: Config, split: Split, names: tuple[str, ...], count: int
) -> list[list[View]]:
    """Return one row per image: the image as stored, then as different training steps receive it.

    A whole batch is augmented, as in training, because mixing combines images of a batch.
    """
    size, seed = config.model.input_shape[:2], config.train.seed
    together = max(count, min(config.train.batch_size, len(split)))
    batch = split.read(random_order(split.labels, count, seed)[:together])
    columns = [_views(Batch(centre_crop(batch.images, size), batch.labels), names)[:count]]
    for step in range(COLUMNS - 1):
        seen = augment(batch, config.data.augment, size, seed, step)
        columns.append(_views(seen, names)[:count])
    return [list(row) for row in zip(*columns, strict=True)]


def random_order(labels: torch.Tensor, count: int, seed: int) -> torch.Tensor:
    """Return a random order of all images; the first ``count`` show as many classes as possible."""
    order = torch.randperm(len(labels), generator=stream(seed, "preview"))
    first_of_class: dict[int, int] = {}
    for position, label in enumerate(labels[order].tolist()):
        first_of_class.setdefault(label, position)
    preferred = set(list(first_of_class.values())[:count])
    others = (position for position in range(len(order)) if position not in preferred)
    shown = sorted([*preferred, *islice(others, count - len(preferred))])
    rest = torch.ones(len(order), dtype=torch.bool).index_fill_(0, torch.tensor(shown), False)
    return torch.cat([order[shown], order[rest]])


def _views(batch: Batch, names: tuple[str, ...]) -> list[View]:
    pixels = batch.images.cpu().numpy()
    labels: list[int] = batch.labels.tolist()
    if batch.second_labels is None or batch.first_shares is None:
        return [View(p, (names[label],)) for p, label in zip(pixels, labels, strict=True)]
    seconds, shares = batch.second_labels.tolist(), batch.first_shares.tolist()
    mixed = zip(pixels, labels, seconds, shares, strict=True)
    return [View(p, _shares(names[a], names[b], share)) for p, a, b, share in mixed]


def _shares(first: str, second: str, share: float) -> tuple[str, ...]:
    """Return ``cat 70 %``, ``dog 30 %``, the larger share first, or one line for a single class."""
    percent = round(100 * share)
    if first == second or percent in (0, 100):
        return (first if percent else second,)
    parts = sorted([(percent, first), (100 - percent, second)], reverse=True)
    return tuple(f"{name} {part} %" for part, name in parts)


def draw(rows: list[list[View]], headings: tuple[str, ...], title: str) -> Image.Image:
    """Draw rows of images with their labels, the headings of the columns and a title."""
    height, width = _shown_size(rows[0][0].pixels.shape[:2])
    text_lines = max(len(view.lines) for row in rows for view in row)
    step_x, step_y = width + GAP, height + text_lines * LINE + GAP + 4
    top = MARGIN + 2 * LINE + (LINE if headings else 0)
    longest = max(len(row) for row in rows)
    across = longest * step_x - GAP + 2 * MARGIN + (GAP if headings else 0)
    picture = Image.new("RGB", (across, top + len(rows) * step_y + MARGIN - GAP), BACKGROUND)
    pen, font = ImageDraw.Draw(picture), _font()
    pen.text((MARGIN, MARGIN - 4), _cut(title, across - 2 * MARGIN, font), INK, font)
    for column, heading in enumerate(headings):
        x = MARGIN + column * step_x + (GAP if column else 0)
        pen.text((x, top - LINE - 4), heading, FAINT, font)
    for line, row in enumerate(rows):
        for column, view in enumerate(row):
            x, y = MARGIN + column * step_x, top + line * step_y
            if headings and column:
                x += GAP
            picture.paste(_shown(view.pixels, (width, height)), (x, y))
            for place, text in enumerate(view.lines):
                where = (x, y + height + 2 + place * LINE)
                pen.text(where, _cut(text, width, font), INK, font)
    return picture


def _shown_size(size: tuple[int, ...]) -> tuple[int, int]:
    """Return the shown size: enlarged by a whole factor, or reduced to `LARGEST_SIDE`."""
    height, width = size
    factor: float = max(1, round(SMALLEST_SIDE / max(size)))
    factor = min(factor, LARGEST_SIDE / max(size)) if max(size) > LARGEST_SIDE else factor
    return max(1, round(height * factor)), max(1, round(width * factor))


def _shown(pixels: NDArray[np.uint8], size: tuple[int, int]) -> Image.Image:
    """Return the image at the shown size; of 2 or more than 4 channels only the first is shown."""
    channels = pixels.shape[2]
    kept = pixels if channels in (3, 4) else pixels[:, :, 0]
    image = Image.fromarray(np.ascontiguousarray(kept))
    smaller = size[0] < image.width
    resampling = Image.Resampling.LANCZOS if smaller else Image.Resampling.NEAREST
    image = image.resize(size, resampling)
    if image.mode != "RGBA":
        return image.convert("RGB")
    white = Image.new("RGBA", image.size, BACKGROUND)
    return Image.alpha_composite(white, image).convert("RGB")


def _font() -> Font:
    """Return a system font that covers many scripts, or else Pillow's font, which covers few."""
    for name in ("DejaVuSans.ttf", "Arial Unicode.ttf", "Arial.ttf"):
        with suppress(OSError):
            return ImageFont.truetype(name, 12)
    return ImageFont.load_default(12)


def _cut(text: str, width: int, font: Font) -> str:
    """Return the text, shortened to fit into a width."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(f"{text}..") > width:
        text = text[:-1]
    return f"{text}.."
