"""Losses compared with Keras, in value and gradient."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from sepcnn.nn.losses import LOSSES, Loss
from tests.reference import keras

CLASSES = 7


def loss(name: str, **fields: Any) -> Loss:
    return LOSSES[name](**fields)  # type: ignore[return-value]


def batch(count: int = 16, classes: int = CLASSES) -> tuple[torch.Tensor, torch.Tensor]:
    """Float64 logits count×classes that require a gradient, and int64 labels."""
    numbers = np.random.default_rng(0)
    logits = torch.tensor(2 * numbers.normal(size=(count, classes)), requires_grad=True)
    return logits, torch.tensor(numbers.integers(classes, size=count))


def value_and_gradient(value: torch.Tensor, logits: torch.Tensor) -> tuple[float, torch.Tensor]:
    return value.item(), torch.autograd.grad(value, logits)[0]


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("from_logits", [False, True], ids=["probabilities", "logits"])
def test_categorical_crossentropy_matches_keras(from_logits: bool, smoothing: float) -> None:
    logits, labels = batch()
    theirs = keras.losses.CategoricalCrossentropy(
        from_logits=from_logits, label_smoothing=smoothing, dtype="float64"
    )
    outputs = logits if from_logits else torch.softmax(logits, dim=1)
    targets = torch.eye(CLASSES, dtype=torch.float64)[labels]
    expected, expected_gradient = value_and_gradient(theirs(targets, outputs), logits)
    ours = loss("categorical_crossentropy", from_logits=from_logits, label_smoothing=smoothing)
    found, gradient = value_and_gradient(ours(logits, labels), logits)
    assert found == pytest.approx(expected, rel=1e-12)
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("from_logits", [False, True], ids=["probabilities", "logits"])
def test_the_sparse_loss_matches_keras(from_logits: bool) -> None:
    logits, labels = batch()
    theirs = keras.losses.SparseCategoricalCrossentropy(from_logits=from_logits, dtype="float64")
    outputs = logits if from_logits else torch.softmax(logits, dim=1)
    expected, expected_gradient = value_and_gradient(theirs(labels, outputs), logits)
    ours = loss("sparse_categorical_crossentropy", from_logits=from_logits)
    found, gradient = value_and_gradient(ours(logits, labels), logits)
    assert found == pytest.approx(expected, rel=1e-12)
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize(
    ("alpha", "gamma"),
    [
        *((0.25, 2.0), (1.0, 0.0), (0.5, 0.5), (2.0, 1.0), (0.25, 3.5)),
        ([0.125, 0.25, 0.375, 0.5, 1.0, 1.5, 2.0], 2.0),
    ],
)
@pytest.mark.parametrize("from_logits", [False, True], ids=["probabilities", "logits"])
def test_categorical_focal_crossentropy_matches_keras(
    from_logits: bool, alpha: float | list[float], gamma: float, smoothing: float
) -> None:
    logits, labels = batch()
    fields: dict[str, Any] = {"from_logits": from_logits, "alpha": alpha, "gamma": gamma}
    fields["label_smoothing"] = smoothing
    theirs = keras.losses.CategoricalFocalCrossentropy(**fields, dtype="float64")
    outputs = logits if from_logits else torch.softmax(logits, dim=1)
    targets = torch.eye(CLASSES, dtype=torch.float64)[labels]
    expected, expected_gradient = value_and_gradient(theirs(targets, outputs), logits)
    ours = loss("categorical_focal_crossentropy", **fields)
    found, gradient = value_and_gradient(ours(logits, labels), logits)
    assert found == pytest.approx(expected, rel=1e-12)
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-11, atol=1e-14)


BINARY = [
    ("BinaryCrossentropy", {}),
    ("BinaryCrossentropy", {"label_smoothing": 0.1}),
    ("BinaryCrossentropy", {"label_smoothing": 0.5}),
    ("BinaryFocalCrossentropy", {}),
    ("BinaryFocalCrossentropy", {"gamma": 0.0}),
    ("BinaryFocalCrossentropy", {"gamma": 0.5, "label_smoothing": 0.1}),
    ("BinaryFocalCrossentropy", {"gamma": 3.5, "alpha": 0.9}),
    ("BinaryFocalCrossentropy", {"apply_class_balancing": True}),
    ("BinaryFocalCrossentropy", {"apply_class_balancing": True, "alpha": 1.0, "gamma": 1.0}),
    (
        "BinaryFocalCrossentropy",
        {"apply_class_balancing": True, "alpha": 0.4, "label_smoothing": 0.2},
    ),
]
NAMES = {"BinaryCrossentropy": "binary_crossentropy"}
NAMES["BinaryFocalCrossentropy"] = "binary_focal_crossentropy"


@pytest.mark.parametrize(("keras_name", "fields"), BINARY, ids=str)
@pytest.mark.parametrize("from_logits", [False, True], ids=["probabilities", "logits"])
def test_binary_losses_of_one_output_match_keras(
    keras_name: str, fields: dict[str, Any], from_logits: bool
) -> None:
    z, _ = batch(classes=1)
    labels = torch.arange(len(z)) % 3 % 2  # more of one class than of the other
    theirs = getattr(keras.losses, keras_name)(from_logits=from_logits, dtype="float64", **fields)
    output = z if from_logits else torch.sigmoid(z)
    expected, expected_gradient = value_and_gradient(theirs(labels[:, None], output), z)
    ours = loss(NAMES[keras_name], from_logits=from_logits, **fields)
    logits = torch.cat([torch.zeros_like(z), z], dim=1)
    found, gradient = value_and_gradient(ours(logits, labels), z)
    assert found == pytest.approx(expected, rel=1e-12)
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize(("keras_name", "fields"), BINARY, ids=str)
def test_binary_losses_of_two_outputs_with_a_softmax(
    keras_name: str, fields: dict[str, Any]
) -> None:
    """Keras takes the mean over both outputs, against one-hot labels."""
    ours = loss(NAMES[keras_name], **fields)
    logits, labels = batch(classes=2)
    targets = torch.eye(2, dtype=torch.float64)[labels]
    theirs = getattr(keras.losses, keras_name)(dtype="float64", **fields)
    expected, expected_gradient = value_and_gradient(theirs(targets, logits.softmax(1)), logits)
    found, gradient = value_and_gradient(ours(logits, labels), logits)
    if ours.needs_one_output:
        assert abs(found - expected) > 1e-3
        return
    assert found == pytest.approx(expected, rel=1e-12)
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-11, atol=1e-14)
    smoothing = fields.get("label_smoothing", 0.0)
    if keras_name == "BinaryCrossentropy":
        categorical = loss("categorical_crossentropy", label_smoothing=smoothing)
        assert found == pytest.approx(categorical(logits, labels).item(), rel=1e-14)


@pytest.mark.parametrize("label", [0, 1])
@pytest.mark.parametrize("z", [-100.0, -40.0, 40.0, 100.0])
@pytest.mark.parametrize("balanced", [None, False, True], ids=["plain", "focal", "balanced"])
def test_extreme_logits_of_one_output(balanced: bool | None, z: float, label: int) -> None:
    """The formulas of Keras in NumPy, in terms of 1 − p: q = sigmoid(−s)."""
    sign = 2 * label - 1
    crossentropy, missing = np.logaddexp(0, -sign * z), np.exp(-np.logaddexp(0, sign * z))
    slope = -sign * missing
    if balanced is None:
        ours = loss("binary_crossentropy")
    else:
        ours = loss("binary_focal_crossentropy", apply_class_balancing=balanced)
        weight = (0.25 if label else 0.75) if balanced else 1.0
        # d(missing²)/dz = −sign · 2 · missing² · (1 − missing)
        rise = -sign * 2 * missing**2 * np.exp(-np.logaddexp(0, -sign * z))
        slope = weight * (rise * crossentropy + missing**2 * slope)
        crossentropy = weight * missing**2 * crossentropy
    logits = torch.tensor([[0.0, z]], dtype=torch.float64, requires_grad=True)
    value, gradient = value_and_gradient(ours(logits, torch.tensor([label])), logits)
    assert value == pytest.approx(crossentropy, rel=1e-10, abs=1e-300)
    assert gradient[0].tolist() == pytest.approx([-slope, slope], rel=1e-10, abs=1e-300)


@pytest.mark.parametrize("name", list(LOSSES))
def test_the_defaults_match_keras(name: str) -> None:
    theirs = getattr(keras.losses, type(loss(name)).__name__)().get_config()
    ours = loss(name).model_dump()
    if name.startswith("sparse"):
        del ours["label_smoothing"]  # the sparse loss of Keras has none
    assert {key: theirs[key] for key in ours} == ours


@pytest.mark.parametrize("label", [0, 1])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_binary_focal_certainty_has_a_finite_gradient(
    dtype: torch.dtype, gamma: float, label: int
) -> None:
    logits = torch.tensor([[0.0, 1e4 * (2 * label - 1)]], dtype=dtype, requires_grad=True)
    ours = loss("binary_focal_crossentropy", gamma=gamma)
    value, gradient = value_and_gradient(ours(logits, torch.tensor([label])), logits)
    assert (value, gradient.tolist()) == (0, [[0, 0]])


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_focal_certainty_has_a_finite_gradient(
    dtype: torch.dtype, smoothing: float, gamma: float
) -> None:
    """1 − p is 0 for the first class, and the slope of its root would be infinite."""
    logits = torch.tensor([[1e4, -1e4, 0.0]], dtype=dtype, requires_grad=True)
    ours = loss("categorical_focal_crossentropy", alpha=1, gamma=gamma, label_smoothing=smoothing)
    value, gradient = value_and_gradient(ours(logits, torch.tensor([0])), logits)
    # The other classes in the smoothed target have p = 0: their loss is plain cross-entropy.
    share = smoothing / 3
    assert value == pytest.approx(share * 3e4)
    expected = torch.tensor([[2 * share, -share, -share]], dtype=dtype)
    torch.testing.assert_close(gradient, expected)


@pytest.mark.parametrize("name", list(LOSSES))
def test_the_mean_is_over_the_batch(name: str) -> None:
    logits, labels = batch(classes=2)
    ours = loss(name, label_smoothing=0.1)
    single = [ours(logits[i : i + 1], labels[i : i + 1]) for i in range(len(labels))]
    torch.testing.assert_close(ours(logits, labels), torch.stack(single).mean())


@pytest.mark.parametrize("name", list(LOSSES))
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_a_confident_mistake_has_an_exact_loss_and_gradient(name: str, dtype: torch.dtype) -> None:
    """Keras on torch clips the probability at 1e-7, and its gradient is then 0."""
    logits = torch.tensor([[-1e4, 1e4, 0.0]], dtype=dtype, requires_grad=True)
    ours = loss(name, alpha=1) if "focal" in name else loss(name)
    value, gradient = value_and_gradient(ours(logits, torch.tensor([0])), logits)
    assert value == 2e4
    assert gradient.tolist() == [[-1.0, 1.0, 0.0]]


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_a_confident_success_has_the_loss_of_the_smoothed_target(smoothing: float) -> None:
    logits = torch.tensor([[300.0, 0.0, 0.0]])
    value = loss("categorical_crossentropy", label_smoothing=smoothing)(logits, torch.tensor([0]))
    assert value.item() == pytest.approx(smoothing * 2 / 3 * 300)
