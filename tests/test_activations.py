"""Activations beside Keras'."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import torch

from sepcnn.activations import ACTIVATIONS, ActivationFunction

SHAPES = {"features": (4, 6), "image": (2, 5, 3, 4)}


def activation(name: str) -> ActivationFunction:
    return ACTIVATIONS[name]()  # type: ignore[return-value]


def values(shape: tuple[int, ...]) -> torch.Tensor:
    """float64 in torch's order, over all bends of the functions, 0 and 6 included."""
    x = torch.tensor(4 * np.random.default_rng(0).normal(size=shape))
    x.view(-1)[:4] = torch.tensor([0.0, 6.0, -30.0, 30.0])
    return x


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("overwrite", [False, True], ids=["new", "overwrite"])
@pytest.mark.parametrize("name", list(ACTIVATIONS))
def test_the_values_are_those_of_keras(name: str, overwrite: bool, shape: tuple[int, ...]) -> None:
    x = values(shape)
    expected = getattr(keras.activations, name)(x.movedim(1, -1)).movedim(-1, 1)
    found = activation(name).apply(x.clone(), overwrite=overwrite)
    assert found.dtype == torch.float64
    torch.testing.assert_close(found, expected, rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("overwrite", [False, True], ids=["new", "overwrite"])
@pytest.mark.parametrize("name", list(ACTIVATIONS))
def test_the_gradients_are_those_of_keras(name: str, overwrite: bool) -> None:
    x = values((4, 6)).requires_grad_()
    direction = values((4, 6)).flip(0)
    reference = getattr(keras.activations, name)(x)
    # A copy, since a leaf that asks for a gradient cannot be overwritten.
    found = activation(name).apply(x * 1.0, overwrite=overwrite)
    expected = torch.autograd.grad(reference, x, direction)[0]
    torch.testing.assert_close(torch.autograd.grad(found, x, direction)[0], expected)


@pytest.mark.parametrize("name", list(ACTIVATIONS))
def test_the_input_is_left_alone_unless_allowed(name: str) -> None:
    x = values((4, 6))
    before = x.clone()
    activation(name).apply(x)
    assert torch.equal(x, before)


@pytest.mark.parametrize("name", [name for name in ACTIVATIONS if name != "softmax"])
def test_the_memory_format_is_kept(name: str) -> None:
    x = values((2, 5, 3, 4)).contiguous(memory_format=torch.channels_last)
    found = activation(name).apply(x)
    assert found.is_contiguous(memory_format=torch.channels_last)


def test_softmax_is_finite_for_extreme_values() -> None:
    found = activation("softmax").apply(torch.tensor([[1e5, -1e5, 1e5]]))
    assert found.tolist() == [[0.5, 0.0, 0.5]]
