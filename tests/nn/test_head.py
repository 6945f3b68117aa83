"""The head of a model: its last layer, split into logits and activation."""

from __future__ import annotations

import pytest
import torch

from sepcnn.nn.head import Head, split_head
from tests.nn.layers.reading import read_layer


@pytest.mark.parametrize(
    ("layer", "left", "activation"),
    [
        ("Softmax", None, "softmax"),
        ("Activation: softmax", None, "softmax"),
        ("Activation: sigmoid", None, "sigmoid"),
        ("Dense: {units: 3, activation: softmax}", "Dense: 3", "softmax"),
        ("Dense: {units: 1, activation: sigmoid}", "Dense: 1", "sigmoid"),
        ("Dense: {units: 3, activation: relu}", "Dense: {units: 3, activation: relu}", None),
        ("ReLU", "ReLU", None),
    ],
)
def test_the_activation_is_split_off(layer: str, left: str | None, activation: str | None) -> None:
    expected = read_layer(left) if left else None
    assert split_head(read_layer(layer), 3) == Head(expected, activation, 3)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("activation", "outputs", "classes"),
    [
        *((None, 1, 2), ("sigmoid", 1, 2), ("softmax", 1, 1)),
        *((None, 3, 3), ("softmax", 3, 3), (None, None, None), ("softmax", None, None)),
    ],
)
def test_classes(activation: str | None, outputs: int | None, classes: int | None) -> None:
    assert Head(None, activation, outputs).classes == classes  # type: ignore[arg-type]


def test_one_output_is_the_second_class() -> None:
    ending = Head(None, "sigmoid", 1)
    logits = ending.logits(torch.tensor([[2.0], [-1.0]]))
    assert logits.tolist() == [[0.0, 2.0], [0.0, -1.0]]
    found, expected = (
        ending.apply_activation(logits)[:, 1],
        torch.sigmoid(torch.tensor([2.0, -1.0])),
    )
    torch.testing.assert_close(found, expected)
