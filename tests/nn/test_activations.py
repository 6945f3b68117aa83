"""Activations compared with Keras."""

from __future__ import annotations

import inspect
import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from sepcnn.nn.activations import ACTIVATIONS, ActivationFunction
from tests.reference import keras

SHAPES = {"features": (4, 6), "image": (2, 5, 3, 4)}
BENDS = [0.0, 0.5, 6.0, 3.0, -3.0, -30.0, 30.0, 50.0]
FIELDS: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in ACTIVATIONS),
    ("relu", {"max_value": 6.0}),
    ("relu", {"max_value": 0.5}),
    ("relu", {"negative_slope": 0.3}),
    ("relu", {"threshold": 0.5}),
    ("relu", {"negative_slope": 0.3, "threshold": 0.5}),
    ("relu", {"negative_slope": 0.3, "max_value": 6.0}),
    ("relu", {"negative_slope": 0.3, "max_value": 3.0, "threshold": 0.5}),
    ("relu", {"max_value": 0.5, "threshold": 3.0}),
    ("relu", {"max_value": 0.0}),
    ("leaky_relu", {"negative_slope": 0.01}),
    ("leaky_relu", {"negative_slope": 0.0}),
    ("elu", {"alpha": 0.5}),
    ("elu", {"alpha": 0.0}),
    ("gelu", {"approximate": True}),
]
every_function = pytest.mark.parametrize(
    ("name", "fields"), FIELDS, ids=lambda value: str(value or "") if value != {} else "bare"
)
both_ways = pytest.mark.parametrize("overwrite", [False, True], ids=["new", "overwrite"])


def activation(name: str, **fields: Any) -> ActivationFunction:
    return ACTIVATIONS[name](**fields)  # type: ignore[return-value]


def values(shape: tuple[int, ...]) -> torch.Tensor:
    """Float64 values in torch order: around all kinks of the activations and at large values."""
    x = torch.tensor(4 * np.random.default_rng(0).normal(size=shape))
    x.view(-1)[: len(BENDS)] = torch.tensor(BENDS)
    return x


def keras_values(name: str, x: torch.Tensor, fields: dict[str, Any]) -> torch.Tensor:
    """The function of Keras; for softplus the formula, as in TensorFlow (see below)."""
    if name == "softplus":
        return torch.logaddexp(x, torch.zeros_like(x))
    result: torch.Tensor = getattr(keras.activations, name)(x, **fields)
    return result


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@both_ways
@every_function
def test_the_values_match_keras(
    name: str, fields: dict[str, Any], overwrite: bool, shape: tuple[int, ...]
) -> None:
    x = values(shape)
    expected = keras_values(name, x.movedim(1, -1), fields).movedim(-1, 1)
    found = activation(name, **fields).apply(x.clone(), overwrite=overwrite)
    assert found.dtype == torch.float64
    torch.testing.assert_close(found, expected, rtol=1e-14, atol=1e-15)


@both_ways
@every_function
def test_the_gradients_match_keras(name: str, fields: dict[str, Any], overwrite: bool) -> None:
    x = values((4, 6)).requires_grad_()
    direction = values((4, 6)).flip(0)
    reference = keras_values(name, x, fields)
    # A copy, because a leaf that requires a gradient cannot be overwritten.
    found = activation(name, **fields).apply(x * 1.0, overwrite=overwrite)
    expected = torch.autograd.grad(reference, x, direction)[0]
    actual = torch.autograd.grad(found, x, direction)[0]
    # Exactly at max_value the clip of torch that Keras calls has a slope of 1/2.
    expected = torch.where(x == fields.get("max_value", math.inf), 0.0, expected)
    torch.testing.assert_close(actual, expected, rtol=1e-13, atol=1e-14)


