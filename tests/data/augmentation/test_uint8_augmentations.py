"""Augmentations of uint8 images, compared with NumPy image by image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from sepcnn.data.augmentation import AUGMENTATIONS, Augmentation, augment
from sepcnn.data.augmentation.base import BatchRandom, FillMode
from sepcnn.data.augmentation.flip_and_crop import shift
from sepcnn.data.batch import Batch
from sepcnn.errors import ConfigError
from sepcnn.language.spec import Context, Spec, read_spec
from sepcnn.language.yaml_reader import parse
from sepcnn.randomness import stream

FILLS: list[FillMode] = ["reflect", "nearest", "constant"]
NUMPY_MODES: dict[FillMode, str] = {
    "reflect": "symmetric",
    "nearest": "edge",
    "constant": "constant",
}
EACH = [
    pytest.param("RandomFlip", {}, id="flip"),
    pytest.param("RandomFlip", {"mode": "vertical"}, id="flip-vertical"),
    pytest.param("RandomFlip", {"mode": "horizontal_and_vertical"}, id="flip-both"),
    pytest.param("RandomTranslation", {"height_factor": 0.3}, id="translation"),
    pytest.param("RandomTranslation", {"fill_mode": "constant"}, id="translation-constant"),
    pytest.param("RandomCrop", {}, id="crop"),
    pytest.param("RandomErasing", {"probability": 1.0}, id="erasing"),
]


def augmentation(name: str, **fields: Any) -> Augmentation:
    return AUGMENTATIONS[name].model_validate(fields)  # type: ignore[return-value]


def noise(count: int = 8, height: int = 12, width: int = 10, channels: int = 3) -> torch.Tensor:
    """Random images, uint8 N×H×W×C, all different."""
    numbers = np.random.default_rng(0)
    return torch.tensor(numbers.integers(256, size=(count, height, width, channels), dtype="u1"))


def repeat(image: torch.Tensor, count: int) -> torch.Tensor:
    """Repeat one image: results differ only in the random draws."""
    return image.expand(count, *image.shape).contiguous()


def apply(rule: Augmentation, images: torch.Tensor, seed: int = 0, step: int = 0) -> torch.Tensor:
    return augmented(images, (rule,), seed, step)


def augmented(
    images: torch.Tensor, rules: tuple[Augmentation, ...], seed: int, step: int
) -> torch.Tensor:
    height, width = images.shape[1:3]
    batch = Batch(images, torch.zeros(len(images), dtype=torch.int64))
    return augment(batch, rules, (height, width), seed, step).images


@pytest.mark.parametrize(("name", "fields"), EACH)
@pytest.mark.parametrize("shape", [(8, 12, 10, 3), (3, 7, 9, 1), (1, 16, 16, 4)], ids=str)
def test_dtype_and_shape_are_kept_and_the_input_is_unchanged(
    name: str, fields: dict[str, Any], shape: tuple[int, int, int, int]
) -> None:
    images = noise(*shape)
    before = images.clone()
    found = apply(augmentation(name, **fields), images)
    assert (found.dtype, found.shape) == (torch.uint8, images.shape)
    assert torch.equal(images, before)


@pytest.mark.parametrize(("name", "fields"), EACH)
def test_images_of_a_batch_change_differently(name: str, fields: dict[str, Any]) -> None:
    found = apply(augmentation(name, **fields), repeat(noise(1)[0], 64))
    kinds = len(found.flatten(1).unique(dim=0))
    if name == "RandomFlip":
        assert kinds == (2 if fields.get("mode") in {"horizontal", "vertical"} else 4)
    else:
        assert kinds >= 8


@pytest.mark.parametrize(("name", "fields"), EACH)
def test_a_batch_is_a_function_of_seed_and_step(name: str, fields: dict[str, Any]) -> None:
    rule, images = augmentation(name, **fields), noise(64)
    found = apply(rule, images, seed=3, step=5)
    assert torch.equal(found, apply(rule, images, seed=3, step=5))
    assert not torch.equal(found, apply(rule, images, seed=4, step=5))
    assert not torch.equal(found, apply(rule, images, seed=3, step=6))


def test_without_augmentations_images_are_not_copied() -> None:
    images = noise()
    assert augmented(images, (), 0, 0).data_ptr() == images.data_ptr()


def test_larger_stored_images_are_centre_cropped() -> None:
    images = noise(2, 8, 11, 3)
    batch = Batch(images, torch.zeros(2, dtype=torch.int64))
    assert torch.equal(augment(batch, (), (4, 5), 0, 0).images, images[:, 2:6, 3:8])


def test_augmentations_are_applied_in_order() -> None:
    images = noise(64)
    crop = augmentation("RandomCrop", fill_mode="constant")
    erase = augmentation("RandomErasing", probability=1.0, value=255)
    random = BatchRandom(stream(2, "augment", 9), images.device, (12, 10))
    batch = Batch(images, torch.zeros(len(images), dtype=torch.int64))
    expected = erase.apply(crop.apply(batch, random), random).images
    assert torch.equal(augmented(images, (crop, erase), 2, 9), expected)
    assert not torch.equal(augmented(images, (erase, crop), 2, 9), expected)


# ── shifts ────────────────────────────────────────────────────────────────────────────────────


def shifted(image: NDArray[np.uint8], down: int, right: int, fill: FillMode) -> NDArray[np.uint8]:
    """Shift one image, H×W×C, with the padding of NumPy and a crop."""
    height, width, _ = image.shape
    margins = [(abs(down), abs(down)), (abs(right), abs(right)), (0, 0)]
    padded = np.pad(image, margins, mode=NUMPY_MODES[fill])  # type: ignore[call-overload]
    top, left = abs(down) - down, abs(right) - right
    return padded[top : top + height, left : left + width]  # type: ignore[no-any-return]


@pytest.mark.parametrize("fill", FILLS)
@given(offsets=st.lists(st.tuples(st.integers(-40, 40), st.integers(-40, 40)), min_size=1))
def test_a_shift_equals_padding_and_a_crop_in_numpy(
    fill: FillMode, offsets: list[tuple[int, int]]
) -> None:
    """Also for offsets larger than the image."""
    images = noise(len(offsets), height=6, width=5, channels=2)
    down, right = torch.tensor(offsets).T
    found = shift(images, down, right, fill)
    for image, result, offset in zip(images, found, offsets, strict=True):
        np.testing.assert_array_equal(result, shifted(image.numpy(), *offset, fill))


def offsets_of(found: torch.Tensor, image: torch.Tensor, limit: int) -> set[tuple[int, int]]:
    """The offsets of the results, found by comparison with every shift in NumPy."""
    reach = range(-limit, limit + 1)
    table = {
        shifted(image.numpy(), down, right, "constant").tobytes(): (down, right)
        for down in reach
        for right in reach
    }
    return {table[result.numpy().tobytes()] for result in found}


@pytest.mark.parametrize(
    ("name", "fields", "down", "right"),
    [
        ("RandomTranslation", {"height_factor": 0.1}, 1, 2),
        ("RandomTranslation", {"height_factor": 0.2, "width_factor": 0.05}, 2, 1),
        ("RandomTranslation", {"height_factor": 0.2, "width_factor": 0}, 2, 0),
        ("RandomTranslation", {"height_factor": 0}, 0, 0),
        ("RandomCrop", {"padding": 3}, 3, 3),
    ],
    ids=["share-of-each-side", "two-shares", "only-rows", "nothing", "crop"],
)
def test_every_offset_up_to_the_limit_occurs_and_no_other(
    name: str, fields: dict[str, Any], down: int, right: int
) -> None:
    image = noise(1, height=10, width=20)[0]
    rule = augmentation(name, fill_mode="constant", **fields)
    found = offsets_of(apply(rule, repeat(image, 1000)), image, limit=4)
    rows, columns = range(-down, down + 1), range(-right, right + 1)
    assert found == {(row, column) for row in rows for column in columns}


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("name", ["RandomTranslation", "RandomCrop"])
def test_fill_mode_changes_the_border(name: str, fill: FillMode) -> None:
    """With the same random draws."""
    images = noise(32)
    limit = {"RandomTranslation": {"height_factor": 0.4}, "RandomCrop": {"padding": 4}}[name]
    found = apply(augmentation(name, fill_mode=fill, **limit), images)
    others = [apply(augmentation(name, fill_mode=o, **limit), images) for o in FILLS if o != fill]
    assert not any(torch.equal(found, other) for other in others)
    assert bool((found == 0).all(-1).any()) is (fill == "constant")


# ── flips ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("mode", "axes"),
    [
        ("horizontal", [(), (1,)]),
        ("vertical", [(), (0,)]),
        ("horizontal_and_vertical", [(), (0,), (1,), (0, 1)]),
    ],
)
def test_flips_are_equally_likely(mode: str, axes: list[tuple[int, ...]]) -> None:
    count = 2000
    image = noise(1)[0]
    found = apply(augmentation("RandomFlip", mode=mode), repeat(image, count))
    counts = [int((found == image.flip(axis)).flatten(1).all(1).sum()) for axis in axes]
    assert sum(counts) == count
    # Five standard deviations of a binomial count.
    share = 1 / len(axes)
    assert counts == pytest.approx([count * share] * len(axes), abs=5 * (count * share) ** 0.5)


# ── erasing ───────────────────────────────────────────────────────────────────────────────────


def erased(**fields: Any) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Which pixels of white images are covered, and the height and width of each rectangle."""
    images = torch.full((1000, 40, 50, 3), 255, dtype=torch.uint8)
    found = apply(augmentation("RandomErasing", value=7, **fields), images).numpy()
    assert set(np.unique(found)) <= {7, 255}
    assert (found == found[..., :1]).all()
    covered = found[..., 0] == 7
    sizes = np.stack([covered.any(2).sum(1), covered.any(1).sum(1)], axis=1)
    return covered, sizes


