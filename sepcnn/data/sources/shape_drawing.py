"""Draws the built-in data set Shapes into arrays; files, augmentation and batches are elsewhere."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial, reduce
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

# All are float32; the type hints of NumPy lose the width in sums with Python's numbers.
Floats = NDArray[np.floating]

VERSION = "b90838484dadf841"
"""identifies the drawn images in caches and checkpoints: a change of any pixel needs a new one"""

# Images drawn together: few enough for the work to stay in a processor's cache. It is part of
# the definition of the data, as each chunk has its own random stream.
_CHUNK = 32


# The kinds. Each function takes the coordinates of points (y upwards) and gives their signed
# distance to the edge of the shape, negative inside. Away from the edge the distance may be a lower
# bound, since only the band one pixel wide around the edge is looked at. All fit the unit disc,
# and no rotation turns one kind into another.


def _union(one: Floats, other: Floats) -> Floats:
    return np.minimum(one, other)


def _overlap(one: Floats, other: Floats) -> Floats:
    return np.maximum(one, other)


def _disc(x: Floats, y: Floats, radius: float) -> Floats:
    return np.hypot(x, y) - radius


def _box(x: Floats, y: Floats, reach_x: float | Floats, reach_y: float | Floats) -> Floats:
    return _overlap(abs(x) - reach_x, abs(y) - reach_y)


def _edges(x: Floats, y: Floats, sides: int, apothem: float) -> list[Floats]:
    """Signed distances to the lines through the edges of a regular polygon."""
    turns = [math.tau * side / sides for side in range(sides)]
    return [x * math.cos(turn) + y * math.sin(turn) - apothem for turn in turns]


def _polygon(x: Floats, y: Floats, sides: int, apothem: float) -> Floats:
    return reduce(_overlap, _edges(x, y, sides, apothem))


def _star(x: Floats, y: Floats) -> Floats:
    # A point of a five-pointed star is outside at most one edge of the pentagon at its core, so
    # the second largest of the five distances decides.
    largest, *others = _edges(x, y, sides=5, apothem=0.31)
    second: Floats = np.full_like(x, -np.inf)
    for distance in others:
        second = np.maximum(second, np.minimum(largest, distance))
        largest = np.maximum(largest, distance)
    return second


def _heart(x: Floats, y: Floats) -> Floats:
    # A square on its corner, with a half disc on each of its upper edges.
    x, y = abs(x), y + 0.1
    square = (x + abs(y) - 0.75) * math.sqrt(0.5)
    return _union(square, _disc(x - 0.375, y - 0.375, radius=0.75 * math.sqrt(0.5)))


def _cross(x: Floats, y: Floats) -> Floats:
    return _union(_box(x, y, 0.9, 0.28), _box(x, y, 0.28, 0.9))


def _ring(x: Floats, y: Floats) -> Floats:
    return abs(_disc(x, y, radius=0.68)) - 0.2


def _crescent(x: Floats, y: Floats) -> Floats:
    return _overlap(_disc(x, y, radius=0.92), -_disc(x - 0.5, y, radius=0.75))


def _arrow(x: Floats, y: Floats) -> Floats:
    shaft = _box(x + 0.3, y, 0.6, 0.2)
    head = _overlap(0.1 - x, (x + abs(y) - 0.95) * math.sqrt(0.5))
    return _union(shaft, head)


_KINDS: dict[str, Callable[[Floats, Floats], Floats]] = {
    "circle": partial(_disc, radius=0.85),
    "triangle": partial(_polygon, sides=3, apothem=0.5),
    "square": partial(_box, reach_x=0.7, reach_y=0.7),
    "hexagon": partial(_polygon, sides=6, apothem=0.8),
    "star": _star,
    "heart": _heart,
    "cross": _cross,
    "ring": _ring,
    "crescent": _crescent,
    "arrow": _arrow,
}

CLASS_NAMES: tuple[str, ...] = tuple(_KINDS)


def draw(
    seed: int, split: str, count: int, size: int = 64
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Draw the images of one split, the same for the same arguments whatever the machine's cores.

    Each split ("train", "test" or any other name) of each seed has its own random streams.

    Returns:
        images: uint8 [count, size, size, 3], RGB.
        labels: int64 [count], places in `CLASS_NAMES`, balanced and shuffled.
    """
    images = np.empty((count, size, size, 3), np.uint8)
    labels = _generator(seed, split, "labels").permutation(np.arange(count) % len(CLASS_NAMES))

    def draw_chunk(start: int) -> None:
        part = slice(start, start + _CHUNK)
        images[part] = _draw_scenes(_generator(seed, split, start), labels[part], size)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        # Going through the results raises here what a thread raised.
        list(pool.map(draw_chunk, range(0, count, _CHUNK)))
    return images, labels