def formula(name: str, x: NDArray[np.float64]) -> NDArray[np.float64]:
    """The docstrings of keras/src/activations/activations.py in NumPy."""
    softplus = np.logaddexp(x, 0)
    sigmoid = np.exp(-np.logaddexp(-x, 0))
    hard_sigmoid = np.clip(x + 3, 0, 6) / 6
    shifted = x - x.max(axis=1, keepdims=True)
    softmax = np.exp(shifted) / np.exp(shifted).sum(axis=1, keepdims=True)
    elu = np.where(x > 0, x, np.expm1(np.minimum(x, 0)))
    selu = np.where(x > 0, x, 1.6732632423543772 * np.expm1(np.minimum(x, 0)))
    normal = np.vectorize(lambda value: math.erfc(-value / math.sqrt(2)) / 2)(x)
    return {
        "linear": x,
        "relu": np.maximum(x, 0),
        "relu6": np.clip(x, 0, 6),
        "leaky_relu": np.where(x > 0, x, 0.2 * x),
        "elu": elu,
        "selu": 1.0507009873554805 * selu,
        "gelu": x * normal,
        "silu": x * sigmoid,
        "swish": x * sigmoid,
        "hard_silu": x * hard_sigmoid,
        "hard_swish": x * hard_sigmoid,
        "hard_sigmoid": hard_sigmoid,
        "mish": x * np.tanh(softplus),
        "sigmoid": sigmoid,
        "tanh": np.tanh(x),
        "softplus": softplus,
        "softsign": x / (1 + np.abs(x)),
        "exponential": np.exp(x),
        "softmax": softmax,
        "log_softmax": shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)),
    }[name]


@pytest.mark.parametrize("name", list(ACTIVATIONS))
def test_the_values_match_the_formula(name: str) -> None:
    """Independent of torch, which Keras also uses in these tests."""
    x = values((4, 6)).clamp(min=-20)  # below −20, gelu of torch loses its last digits
    expected = formula(name, x.numpy())
    np.testing.assert_allclose(activation(name).apply(x).numpy(), expected, rtol=1e-10, atol=1e-16)


def test_softplus_is_exact_for_large_inputs() -> None:
    """TensorFlow's is exact to the type's last bit; torch's, and so Keras' on torch, is x from 20.

    github.com/tensorflow/tensorflow, core/kernels/softplus_op.h: threshold log(epsilon) + 2.
    """
    x = torch.linspace(15, 60, 901, dtype=torch.float64, requires_grad=True)
    found = activation("softplus").apply(x)
    (slope,) = torch.autograd.grad(found.sum(), x)
    exact = np.logaddexp(x.detach().numpy(), 0)
    np.testing.assert_allclose(found.detach().numpy(), exact, rtol=1e-15)
    np.testing.assert_allclose(slope.numpy(), 1 / (1 + np.exp(-x.detach().numpy())), rtol=1e-15)
    assert activation("softplus").apply(torch.tensor([1e4, -1e4])).tolist() == [1e4, 0.0]


@pytest.mark.parametrize("name", list(ACTIVATIONS))
def test_the_defaults_match_keras(name: str) -> None:
    theirs = inspect.signature(getattr(keras.activations, name)).parameters
    fields = activation(name).model_dump()
    assert fields == {key: theirs[key].default for key in fields}
    # Ours act only on the channels.
    assert set(theirs) - set(fields) <= {"x", "axis"}


@pytest.mark.parametrize("name", list(ACTIVATIONS))
def test_the_input_is_not_overwritten_unless_allowed(name: str) -> None:
    x = values((4, 6))
    before = x.clone()
    activation(name).apply(x)
    assert torch.equal(x, before)


@pytest.mark.parametrize("name", [name for name in ACTIVATIONS if "softmax" not in name])
def test_the_memory_format_is_kept(name: str) -> None:
    x = values((2, 5, 3, 4)).contiguous(memory_format=torch.channels_last)
    found = activation(name).apply(x)
    assert found.is_contiguous(memory_format=torch.channels_last)


def test_softmax_is_finite_for_extreme_values() -> None:
    found = activation("softmax").apply(torch.tensor([[1e5, -1e5, 1e5]]))
    assert found.tolist() == [[0.5, 0.0, 0.5]]


def test_log_softmax_is_finite_for_extreme_values() -> None:
    found = activation("log_softmax").apply(torch.tensor([[1e5, -1e5]]))
    assert found.tolist() == [[0.0, -2e5]]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32], ids=str)
@every_function
def test_the_type_is_kept(name: str, fields: dict[str, Any], dtype: torch.dtype) -> None:
    found = activation(name, **fields).apply(torch.tensor([[-1.0, 0.25, 7.0]], dtype=dtype))
    assert found.dtype == dtype
    assert found.isfinite().all()
