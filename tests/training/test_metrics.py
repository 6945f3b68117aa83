"""Metrics on cases small enough to check by hand, and against NumPy formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from sepcnn.training.metrics import (
    CALIBRATION_BINS,
    ClassMetrics,
    MacroMetrics,
    calibration_error,
    confusion_matrix,
    macro,
    per_class,
    top_k,
)

CLASSES = 4


def tensor(*values: object) -> torch.Tensor:
    return torch.tensor(values)


@st.composite
def predictions(draw: st.DrawFn) -> tuple[torch.Tensor, torch.Tensor]:
    """Probabilities float64 N×CLASSES and labels int64 N."""
    count = draw(st.integers(1, 40))
    logits = draw(arrays.arrays(np.float64, (count, CLASSES), elements=st.floats(-20, 20)))
    labels = draw(arrays.arrays(np.int64, count, elements=st.integers(0, CLASSES - 1)))
    return torch.softmax(torch.tensor(logits), dim=1), torch.tensor(labels)


def test_confusion_counts_true_classes_in_rows() -> None:
    predicted, labels = tensor(0, 1, 1, 2, 0), tensor(0, 1, 2, 2, 2)
    assert confusion_matrix(predicted, labels, 3).tolist() == [[1, 0, 0], [0, 1, 0], [1, 1, 1]]


def test_confusion_has_a_row_for_every_class() -> None:
    found = confusion_matrix(tensor(0), tensor(0), 3)
    assert found.dtype == torch.int64
    assert found.tolist() == [[1, 0, 0], [0, 0, 0], [0, 0, 0]]


@given(predictions())
def test_confusion_is_numpys_histogram(case: tuple[torch.Tensor, torch.Tensor]) -> None:
    probabilities, labels = case
    predicted = probabilities.argmax(dim=1)
    expected, _, _ = np.histogram2d(labels, predicted, bins=CLASSES, range=[[0, CLASSES]] * 2)
    assert np.array_equal(confusion_matrix(predicted, labels, CLASSES), expected)


@pytest.mark.parametrize(
    ("confusion", "expected"),
    [
        pytest.param(
            [[3, 1], [2, 4]], [(3 / 5, 3 / 4, 2 / 3, 4), (4 / 5, 2 / 3, 8 / 11, 6)], id="two"
        ),
        pytest.param([[5, 0], [0, 7]], [(1, 1, 1, 5), (1, 1, 1, 7)], id="perfect"),
        pytest.param([[0, 5], [7, 0]], [(0, 0, 0, 5), (0, 0, 0, 7)], id="always-wrong"),
        pytest.param([[2, 0], [3, 0]], [(0.4, 1, 4 / 7, 2), (0, 0, 0, 3)], id="never-claimed"),
        pytest.param([[1, 3], [0, 0]], [(1, 0.25, 0.4, 4), (0, 0, 0, 0)], id="no-images"),
        pytest.param([[4, 0], [0, 0]], [(1, 1, 1, 4), (0, 0, 0, 0)], id="neither"),
    ],
)
def test_precision_recall_f1_and_support(
    confusion: list[list[int]], expected: list[tuple[float, float, float, int]]
) -> None:
    found = per_class(torch.tensor(confusion), ("cat", "dog"))
    for metrics, name, row in zip(found, ("cat", "dog"), expected, strict=True):
        numbers = (metrics.precision, metrics.recall, metrics.f1, metrics.support)
        assert (metrics.name, numbers) == (name, pytest.approx(row, rel=1e-15))


def test_support_is_a_whole_number() -> None:
    (found,) = per_class(torch.tensor([[3]]), ("cat",))
    assert found == ClassMetrics("cat", 1.0, 1.0, 1.0, 3)
    assert isinstance(found.support, int)


def test_macro_metrics_are_means_over_the_classes_with_images() -> None:
    """As scikit-learn's balanced_accuracy_score: a class without images has no recall."""
    confusion = torch.tensor([[90, 0, 10], [5, 5, 0], [0, 0, 0]])
    found = macro(per_class(confusion, ("common", "rare", "none")))
    recall, precision = (0.9 + 0.5) / 2, (90 / 95 + 1) / 2
    f1 = (2 * 90 / (100 + 95) + 2 * 5 / (10 + 5)) / 2
    expected = (precision, recall, f1)
    assert (found.precision, found.recall, found.f1) == pytest.approx(expected, rel=1e-15)