def _generator(seed: int, split: str, part: int | str) -> np.random.Generator:
    # Hashed, so that no two of seed, split and part can meet in one stream, as sums could.
    digest = blake2b(repr((seed, split, part)).encode(), digest_size=16).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest, "little")))


def _draw_scenes(
    generator: np.random.Generator, labels: NDArray[np.int64], size: int
) -> NDArray[np.uint8]:
    """Draw one image [size, size, 3] for each label: background, object, bar across it, light."""
    count = len(labels)
    uniform = partial(_uniform, generator, (count,))
    # Lengths are in halves of the image's side: its middle is the origin, its edges are at 1.
    along = (2 * np.arange(size, dtype=np.float32) + 1) / size - 1
    x, y = along, -along[:, None]
    pixel = 2 / size

    radius = uniform(0.38, 0.68)
    centre_x, centre_y = uniform(-1, 1) * (0.95 - radius), uniform(-1, 1) * (0.95 - radius)
    across, up = _turn(x - centre_x, y - centre_y, uniform(0, math.tau))
    distance = np.empty((count, size, size), np.float32)
    for kind, measure in enumerate(_KINDS.values()):
        chosen = labels == kind
        distance[chosen] = measure(across[chosen] / radius[chosen], up[chosen] / radius[chosen])
    shape = _coverage(distance * radius, pixel)

    # The bar passes near the object's middle, but is too thin to hide what kind it is.
    across, up = _turn(x - centre_x, y - centre_y, uniform(0, math.tau))
    offset, thickness, reach = uniform(-0.5, 0.5) * radius, uniform(0.02, 0.05), uniform(0.2, 0.6)
    bar = _coverage(_box(across, up - offset, reach, thickness), pixel)

    background, object_colour = _contrasting_colours(generator, count)
    image = _coat(generator, background, x, y)
    image += shape * (_coat(generator, object_colour, x, y) - image)
    image += bar * (_coat(generator, _uniform(generator, (3, count), 0, 1), x, y) - image)
    image *= 1 + uniform(-0.3, 0.3) * x + uniform(-0.3, 0.3) * y
    image += uniform(0.01, 0.08) * generator.standard_normal(image.shape, np.float32)
    return np.moveaxis((image.clip(0, 1) * 255).astype(np.uint8), 0, -1)


def _uniform(
    generator: np.random.Generator, shape: tuple[int, ...], low: float, high: float
) -> Floats:
    """Random numbers [*shape, 1, 1], to be spread over the pixels of images."""
    share = generator.random((*shape, 1, 1), np.float32)
    return low + np.float32(high - low) * share


def _turn(x: Floats, y: Floats, angle: Floats) -> tuple[Floats, Floats]:
    """Coordinates along and across a direction [count, 1, 1] in radians."""
    cosine, sine = np.cos(angle), np.sin(angle)
    return x * cosine + y * sine, y * cosine - x * sine


def _coverage(distance: Floats, pixel: float) -> Floats:
    """The share of each pixel that is inside, given its middle's distance to the edge."""
    return (0.5 - distance / pixel).clip(0, 1)


def _contrasting_colours(generator: np.random.Generator, count: int) -> tuple[Floats, Floats]:
    """Two colours [3, count, 1, 1] from 0 to 1, well apart but anywhere in the colour space."""
    direction = generator.standard_normal((3, count, 1, 1), np.float32)
    direction /= np.linalg.norm(direction, axis=0)
    half = direction * _uniform(generator, (count,), 0.28, 0.45)
    # The middle keeps as far from 0 and 1 as the colours are from it.
    room = abs(half)
    middle = room + (1 - 2 * room) * _uniform(generator, (3, count), 0, 1)
    return middle - half, middle + half


def _coat(generator: np.random.Generator, colour: Floats, x: Floats, y: Floats) -> Floats:
    """A colour [3, count, 1, 1] spread over images [3, count, size, size] with a wavy texture."""
    uniform = partial(_uniform, generator, (colour.shape[1],))
    along, _ = _turn(x, y, uniform(0, math.tau))
    wave = np.sin(along * uniform(4, 30) + uniform(0, math.tau))
    return colour + _uniform(generator, colour.shape[:2], -0.1, 0.1) * wave
