"""Augmentations of float images, compared with Keras, Pillow and NumPy formulas."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageOps

from sepcnn.data.augmentation import AUGMENTATIONS, Augmentation, augment
from sepcnn.data.augmentation.base import (
    AlphaPreservingAugmentation,
    BatchRandom,
    FloatAugmentation,
    to_float_nchw,
    to_uint8_nhwc,
)
from sepcnn.data.augmentation.geometry import resample
from sepcnn.data.augmentation.rand_augment import (
    COLOUR_OPERATIONS,
    GEOMETRIC_OPERATIONS,
    OPERATIONS,
    PAPER,
    WIDE,
    OperationRanges,
    matrices,
)
from sepcnn.data.batch import Batch
from sepcnn.errors import DataError
from sepcnn.randomness import stream
from tests.reference import keras

EACH: list[tuple[str, dict[str, Any]]] = [
    ("RandomResizedCrop", {}),
    ("RandomRotation", {"factor": 0.2}),
    ("RandomZoom", {"height_factor": 0.3}),
    ("RandomZoom", {"height_factor": 0.3, "width_factor": 0.2}),
    ("RandomShear", {"x_factor": 0.4, "y_factor": 0.1}),
    ("RandomBrightness", {"factor": 0.9}),
    ("RandomContrast", {"factor": 0.9}),
    ("RandomSaturation", {"factor": 1.0}),
    ("RandomHue", {"factor": 1.0}),
    ("RandomGrayscale", {}),
    ("RandomGaussianBlur", {}),
    ("RandomNoise", {"factor": 0.5}),
    ("RandAugment", {"num_ops": 3, "factor": 1.0}),
    ("TrivialAugment", {}),
    ("MixUp", {"alpha": 1.0}),
    ("CutMix", {}),
]
COLOUR_ONLY = {"RandomSaturation", "RandomHue", "RandomGrayscale"}


def rule(name: str, **fields: Any) -> Augmentation:
    return AUGMENTATIONS[name].model_validate(fields)  # type: ignore[return-value]


def noise(count: int = 8, height: int = 12, width: int = 10, channels: int = 3) -> torch.Tensor:
    """Random images, uint8 N×H×W×C, all different."""
    numbers = np.random.default_rng(0)
    return torch.tensor(numbers.integers(256, size=(count, height, width, channels), dtype="u1"))


def repeat(image: torch.Tensor, count: int) -> torch.Tensor:
    return image.expand(count, *image.shape).contiguous()


def batch_of(images: torch.Tensor) -> Batch:
    return Batch(images, torch.arange(len(images)))


def run(images: torch.Tensor, *rules: Augmentation, seed: int = 0, step: int = 0) -> Batch:
    height, width = images.shape[1:3]
    return augment(batch_of(images), rules, (height, width), seed, step)


def changed(images: torch.Tensor, name: str, **fields: Any) -> NDArray[np.float64]:
    """The result in float64, before it is rounded to uint8."""
    augmentation = rule(name, **fields)
    assert isinstance(augmentation, FloatAugmentation)
    height, width = images.shape[1:3]
    random = BatchRandom(stream(0, "test"), images.device, (height, width))
    planes = to_float_nchw(images).double()
    return augmentation.change(planes, random).permute(0, 2, 3, 1).numpy()


# ── all augmentations ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("name", "fields"), EACH)
@pytest.mark.parametrize("shape", [(8, 12, 10, 3), (3, 7, 9, 1), (1, 16, 16, 4)], ids=str)
def test_dtype_and_shape_are_kept_and_the_input_is_unchanged(
    name: str, fields: dict[str, Any], shape: tuple[int, int, int, int]
) -> None:
    images = noise(*shape)
    before = images.clone()
    found = run(images, rule(name, **fields)).images
    assert (found.dtype, found.shape) == (torch.uint8, images.shape)
    assert torch.equal(images, before)


@pytest.mark.parametrize(("name", "fields"), EACH)
def test_images_of_a_batch_change_differently(name: str, fields: dict[str, Any]) -> None:
    images = repeat(noise(1)[0], 64)
    if name in {"MixUp", "CutMix"}:
        images = images // 2 + torch.arange(64, dtype=torch.uint8)[:, None, None, None]
    found = run(images, rule(name, **fields)).images
    kinds = len(found.flatten(1).unique(dim=0))
    assert kinds == 2 if name == "RandomGrayscale" else kinds >= 8


@pytest.mark.parametrize(("name", "fields"), EACH)
def test_a_batch_is_a_function_of_seed_and_step(name: str, fields: dict[str, Any]) -> None:
    augmentation, images = rule(name, **fields), noise(64)
    found = run(images, augmentation, seed=3, step=5).images
    assert torch.equal(found, run(images, augmentation, seed=3, step=5).images)
    assert not torch.equal(found, run(images, augmentation, seed=4, step=5).images)
    assert not torch.equal(found, run(images, augmentation, seed=3, step=6).images)


@pytest.mark.parametrize(("name", "fields"), EACH)
def test_values_stay_within_0_and_255(name: str, fields: dict[str, Any]) -> None:
    images = noise(64)
    images[::2] = images[::2] // 128 * 255
    if name in {"MixUp", "CutMix"}:
        return
    found = changed(images, name, **fields)
    assert found.min() >= -1e-9
    assert found.max() <= 255 + 1e-9


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("RandomResizedCrop", {"scale": [1, 1], "ratio": [1, 1]}),
        ("RandomRotation", {"factor": 0}),
        ("RandomZoom", {"height_factor": 0}),
        ("RandomShear", {"x_factor": 0}),
        ("RandomBrightness", {"factor": 0}),
        ("RandomContrast", {"factor": 0}),
        ("RandomSaturation", {"factor": [0.5, 0.5]}),
        ("RandomHue", {"factor": 0}),
        ("RandomGrayscale", {"factor": 0}),
        ("RandomGaussianBlur", {"factor": 0}),
        ("RandomGaussianBlur", {"sigma": 0}),
        ("RandomNoise", {"factor": 0}),
    ],
)
def test_a_neutral_factor_changes_nothing(name: str, fields: dict[str, Any]) -> None:
    images = noise(height=10)
    assert torch.equal(run(images, rule(name, **fields)).images, images)


@pytest.mark.parametrize("name", sorted(COLOUR_ONLY))
def test_colour_augmentations_keep_grey_images(name: str) -> None:
    images = noise(channels=1)
    assert torch.equal(run(images, rule(name, factor=1.0)).images, images)


@pytest.mark.parametrize(
    ("name", "fields"),
    [(n, f) for n, f in EACH if issubclass(AUGMENTATIONS[n], AlphaPreservingAugmentation)],
)
def test_alpha_is_kept_and_has_no_influence(name: str, fields: dict[str, Any]) -> None:
    images = noise(channels=4)
    found = run(images, rule(name, **fields)).images
    assert torch.equal(found[..., 3], images[..., 3])
    without = run(images[..., :3].contiguous(), rule(name, **fields)).images
    assert torch.equal(found[..., :3], without)


@pytest.mark.parametrize("name", ["RandomHue", "RandAugment"])
def test_images_of_2_channels_are_refused(name: str) -> None:
    fields = {"factor": 0.1}
    with pytest.raises(DataError) as caught:
        rule(name, **fields).check((8, 8, 2))
    expected = "changes colours: expected 1, 3 or 4 channels, found 2"
    assert caught.value.message == expected


# ── against Keras ─────────────────────────────────────────────────────────────────────────────


def keras_result(images: torch.Tensor, name: str, **fields: Any) -> NDArray[np.float64]:
    layer = getattr(keras.layers, name)(**fields, dtype="float64")
    return np.asarray(layer(images.double().numpy(), training=True).detach())


@pytest.mark.parametrize("fill_mode", ["nearest", "constant"])
@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("RandomRotation", {"factor": (0.07, 0.07)}),
        ("RandomRotation", {"factor": (-0.3, -0.3)}),
        ("RandomZoom", {"height_factor": (0.3, 0.3)}),
        ("RandomZoom", {"height_factor": (-0.3, -0.3), "width_factor": (0.2, 0.2)}),
    ],
)
def test_rotation_and_zoom_equal_keras(name: str, fields: dict[str, Any], fill_mode: str) -> None:
    """Keras on torch does not repeat the edge pixel in `reflect`, which is compared with NumPy."""
    images = noise(3, 13, 10)
    fields = {**fields, "fill_mode": fill_mode, "fill_value": 40.0}
    expected = keras_result(images, name, **fields)
    np.testing.assert_allclose(changed(images, name, **fields), expected, atol=2e-2)


@pytest.mark.parametrize("sign", [1, -1])
def test_shear_equals_keras_with_either_sign(sign: int) -> None:
    images = noise(64, 9, 12)
    fields: dict[str, Any] = {"x_factor": (0.3, 0.3), "y_factor": (0.1, 0.1)}
    ours = changed(images, "RandomShear", fill_mode="nearest", **fields)
    layer = keras.layers.RandomShear(**fields, fill_mode="nearest", dtype="float64")
    shear = {"shear_factor": torch.tensor([[0.3, 0.1]], dtype=torch.float64) * sign}
    pixels = torch.tensor(images.double().numpy())
    theirs = layer.transform_images(pixels, {"shear_factor": shear["shear_factor"].expand(64, 2)})
    same = abs(ours - np.asarray(theirs)).max((1, 2, 3)) < 2e-2
    assert 10 < same.sum() < 54


@pytest.mark.parametrize("factor", [-0.4, 0.0, 0.3])
def test_brightness_equals_keras(factor: float) -> None:
    images, fields = noise(), {"factor": (factor, factor)}
    found = changed(images, "RandomBrightness", **fields)
    expected = keras_result(images, "RandomBrightness", **fields)
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("factor", [0.8, (0.9, 0.2), (0.0, 1.0)])
def test_contrast_equals_keras(factor: Any) -> None:
    """The factors that we drew are passed to Keras, whose code reads a number differently."""
    images = noise()
    lower, upper = factor if isinstance(factor, tuple) else (factor, factor)
    drawn = BatchRandom(stream(0, "test"), images.device, (12, 10)).uniform(8, 1 - lower, 1 + upper)
    layer = keras.layers.RandomContrast(0.5, dtype="float64")
    given = {"contrast_factor": drawn.double()[:, None, None, None]}
    expected = np.asarray(layer.transform_images(images.double(), given))
    np.testing.assert_allclose(
        changed(images, "RandomContrast", factor=factor), expected, atol=1e-4
    )


@pytest.mark.parametrize("factor", [0.0, 0.3, 0.5, 0.8])
def test_saturation_equals_keras(factor: float) -> None:
    """Keras with pixels from 0 to 1, where it clips the saturation to 1."""
    images = noise()
    fields = {"factor": (factor, factor)}
    layer = keras.layers.RandomSaturation(**fields, value_range=(0, 1), dtype="float64")
    expected = np.asarray(layer(images.double().numpy() / 255, training=True).detach()) * 255
    np.testing.assert_allclose(changed(images, "RandomSaturation", **fields), expected, atol=1e-2)


@pytest.mark.parametrize("factor", [0.2, 0.7, 1.0])
def test_hue_equals_keras_with_either_sign(factor: float) -> None:
    images = noise(64)
    layer = keras.layers.RandomHue(factor, dtype="float64")
    found = changed(images, "RandomHue", factor=(factor, factor))
    pixels = images.double()
    same = []
    for sign in (1, -1):
        turn = torch.full((64,), sign * factor / 2, dtype=torch.float64)
        theirs = np.asarray(layer.transform_images(pixels, {"factor": turn}))
        same.append(abs(found - theirs).max((1, 2, 3)) < 1e-2)
    assert (same[0] | same[1]).all()
    assert same[0].any()
    assert same[1].any()


def test_grayscale_equals_keras() -> None:
    images = noise()
    expected = keras_result(images, "RandomGrayscale", factor=1.0)
    np.testing.assert_allclose(changed(images, "RandomGrayscale", factor=1.0), expected, atol=1e-9)


def test_blur_equals_a_gaussian_kernel_away_from_the_edges() -> None:
    images = noise()
    fields: dict[str, Any] = {"factor": (1.0, 1.0), "kernel_size": (3, 5), "sigma": (0.8, 0.8)}
    found = changed(images, "RandomGaussianBlur", **fields)
    offsets = [np.arange(size) - size // 2 for size in (3, 5)]
    down, across = (np.exp(-0.5 * (o / 0.8) ** 2) for o in offsets)
    kernel = np.outer(down / down.sum(), across / across.sum())
    windows = np.lib.stride_tricks.sliding_window_view(images.double().numpy(), (3, 5), (1, 2))
    expected = (windows * kernel).sum((-1, -2))
    np.testing.assert_allclose(found[:, 1:-1, 2:-2], expected, atol=1e-3)


# ── against NumPy ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("fill", "mode"), [("reflect", "symmetric"), ("nearest", "edge")])
def test_resampling_is_bilinear_interpolation_of_a_padded_image(fill: Any, mode: Any) -> None:
    images = noise(2, 6, 5).double()
    matrix = torch.tensor([[0.9, 0.3, -2.2], [-0.4, 1.2, 1.7], [0, 0, 1]], dtype=torch.float64)
    found = resample(images.permute(0, 3, 1, 2), matrix.expand(2, 3, 3), fill)
    pad = 12
    padded = np.pad(images.numpy(), ((0, 0), (pad, pad), (pad, pad), (0, 0)), mode=mode)
    for y in range(6):
        for x in range(5):
            across, down = (matrix.numpy() @ (x, y, 1))[:2] + pad
            left, top = int(across), int(down)
            a, b = across - left, down - top
            corner = padded[:, top : top + 2, left : left + 2]
            rows = corner[:, 0] * (1 - b) + corner[:, 1] * b
            expected = rows[:, 0] * (1 - a) + rows[:, 1] * a
            np.testing.assert_allclose(found[:, :, y, x], expected, atol=1e-9)


def test_consecutive_geometric_augmentations_are_resampled_once() -> None:
    """A rotation and a zoom followed by their inverses change no pixel, edges included."""
    images = noise(4)
    turn = [rule("RandomRotation", factor=[f, f]) for f in (0.1, -0.1)]
    zoom = [rule("RandomZoom", height_factor=[f, f]) for f in (0.6, -0.375)]
    assert torch.equal(run(images, *turn, *zoom).images, images)
    between = rule("RandomBrightness", factor=0)
    assert not torch.equal(run(images, turn[0], between, turn[1]).images, images)


def test_a_resized_crop_equals_pillow() -> None:
    """A crop of 8×8 pixels; Pillow crops at the same fractional offset."""
    images = noise(64, 16, 16)
    augmentation = rule("RandomResizedCrop", scale=[0.25, 0.25], ratio=[1, 1])
    random = BatchRandom(stream(1, "test"), images.device, (4, 4))
    found = augmentation.apply(batch_of(images), random).images
    random = BatchRandom(stream(1, "test"), images.device, (4, 4))
    random.uniform(64), random.uniform(64)
    top, left = (random.uniform(64) * 8 for _ in range(2))
    for image, y, x, result in zip(images, top.tolist(), left.tolist(), found, strict=True):
        box = (x, y, x + 8, y + 8)
        pillow = Image.fromarray(image.numpy()).resize((4, 4), Image.Resampling.BILINEAR, box)
        inner = np.asarray(pillow)[1:-1, 1:-1].astype(int)  # Pillow ignores pixels outside the box
        assert abs(result[1:-1, 1:-1].int().numpy() - inner).max() <= 1


def test_every_crop_position_of_larger_images_occurs() -> None:
    images = noise(200, 6, 7)
    random = BatchRandom(stream(0, "test"), images.device, (4, 4))
    found = rule("RandomCrop", padding=0).apply(batch_of(images), random).images
    places = set()
    for image, result in zip(images, found, strict=True):
        parts = {(y, x) for y in range(3) for x in range(4)}
        places |= {(y, x) for y, x in parts if torch.equal(image[y : y + 4, x : x + 4], result)}
    assert places == {(y, x) for y in range(3) for x in range(4)}


def test_factors_are_uniformly_distributed() -> None:
    images = torch.full((2000, 2, 2, 3), 100, dtype=torch.uint8)
    found = changed(images, "RandomBrightness", factor=(-0.2, 0.4))[:, 0, 0, 0]
    drawn = (found - 100) / 255
    assert -0.2 <= drawn.min() < -0.195
    assert 0.395 < drawn.max() <= 0.4
    assert np.histogram(drawn, 6, (-0.2, 0.4))[0] == pytest.approx([333] * 6, abs=85)


def test_noise_has_the_given_standard_deviation() -> None:
    images = torch.full((4, 64, 64, 3), 128, dtype=torch.uint8)
    found = changed(images, "RandomNoise", factor=(0.1, 0.1))
    assert found.mean() == pytest.approx(128, abs=0.5)
    assert found.std() == pytest.approx(25.5, rel=0.02)


# ── random operations ─────────────────────────────────────────────────────────────────────────

PILLOW = {
    "brightness": ImageEnhance.Brightness,
    "colour": ImageEnhance.Color,
    "contrast": ImageEnhance.Contrast,
    "sharpness": ImageEnhance.Sharpness,
}


@pytest.mark.parametrize("name", COLOUR_OPERATIONS)
@pytest.mark.parametrize("most", [PAPER, WIDE], ids=["paper", "wide"])
def test_operations_equal_pillow(name: str, most: OperationRanges) -> None:
    images = noise(6, 20, 24) // 2 + 30
    strength = torch.linspace(0, 1, 6)
    sign = torch.tensor([1.0, -1, 1, -1, 1, -1])
    found = to_uint8_nhwc(
        COLOUR_OPERATIONS[name](to_float_nchw(images), strength, sign, most)
    ).int()
    for image, s, way, result in zip(images, strength, sign, found, strict=True):
        pillow = Image.fromarray(image.numpy())
        if name in PILLOW:
            expected = PILLOW[name](pillow).enhance(1 + float(s * way) * most.enhancement)
        elif name == "posterize":
            expected = ImageOps.posterize(pillow, 8 - round(float(s) * (8 - most.bits)))
        elif name == "solarize":
            expected = ImageOps.solarize(pillow, 256 * (1 - float(s)))
        else:
            changes = {"auto_contrast": ImageOps.autocontrast, "equalize": ImageOps.equalize}
            expected = changes[name](pillow)
        # Pillow truncates, we round.
        assert abs(result.numpy() - np.asarray(expected).astype(int)).max() <= 2


def test_geometric_operations_have_the_strength_of_the_paper() -> None:
    places, amount = torch.arange(len(GEOMETRIC_OPERATIONS)), torch.ones(len(GEOMETRIC_OPERATIONS))
    shear_x, shear_y, right, down, turn = matrices(places, amount, (20, 40), PAPER)
    assert shear_x[0].tolist() == pytest.approx([1, 0.3, 0])
    assert shear_y[1].tolist() == pytest.approx([0.3, 1, 0])
    assert right[:2, 2].tolist() == pytest.approx([40 * 150 / 331, 0])
    assert down[:2, 2].tolist() == pytest.approx([0, 20 * 150 / 331])
    assert turn[0, :2].tolist() == pytest.approx([np.cos(np.pi / 6), -0.5])


def test_operations_are_equally_likely() -> None:
    """1/14 each. Autocontrast and equalize have no strength, so their results are known."""
    image = noise(1, 16, 16)[0] // 2 + 128
    found = run(repeat(image, 2800), rule("TrivialAugment")).images
    for change in (ImageOps.autocontrast, ImageOps.equalize):
        expected = np.asarray(change(Image.fromarray(image.numpy()))).astype(int)
        is_equal = abs(found.int().numpy() - expected).max((1, 2, 3)) <= 1
        assert is_equal.sum() == pytest.approx(200, abs=70)
    assert len(OPERATIONS) == 14


# ── mixing ────────────────────────────────────────────────────────────────────────────────────


def test_mixup_mixes_images_and_labels_with_the_same_share() -> None:
    images = noise(64)
    found = run(images, rule("MixUp", alpha=1.0))
    assert found.second_labels is not None
    assert found.first_shares is not None
    share = found.first_shares.double()[:, None, None, None]
    expected = share * images + (1 - share) * images[found.second_labels]
    assert (found.images - expected).abs().max() <= 0.51
    assert sorted(found.second_labels.tolist()) == list(range(64))
    assert torch.equal(found.labels, torch.arange(64))


def test_shares_of_mixup_have_the_moments_of_beta() -> None:
    images = torch.zeros(4000, 1, 1, 1, dtype=torch.uint8)
    for alpha in (0.2, 1.0, 5.0):
        shares = run(images, rule("MixUp", alpha=alpha)).first_shares
        assert shares is not None
        assert float(shares.mean()) == pytest.approx(0.5, abs=0.03)
        assert float(shares.var()) == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.1)


def test_shares_of_cutmix_are_the_uncovered_area() -> None:
    images = torch.arange(64, dtype=torch.uint8)[:, None, None, None].expand(64, 12, 10, 3)
    found = run(images.contiguous(), rule("CutMix", factor=[1, 1]))
    assert found.second_labels is not None
    assert found.first_shares is not None
    own = found.images[..., 0] == found.labels[:, None, None]
    others = found.images[..., 0] == found.second_labels[:, None, None]
    assert (own | others).all()
    apart = found.labels != found.second_labels
    shares = own.float().mean((1, 2))
    torch.testing.assert_close(shares[apart], found.first_shares[apart])
    assert 0.2 < float(found.first_shares.std()) < 0.35


def test_shares_of_cutmix_refer_to_the_centre_crop() -> None:
    """The edges of larger stored images are cropped before mixing."""
    images = torch.arange(64, dtype=torch.uint8)[:, None, None, None].expand(64, 30, 20, 1)
    batch = Batch(images.contiguous(), torch.arange(64))
    found = augment(batch, (rule("CutMix", factor=[1, 1]),), (12, 10), seed=0, step=0)
    assert found.images.shape == (64, 12, 10, 1)
    assert found.first_shares is not None
    assert found.second_labels is not None
    own = (found.images[..., 0] == found.labels[:, None, None]).float().mean((1, 2))
    apart = found.labels != found.second_labels
    torch.testing.assert_close(own[apart], found.first_shares[apart])


def test_one_mixing_augmentation_is_drawn_per_batch() -> None:
    """Each of the two is used for about half of the batches."""
    images = noise(16)
    rules = rule("RandomFlip"), rule("MixUp", alpha=1.0), rule("CutMix")
    by_cutmix = 0
    for step in range(40):
        found = run(images, *rules, step=step)
        assert found.first_shares is not None
        pixels = found.first_shares * 120
        by_cutmix += bool((pixels - pixels.round()).abs().max() < 1e-4)
    assert 10 < by_cutmix < 30
