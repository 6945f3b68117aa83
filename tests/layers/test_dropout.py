"""Dropout: what it drops, and that a resumed run drops the same."""

from __future__ import annotations

import pytest
import torch

from sepcnn.layers import Dropout
from sepcnn.layers.base import begin_step
from sepcnn.schedules import Progress
from tests.layers.reading import complaint, read_net
from tests.reference import SideBySide

ONES = torch.ones(50, 40, 10, 10)


def dropped(rate: float = 0.3, seed: int = 0, name: str = "dropout", step: int = 0) -> torch.Tensor:
    module = read_net(f"[Dropout: {{rate: {rate}, name: {name}}}]", (10, 10, 40)).train()
    begin_step(module, seed, Progress(step, steps_per_epoch=5, total_steps=10))
    return module(ONES)


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


def test_seed_name_and_step_alone_decide() -> None:
    assert torch.equal(dropped(), dropped())
    others = [dropped(seed=1), dropped(name="other"), dropped(step=1)]
    for other in others:
        # Two independent masks of 30% agree on 0.3² + 0.7² of the values.
        assert ((other != 0) == (dropped() != 0)).double().mean() == pytest.approx(0.58, abs=0.01)


def test_earlier_steps_change_nothing() -> None:
    net = read_net("[Dropout: 0.3]", (10, 10, 40)).train()
    for step in range(3):
        begin_step(net, 0, Progress(step, steps_per_epoch=5, total_steps=10))
        found = net(ONES)
    assert torch.equal(found, dropped(step=2))


def test_parts_of_a_step_differ() -> None:
    net = read_net("[Dropout: 0.3]", (10, 10, 40)).train()
    begin_step(net, 0, Progress(0, steps_per_epoch=5, total_steps=10))
    assert not torch.equal(net(ONES), net(ONES))


def test_the_gradient_passes_where_the_value_did() -> None:
    x = ONES.clone().requires_grad_()
    found = Dropout(rate=0.4).build((10, 10, 40))(x)
    found.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, found)


@pytest.mark.parametrize(("rate", "training"), [(0.0, True), (0.5, False)], ids=["none", "eval"])
def test_nothing_is_dropped(rate: float, training: bool) -> None:
    module = Dropout(rate=rate).build((10, 10, 40)).train(training)
    assert torch.equal(module(ONES), ONES)


def test_inference_is_keras() -> None:
    SideBySide("Dropout", {"rate": 0.5}, (7, 9, 3)).compare(training=False)


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