def test_the_erased_pixels_form_one_rectangle() -> None:
    covered, sizes = erased(probability=1.0)
    assert np.array_equal(covered.sum((1, 2)), sizes.prod(1))
    for seen in (covered.any(2), covered.any(1)):
        # Contiguous: one start and one end.
        assert (np.diff(np.pad(seen.astype(int), ((0, 0), (1, 1))), axis=1) == 1).sum(1).max() == 1


@pytest.mark.parametrize("probability", [0.0, 0.25, 0.5, 1.0])
def test_probability_is_the_share_of_erased_images(probability: float) -> None:
    covered, _ = erased(probability=probability)
    chosen = covered.any((1, 2)).mean()
    error = 5 * (probability * (1 - probability) / len(covered)) ** 0.5
    assert chosen == pytest.approx(probability, abs=error)


@pytest.mark.parametrize("area", [(0.02, 0.2), (0.1, 0.1), (0.3, 0.5)], ids=str)
def test_area_and_ratio_stay_within_their_limits(area: tuple[float, float]) -> None:
    ratio = (0.5, 2.0)
    _, sizes = erased(probability=1.0, area=area, ratio=ratio)
    height, width = sizes.T
    # A side is a whole number of pixels, less than one away from what was drawn.
    assert ((height + 1) * (width + 1) > area[0] * 40 * 50).all()
    assert ((height - 1) * (width - 1) < area[1] * 40 * 50).all()
    assert ((height + 1) / (width - 1) > ratio[0]).all()
    assert ((height - 1) / (width + 1) < ratio[1]).all()