def test_macro_metrics_of_a_net_that_knows_one_class() -> None:
    found = macro(per_class(torch.tensor([[97, 0], [3, 0]]), ("common", "rare")))
    assert found == MacroMetrics(precision=0.97 / 2, recall=0.5, f1=97 / 197)


def test_macro_metrics_of_no_images_are_not_numbers() -> None:
    found = macro(per_class(torch.zeros(2, 2, dtype=torch.int64), ("cat", "dog")))
    assert all(math.isnan(number) for number in (found.precision, found.recall, found.f1))


@given(predictions())
def test_macro_recall_of_classes_of_one_size_is_the_accuracy(
    case: tuple[torch.Tensor, torch.Tensor],
) -> None:
    probabilities, _ = case
    predicted = probabilities.argmax(dim=1).repeat(CLASSES)
    labels = torch.arange(CLASSES).repeat_interleave(len(probabilities))
    confusion = confusion_matrix(predicted, labels, CLASSES)
    accuracy = (predicted == labels).double().mean().item()
    found = macro(per_class(confusion, tuple("abcd")))
    assert found.recall == pytest.approx(accuracy, rel=1e-12)


@pytest.mark.parametrize(
    ("k", "expected"), [(1, 1 / 3), (2, 2 / 3), (3, 1.0), (5, 1.0)], ids=["1", "2", "all", "more"]
)
def test_top_k_with_fewer_classes(k: int, expected: float) -> None:
    probabilities = tensor([0.5, 0.3, 0.2], [0.5, 0.3, 0.2], [0.5, 0.3, 0.2])
    assert top_k(probabilities, tensor(0, 1, 2), k) == pytest.approx(expected)


@given(predictions())
def test_top_k_grows_from_accuracy_to_1(case: tuple[torch.Tensor, torch.Tensor]) -> None:
    shares = [top_k(*case, k) for k in range(1, CLASSES + 1)]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_top_1_is_the_accuracy() -> None:
    numbers = np.random.default_rng(0)
    probabilities, labels = torch.tensor(numbers.random((200, 9))), numbers.integers(9, size=200)
    accuracy = np.mean(probabilities.numpy().argmax(axis=1) == labels)
    assert top_k(probabilities, torch.tensor(labels), 1) == accuracy


@pytest.mark.parametrize(
    ("confidences", "correct", "expected"),
    [
        pytest.param([1.0, 1.0], [True, True], 0.0, id="sure-and-right"),
        pytest.param([1.0, 1.0], [False, False], 1.0, id="sure-and-wrong"),
        pytest.param([0.75, 0.75, 0.75, 0.75], [True, True, True, False], 0.0, id="honest"),
        pytest.param([0.9, 0.6], [True, False], (0.1 + 0.6) / 2, id="two-bins"),
        # Both are in the bin of 12/15 to 13/15, where their errors cancel.
        pytest.param([0.81, 0.85], [True, False], (0.81 + 0.85 - 1) / 2, id="one-bin"),
    ],
)
def test_calibration_error(confidences: list[float], correct: list[bool], expected: float) -> None:
    probabilities = torch.tensor([[p, 1 - p] for p in confidences], dtype=torch.float64)
    labels = torch.tensor([0 if right else 1 for right in correct])
    assert calibration_error(probabilities, labels) == pytest.approx(expected, abs=1e-12)


@given(predictions())
def test_calibration_error_is_the_formula_of_the_paper(
    case: tuple[torch.Tensor, torch.Tensor],
) -> None:
    probabilities, labels = (part.numpy() for part in case)
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == labels
    bins = np.minimum((confidence * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    expected = sum(
        np.mean(bins == b) * abs(confidence[bins == b].mean() - correct[bins == b].mean())
        for b in set(bins)
    )
    found = calibration_error(*case)
    assert found == pytest.approx(expected, abs=1e-12)
    assert 0 <= found <= 1


def test_calibration_error_of_nan_is_nan() -> None:
    probabilities = torch.full((3, CLASSES), math.nan)
    assert math.isnan(calibration_error(probabilities, torch.zeros(3, dtype=torch.int64)))
