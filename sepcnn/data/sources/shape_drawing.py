"""Draws the images of the built-in data set Shapes into arrays."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial, reduce
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

# All are float32; the type hints of NumPy lose the width in sums with Python numbers.
Floats = NDArray[np.floating]

VERSION = "b90838484dadf841"
"""identifies the images in caches and checkpoints; must change if any pixel changes"""

# Number of images drawn together: few enough for the arrays to fit into a processor's cache. It
# is part of the definition of the data, because each chunk has its own random stream.
_CHUNK = 32


# The shapes. Each function takes coordinates of points (y upwards) and returns their signed
# distance to the edge of the shape, negative inside. Away from the edge the distance may be a lower
# bound, because only a band of one pixel around the edge is used. All shapes fit into the unit
# disc, and no rotation turns one into another.


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
    # A point of a five-pointed star is outside at most one edge of its inner pentagon, so the
    # distance is the second largest of the five.
    largest, *others = _edges(x, y, sides=5, apothem=0.31)
    second: Floats = np.full_like(x, -np.inf)
    for distance in others:
        second = np.maximum(second, np.minimum(largest, distance))
        largest = np.maximum(largest, distance)
    return second


def _heart(x: Floats, y: Floats) -> Floats:
    # A square standing on a corner, with a half disc on each of its upper edges.
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
    """Draw the images of one split. The result does not depend on the number of cores.

    Each split ("train", "test" or any other name) of each seed has its own random streams.

    Returns:
        images: uint8 [count, size, size, 3], RGB.
        labels: int64 [count], indices into `CLASS_NAMES`, balanced and shuffled.
    """
    images = np.empty((count, size, size, 3), np.uint8)
    labels = _generator(seed, split, "labels").permutation(np.arange(count) % len(CLASS_NAMES))

    def draw_chunk(start: int) -> None:
        part = slice(start, start + _CHUNK)
        images[part] = _draw_scenes(_generator(seed, split, start), labels[part], size)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        # Reading the results raises the exceptions of the threads.
        list(pool.map(draw_chunk, range(0, count, _CHUNK)))
    return images, labels


def _generator(seed: int, split: str, part: int | str) -> np.random.Generator:
    # A hash, because sums of different seeds, splits and parts could be equal.
    digest = blake2b(repr((seed, split, part)).encode(), digest_size=16).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest, "little")))


def _draw_scenes(
    generator: np.random.Generator, labels: NDArray[np.int64], size: int
) -> NDArray[np.uint8]:
    """Draw one image per label: background, shape, a bar across it, light and noise.

    Returns uint8 [count, size, size, 3].
    """
    count = len(labels)
    uniform = partial(_uniform, generator, (count,))
    # Coordinates go from −1 to 1 between opposite edges of the image.
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

    # The bar passes near the centre of the shape, but is too thin to hide its class.
    across, up = _turn(x - centre_x, y - centre_y, uniform(0, math.tau))
    offset, thickness, reach = uniform(-0.5, 0.5) * radius, uniform(0.02, 0.05), uniform(0.2, 0.6)
    bar = _coverage(_box(across, up - offset, reach, thickness), pixel)

    background, object_colour = _contrasting_colours(generator, count)
    image = _textured(generator, background, x, y)
    image += shape * (_textured(generator, object_colour, x, y) - image)
    image += bar * (_textured(generator, _uniform(generator, (3, count), 0, 1), x, y) - image)
    image *= 1 + uniform(-0.3, 0.3) * x + uniform(-0.3, 0.3) * y
    image += uniform(0.01, 0.08) * generator.standard_normal(image.shape, np.float32)
    return np.moveaxis((image.clip(0, 1) * 255).astype(np.uint8), 0, -1)


def _uniform(
    generator: np.random.Generator, shape: tuple[int, ...], low: float, high: float
) -> Floats:
    """Uniform numbers [*shape, 1, 1], to broadcast over the pixels of images."""
    share = generator.random((*shape, 1, 1), np.float32)
    return low + np.float32(high - low) * share


def _turn(x: Floats, y: Floats, angle: Floats) -> tuple[Floats, Floats]:
    """Rotate coordinates by an angle [count, 1, 1] in radians."""
    cosine, sine = np.cos(angle), np.sin(angle)
    return x * cosine + y * sine, y * cosine - x * sine


def _coverage(distance: Floats, pixel: float) -> Floats:
    """The fraction of each pixel inside the shape, from the distance of its centre to the edge."""
    return (0.5 - distance / pixel).clip(0, 1)


def _contrasting_colours(generator: np.random.Generator, count: int) -> tuple[Floats, Floats]:
    """Two colours [3, count, 1, 1] from 0 to 1 with a minimum distance, anywhere in RGB space."""
    direction = generator.standard_normal((3, count, 1, 1), np.float32)
    direction /= np.linalg.norm(direction, axis=0)
    half = direction * _uniform(generator, (count,), 0.28, 0.45)
    # The centre of both keeps a margin, so that neither leaves 0 to 1.
    margin = abs(half)
    middle = margin + (1 - 2 * margin) * _uniform(generator, (3, count), 0, 1)
    return middle - half, middle + half


def _textured(generator: np.random.Generator, colour: Floats, x: Floats, y: Floats) -> Floats:
    """A colour [3, count, 1, 1] with a wave texture: [3, count, size, size]."""
    uniform = partial(_uniform, generator, (colour.shape[1],))
    along, _ = _turn(x, y, uniform(0, math.tau))
    wave = np.sin(along * uniform(4, 30) + uniform(0, math.tau))
    return colour + _uniform(generator, colour.shape[:2], -0.1, 0.1) * wave