def test_rectangles_are_equally_likely_at_every_edge() -> None:
    covered, _ = erased(probability=1.0)
    frequency = covered.mean(0)
    for edges in ((frequency[0], frequency[-1]), (frequency[:, 0], frequency[:, -1])):
        first, last = (edge.mean() for edge in edges)
        assert first > 0
        assert first == pytest.approx(last, rel=0.5)


def test_a_whole_image_can_be_erased() -> None:
    covered, _ = erased(probability=1.0, area=(1.0, 1.0), ratio=(0.8, 0.8))
    assert covered.all()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ("area: [0.3, 0.1]", "expected [lower, upper], lower at most upper, found [0.3, 0.1]"),
        ("area: [0, 0.1]", "expected [lower, upper], both above 0, found [0, 0.1]"),
        ("area: 0.1", "expected [lower, upper], both above 0, found 0.1"),
        ("area: [0.1]", "expected [lower, upper], both above 0, found [0.1]"),
        ("ratio: [true, 2]", "expected [lower, upper], both above 0, found [true, 2]"),
        ("area: [0.1, 1.5]", "'area' must be at most 1, the whole image, found 1.5"),
        ("value: 256", "must be at most 255, found 256"),
    ],
    ids=["order", "zero", "number", "single", "boolean", "share", "grey"],
)
def test_invalid_fields_are_refused(fields: str, message: str) -> None:
    class Section(Spec):
        augment: Augmentation

    with pytest.raises(ConfigError) as caught:
        read_spec(Section, parse(f"augment: {{RandomErasing: {{{fields}}}}}", "c"), Context(Path()))
    assert [problem.message for problem in caught.value.problems] == [message]


def test_ratios_far_from_square_are_possible() -> None:
    _, sizes = erased(probability=1.0, area=(0.02, 0.02), ratio=(200, 200))
    assert {tuple(size) for size in sizes.tolist()} == {(40, 1)}
