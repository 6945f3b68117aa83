"""Dropout and other random layers: what they draw, and that a resumed run draws the same."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from sepcnn.nn.layers import Dropout
from sepcnn.nn.layers.dropout import RandomModule
from sepcnn.nn.layers.module import begin_step
from sepcnn.nn.schedules import Progress
from sepcnn.randomness import stream
from tests.nn.layers.reading import complaint, read_net
from tests.reference import SideBySide

ONES = torch.ones(50, 40, 10, 10)


def trained(layer: str, seed: int = 0, name: str = "dropout", step: int = 0) -> torch.Tensor:
    """The output of a layer, given as YAML, for ones in one step of a run."""
    net = read_net(f"[{layer.replace('}', f', name: {name}}}')}]", (10, 10, 40)).train()
    begin_step(net, seed, Progress(step, steps_per_epoch=5, total_steps=10))
    return net(ONES)


def dropped(rate: float = 0.3, seed: int = 0, name: str = "dropout", step: int = 0) -> torch.Tensor:
    return trained(f"Dropout: {{rate: {rate}}}", seed, name, step)


SHARED: list[tuple[str, tuple[int, ...]]] = [
    ("SpatialDropout2D: {rate: 0.3}", (50, 40, 1, 1)),
    ("StochasticDepth: {rate: 0.3}", (50, 1, 1, 1)),
    ("Dropout: {rate: 0.3, noise_shape: [null, 1, 1, null]}", (50, 40, 1, 1)),
    ("Dropout: {rate: 0.3, noise_shape: [null, 10, 1, 40]}", (50, 40, 10, 1)),
    ("Dropout: {rate: 0.3, noise_shape: [1, null, null, 1]}", (1, 1, 10, 10)),
]
shared = pytest.mark.parametrize(("layer", "mask"), SHARED, ids=lambda value: str(value))
NOISE = "GaussianNoise: {stddev: 0.5}"
RANDOM = [*(layer for layer, _ in SHARED), NOISE]


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_the_share_is_dropped_and_the_rest_is_scaled(rate: float) -> None:
    found = dropped(rate)
    kept = found != 0
    # 200,000 values: five standard deviations of the share.
    deviation = (rate * (1 - rate) / ONES.numel()) ** 0.5
    assert kept.double().mean().item() == pytest.approx(1 - rate, abs=5 * deviation)
    torch.testing.assert_close(found[kept], torch.full_like(found[kept], 1 / (1 - rate)))


def test_each_image_channel_and_pixel_is_dropped_on_its_own() -> None:
    kept = (dropped(0.5) != 0).double()
    for axes in [(1, 2, 3), (0, 2, 3), (0, 1)]:
        shares = kept.mean(dim=axes)
        deviation = 0.5 / (ONES.numel() / shares.numel()) ** 0.5
        assert (shares - 0.5).abs().max() < 6 * deviation
        assert shares.std() > 0.5 * deviation


def test_draws_depend_only_on_seed_name_and_step() -> None:
    assert torch.equal(dropped(), dropped())
    others = [dropped(seed=1), dropped(name="other"), dropped(step=1)]
    for other in others:
        # Two independent masks of 30% agree on 0.3² + 0.7² of the values.
        assert ((other != 0) == (dropped() != 0)).double().mean() == pytest.approx(0.58, abs=0.01)


@pytest.mark.parametrize("layer", RANDOM)
def test_draws_of_every_random_layer_depend_on_seed_name_and_step(layer: str) -> None:
    found = trained(layer)
    assert torch.equal(found, trained(layer))
    for other in (trained(layer, seed=1), trained(layer, name="b"), trained(layer, step=1)):
        assert not torch.equal(found, other)


@shared
def test_a_mask_is_shared_and_scaled(layer: str, mask: tuple[int, ...]) -> None:
    """Values that share an element of the mask agree; elements of the mask differ."""
    found = trained(layer)
    parts = found[tuple(slice(size) for size in mask)]
    assert torch.equal(found, parts.expand_as(found))
    kept = parts != 0
    torch.testing.assert_close(parts[kept], torch.full_like(parts[kept], 1 / 0.7))
    deviation = (0.3 * 0.7 / kept.numel()) ** 0.5
    assert kept.double().mean().item() == pytest.approx(0.7, abs=3 * deviation)
    for axis, size in enumerate(mask):
        if size > 1:
            assert not torch.equal(parts, parts.roll(1, dims=axis))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("SpatialDropout2D: {rate: 0.3}", "Dropout: {rate: 0.3, noise_shape: [null, 1, 1, null]}"),
        ("StochasticDepth: {rate: 0.3}", "Dropout: {rate: 0.3, noise_shape: [null, 1, 1, 1]}"),
    ],
    ids=["channels", "images"],
)
def test_layers_are_dropout_with_a_noise_shape(one: str, other: str) -> None:
    assert torch.equal(trained(one), trained(other))


@shared
def test_the_gradient_has_the_shared_mask_of_the_value(layer: str, mask: tuple[int, ...]) -> None:
    x = ONES.clone().requires_grad_()
    found = read_net(f"[{layer}]", (10, 10, 40)).train()(x)
    found.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, found)


def test_noise_is_normal_and_its_own_for_each_value() -> None:
    noise = (trained(NOISE) - ONES).double() / 0.5
    count = noise.numel()
    # Five standard deviations of a normal sample's mean, variance and fourth moment (3 ± √96/n).
    assert noise.mean().item() == pytest.approx(0, abs=5 / count**0.5)
    assert noise.var().item() == pytest.approx(1, abs=5 * (2 / count) ** 0.5)
    assert (noise**4).mean().item() == pytest.approx(3, abs=5 * (96 / count) ** 0.5)
    for axis in range(4):
        product = (noise * noise.roll(1, dims=axis)).mean().item()
        assert product == pytest.approx(0, abs=5 / count**0.5)


def test_noise_adds_to_the_value_and_leaves_the_gradient() -> None:
    x = ONES.clone().requires_grad_()
    net = read_net(f"[{NOISE}]", (10, 10, 40)).train()
    begin_step(net, 0, Progress(0, steps_per_epoch=5, total_steps=10))
    found = net(3 * x)
    torch.testing.assert_close(found - 3, trained(NOISE, name="gaussian_noise") - 1)
    found.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, 3 * ONES)


def test_stochastic_depth_takes_features_too() -> None:
    net = read_net("[StochasticDepth: 0.5]", (7,)).train()
    begin_step(net, 0, Progress(0, steps_per_epoch=5, total_steps=10))
    found = net(torch.ones(200, 7))
    assert torch.equal(found, found[:, :1].expand(200, 7))
    assert found.unique().tolist() == [0, 2]


def test_draws_do_not_depend_on_earlier_steps() -> None:
    net = read_net("[Dropout: 0.3]", (10, 10, 40)).train()
    for step in range(3):
        begin_step(net, 0, Progress(step, steps_per_epoch=5, total_steps=10))
        found = net(ONES)
    assert torch.equal(found, dropped(step=2))


def test_the_generator_is_reused_and_restarts_each_step() -> None:
    """A CUDA graph draws from the generator that it was recorded with; the numbers are those of a
    fresh one.
    """
    net = read_net("[{Dropout: {rate: 0.3, name: dropout}}]", (10, 10, 40)).train()
    module = net.get_submodule("dropout")
    assert isinstance(module, RandomModule)
    found = set()
    for step in range(3):
        begin_step(net, 7, Progress(step, steps_per_epoch=5, total_steps=10))
        fresh = stream(7, "dropout", "dropout", step)
        for _ in range(2):
            expected = torch.empty_like(ONES).bernoulli_(0.7, generator=fresh) / 0.7
            assert torch.equal(net(ONES), expected)
        module.restart()
        assert torch.equal(net(ONES), dropped(seed=7, step=step))
        found.add(module.random(ONES.device))
    assert len(found) == 1


def test_parts_of_a_step_differ() -> None:
    net = read_net("[Dropout: 0.3]", (10, 10, 40)).train()
    begin_step(net, 0, Progress(0, steps_per_epoch=5, total_steps=10))
    assert not torch.equal(net(ONES), net(ONES))


def test_the_gradient_has_the_mask_of_the_value() -> None:
    x = ONES.clone().requires_grad_()
    found = Dropout(rate=0.4).build((10, 10, 40))(x)
    found.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, found)


@pytest.mark.parametrize(("rate", "training"), [(0.0, True), (0.5, False)], ids=["none", "eval"])
def test_dropout_is_the_identity(rate: float, training: bool) -> None:
    module = Dropout(rate=rate).build((10, 10, 40)).train(training)
    assert torch.equal(module(ONES), ONES)


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        ("Dropout", {"rate": 0.5}),
        ("Dropout", {"rate": 0.5, "noise_shape": [None, 1, 1, None]}),
        ("SpatialDropout2D", {"rate": 0.5}),
        ("GaussianNoise", {"stddev": 0.5}),
    ],
    ids=str,
)
def test_inference_matches_keras(kind: str, arguments: dict[str, Any]) -> None:
    SideBySide(kind, arguments, (7, 9, 3)).compare(training=False)


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        ("Dropout", {"rate": 0.0, "noise_shape": [None, 1, 1, None]}),
        ("SpatialDropout2D", {"rate": 0.0}),
        ("GaussianNoise", {"stddev": 0.0}),
    ],
    ids=str,
)
def test_training_with_nothing_to_draw_matches_keras(kind: str, arguments: dict[str, Any]) -> None:
    SideBySide(kind, arguments, (7, 9, 3)).compare()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("1", "must be below 1, found 1"),
        ("-0.1", "must be at least 0, found -0.1"),
        ("half", "expected a number, found 'half'"),
    ],
)
def test_refused_rates(value: str, message: str) -> None:
    path, found, _ = complaint(f"[Dropout: {value}]")
    assert (path, found) == ("layers[0].Dropout.rate", message)


NOISE_SHAPE = "expected a list of whole numbers above 0 and null"
SIZES = "null: size of the input, 1: one value for the whole axis, as in [null, 1, 1, null]"


@pytest.mark.parametrize(
    ("layer", "path", "message", "hint"),
    [
        (
            "Dropout: {rate: 0.5, noise_shape: 1}",
            ".Dropout.noise_shape",
            f"{NOISE_SHAPE}, found 1",
            SIZES,
        ),
        (
            "Dropout: {rate: 0.5, noise_shape: [null, 0, 1, true]}",
            ".Dropout.noise_shape",
            f"{NOISE_SHAPE}, found [null, 0, 1, true]",
            SIZES,
        ),
        (
            "Dropout: {rate: 0.5, noise_shape: [1, 1, null]}",
            ".Dropout",
            "noise_shape has 3 sizes for an input of 8×8×3",
            "write 4, batch first, as in [null, 1, 1, null]",
        ),
        (
            "Dropout: {rate: 0.5, noise_shape: []}",
            ".Dropout",
            "noise_shape has 0 sizes for an input of 8×8×3",
            "write 4, batch first, as in [null, 1, 1, null]",
        ),
        (
            "Dropout: {rate: 0.5, noise_shape: [32, 1, 1, null]}",
            ".Dropout",
            "noise_shape starts with 32, but the last batch may be smaller",
            "start with null: each image has its own mask",
        ),
        (
            "Dropout: {rate: 0.5, noise_shape: [null, 1, 4, null]}",
            ".Dropout",
            "noise_shape has 4 for an axis of size 8 in 8×8×3",
            "write null or 1, as in [null, 1, 1, null]",
        ),
        (
            "GaussianNoise: 10",
            ".GaussianNoise.stddev",
            "must be at most 1, found 10",
            "stddev: standard deviation of the noise",
        ),
        (
            "StochasticDepth: 1",
            ".StochasticDepth.rate",
            "must be below 1, found 1",
            "rate: probability that the input of an image is set to 0",
        ),
    ],
    ids=["number", "items", "short", "empty", "batch", "length", "noise", "depth"],
)
def test_refusals(layer: str, path: str, message: str, hint: str) -> None:
    assert complaint(f"[{layer}]") == (f"layers[0]{path}", message, hint)


def test_only_images_have_channels_to_drop() -> None:
    assert complaint("[SpatialDropout2D: 0.5]", (5,)) == (
        "layers[0].SpatialDropout2D",
        "needs an image, but its input is 5 features",
        "move it before the Flatten or global pooling layer",
    )
