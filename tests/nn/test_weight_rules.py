"""Regularizers, constraints and frozen layers compared with Keras, alone and in training."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sepcnn.backends import machine
from sepcnn.config.loading import load_config
from sepcnn.nn.constraints import CONSTRAINTS, Constraint
from sepcnn.nn.layers.base import Shape
from sepcnn.nn.layers.module import constrain, penalty
from sepcnn.nn.losses import CategoricalCrossentropy
from sepcnn.nn.optimizers import OPTIMIZERS
from sepcnn.nn.regularizers import REGULARIZERS, Regularizer
from sepcnn.training import loop
from sepcnn.training.evaluation import score
from sepcnn.training.state import new_state
from tests.nn.layers.reading import complaint, read_net
from tests.reference import assert_close, channels_first, float64, keras, paired_weights
from tests.runs import write_config

MATRIX, KERNEL, VECTOR = (5, 4), (3, 2, 4, 5), (6,)


def drawn(shape: Shape, seed: int = 0) -> torch.Tensor:
    return torch.tensor(np.random.default_rng(seed).normal(size=shape))


# ── one weight ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("name", "fields", "shape"),
    [
        ("l1", {}, KERNEL),
        ("l1", {"l1": 0.3}, VECTOR),
        ("l2", {}, MATRIX),
        ("l2", {"l2": 0.0}, KERNEL),
        ("l1_l2", {"l2": 0.2}, MATRIX),
        ("l1_l2", {"l1": 0.2, "l2": 0.7}, KERNEL),
        ("orthogonal_regularizer", {}, MATRIX),
        ("orthogonal_regularizer", {"factor": 0.5, "mode": "columns"}, MATRIX),
    ],
)
def test_a_penalty_and_its_gradient_match_keras(
    name: str, fields: dict[str, Any], shape: Shape
) -> None:
    ours = REGULARIZERS[name](**fields)
    assert isinstance(ours, Regularizer)
    w, v = drawn(shape).requires_grad_(), drawn(shape).requires_grad_()
    found, expected = ours.penalty(w), getattr(keras.regularizers, name)(**fields)(v)
    (mine,), (theirs,) = torch.autograd.grad(found, w), torch.autograd.grad(expected, v)
    # Keras stores the factors of l1 and of the orthogonal regularizer in float32.
    torch.testing.assert_close(found, expected, rtol=1e-7, atol=0)
    torch.testing.assert_close(mine, theirs, rtol=1e-7, atol=1e-14)


def test_the_penalty_of_a_single_vector_is_0() -> None:
    (regularizer,) = (REGULARIZERS[name]() for name in REGULARIZERS if "orthogonal" in name)
    assert isinstance(regularizer, Regularizer)
    assert regularizer.penalty(torch.ones(1, 4)).item() == 0


@pytest.mark.parametrize("scale", [0.0, 0.1, 1.0, 10.0])
@pytest.mark.parametrize(
    ("name", "fields", "shape"),
    [
        ("max_norm", {}, MATRIX),
        ("max_norm", {"max_value": 0.5, "axis": [0, 1, 2]}, KERNEL),
        ("max_norm", {"max_value": 0.0, "axis": -1}, KERNEL),
        ("min_max_norm", {}, VECTOR),
        ("min_max_norm", {"min_value": 0.5, "max_value": 1.5, "axis": 1, "rate": 0.7}, MATRIX),
        ("non_neg", {}, KERNEL),
        ("unit_norm", {}, VECTOR),
        ("unit_norm", {"axis": [0, 1]}, KERNEL),
    ],
)
def test_a_constraint_projects_as_in_keras(
    name: str, fields: dict[str, Any], shape: Shape, scale: float
) -> None:
    ours = CONSTRAINTS[name].model_validate(fields)
    assert isinstance(ours, Constraint)
    weight = scale * drawn(shape)
    assert_close(ours.project(weight), getattr(keras.constraints, name)(**fields)(weight))


@pytest.mark.parametrize("name", [*REGULARIZERS, *CONSTRAINTS])
def test_the_defaults_match_keras(name: str) -> None:
    kind = keras.regularizers if name in REGULARIZERS else keras.constraints
    theirs = getattr(kind, name)().get_config()
    ours = {**REGULARIZERS, **CONSTRAINTS}[name]().model_dump()
    if "axis" in ours:
        (ours["axis"],) = ours["axis"]
    assert {key: pytest.approx(value) for key, value in ours.items()} == theirs


# ── a whole net ───────────────────────────────────────────────────────────────────────────────

SHAPE: Shape = (9, 10, 3)
NET: list[tuple[str, dict[str, Any]]] = [
    (
        "Conv2D",
        {
            "filters": 6,
            "kernel_size": 3,
            "kernel_regularizer": {"l2": {"l2": 0.125}},
            "kernel_constraint": {"max_norm": {"max_value": 0.5, "axis": [0, 1, 2]}},
            "bias_regularizer": {"l1_l2": {"l1": 0.25, "l2": 0.5}},
            "bias_constraint": "non_neg",
        },
    ),
    ("PReLU", {"alpha_regularizer": {"l2": {"l2": 0.5}}, "alpha_constraint": "non_neg"}),
    (
        "BatchNormalization",
        {"gamma_constraint": "unit_norm", "beta_regularizer": {"l2": {"l2": 0.25}}},
    ),
    (
        "SeparableConv2D",
        {
            "filters": 8,
            "kernel_size": 3,
            "depth_multiplier": 2,
            "depthwise_regularizer": {"l1_l2": {"l1": 0.0625, "l2": 0.0}},
            "depthwise_constraint": {"min_max_norm": {"min_value": 0.5, "axis": [0, 1]}},
            "pointwise_regularizer": {"l2": {"l2": 0.0625}},
            "pointwise_constraint": {"unit_norm": {"axis": 2}},
        },
    ),
    ("BatchNormalization", {"trainable": False}),
    (
        "DepthwiseConv2D",
        {
            "kernel_size": 2,
            "depthwise_regularizer": {"l2": {"l2": 0.125}},
            "depthwise_constraint": {"max_norm": {"max_value": 1.0, "axis": [0, 1]}},
        },
    ),
    (
        "LayerNormalization",
        {"gamma_regularizer": {"l2": {"l2": 0.5}}, "beta_constraint": "non_neg"},
    ),
    ("Conv2D", {"filters": 4, "kernel_size": 1, "kernel_regularizer": "l2", "trainable": False}),
    ("GlobalAveragePooling2D", {}),
    ("Dense", {"units": 5, "kernel_constraint": {"max_norm": {"max_value": 0.75}}}),
    ("Softmax", {}),
]


def in_keras(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """A rule as a Keras object."""
    found = {}
    for field, value in arguments.items():
        if field.endswith(("_regularizer", "_constraint")):
            kind = getattr(keras, f"{field.rpartition('_')[2]}s")
            name, fields = (value, {}) if isinstance(value, str) else next(iter(value.items()))
            value = getattr(kind, name)(**fields)
        found[field] = value
    return found


def test_a_net_with_rules_trains_as_in_keras() -> None:
    """Twenty steps: losses with their penalties, weights and statistics."""
    with float64():
        theirs = keras.Sequential([keras.Input(SHAPE, dtype="float64")])
        for kind, arguments in NET:
            theirs.add(getattr(keras.layers, kind)(**in_keras(arguments)))
        ours = read_net(json.dumps([{kind: arguments} for kind, arguments in NET]), SHAPE)
    ours.train()
    pairs = list(paired_weights(ours, theirs))
    assert len(pairs) == len(theirs.weights)
    for _, tensor, variable, info in pairs:
        variable.assign(info.to_keras(tensor.detach()))
    before = {name: tensor.clone() for name, tensor, _, _ in pairs}

    trained = list(ours.trained_weights().values())
    assert len(trained) == len(theirs.trainable_variables)
    rule = OPTIMIZERS["SGD"](learning_rate=0.0625, momentum=0.5)
    keras_rule = keras.optimizers.SGD(0.0625, momentum=0.5)
    slots = rule.slots(trained)  # type: ignore[attr-defined]
    numbers = np.random.default_rng(1)
    for step in range(20):
        images = torch.tensor(numbers.normal(size=(4, *SHAPE)))
        labels = torch.tensor(numbers.integers(5, size=4))

        loss = CategoricalCrossentropy()(ours.logits(channels_first(images)), labels)
        loss = loss + penalty(ours)
        gradients = list(torch.autograd.grad(loss, trained))
        rule.step(trained, gradients, slots, 0.0625, step)  # type: ignore[attr-defined]
        constrain(ours)

        probabilities = theirs(images, training=True)
        expected = torch.nn.functional.nll_loss(probabilities.log(), labels) + sum(theirs.losses)
        variables = theirs.trainable_variables
        keras_rule.apply(torch.autograd.grad(expected, [v.value for v in variables]), variables)
        torch.testing.assert_close(loss, expected, rtol=1e-9, atol=0)

    for name, tensor, variable, info in pairs:
        expected = variable.value.detach()
        found = info.to_keras(tensor.detach())
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-11, msg=name)
    after = ours.state_dict()
    assert {name for name, tensor in before.items() if torch.equal(tensor, after[name])} == {
        "conv2d_1.weight",
        "conv2d_1.bias",
        *(f"batch_normalization_1.{weight}" for weight in ("weight", "bias")),
        *(f"batch_normalization_1.moving_{statistic}" for statistic in ("mean", "variance")),
    }


# ── a run ─────────────────────────────────────────────────────────────────────────────────────

LAYERS = (
    "[Rescaling: 1/255, Conv2D: {filters: 4, kernel_size: 3, trainable: false}, "
    "BatchNormalization, GlobalAveragePooling2D, "
    "Dense: {units: 3, kernel_regularizer: {l2: 5}, "
    "kernel_constraint: {min_max_norm: {min_value: 0.25, max_value: 0.25}}}, Softmax]"
)


def test_a_run_applies_weight_rules_and_reports_the_whole_loss(tmp_path: Path) -> None:
    path = write_config(tmp_path, epochs=1, optimizer="{SGD: 0.1}")
    config = load_config(path, [f"model.layers={LAYERS}"])
    data = config.open_data()
    state = new_state(config, config.graph(3), torch.device("cpu"))
    frozen = state.model.get_parameter("conv2d.weight").clone()
    weight = state.model.get_parameter("dense.weight")
    first_cost = 5 * weight.square().sum().item()
    for _ in loop.train(config, data, machine.choose_machine("cpu", "float32"), state):
        torch.testing.assert_close(weight.norm(dim=1), torch.full((3,), 0.25))
    assert torch.equal(state.model.get_parameter("conv2d.weight"), frozen)
    (record,) = state.epochs
    assert record.val
    assert data.val
    assert score(state.model, data.val, config.train.loss) == record.val
    # Without the penalty the loss of three classes is near its logarithm, 1.1.
    cost = 5 * 3 * 0.25**2
    assert abs(record.val.loss - cost - 1.1) < 0.3
    # The first 16 of the 127 images were seen before the first projection.
    mean_cost = (16 * first_cost + 111 * cost) / 127
    assert abs(record.train.loss - mean_cost - 1.1) < 0.3


# ── what is refused ───────────────────────────────────────────────────────────────────────────


def dense(field: str) -> str:
    return f"[Dense: {{units: 3, {field}}}]"


@pytest.mark.parametrize(
    ("layers", "path", "message", "hint"),
    [
        (
            dense("kernel_regularizer: {l2: -1}"),
            "[0].Dense.kernel_regularizer.l2.l2",
            "must be at least 0, found -1",
            "l2: multiplies the sum of squares",
        ),
        (
            dense("kernel_regularizer: L_2"),
            "[0].Dense.kernel_regularizer",
            "unknown regularizer 'L_2'",
            "did you mean 'l2'?",
        ),
        (
            dense("bias_regularizer: orthogonal_regularizer"),
            "[0].Dense.bias_regularizer",
            "orthogonal_regularizer is for the kernel of Dense",
            "use l1, l2 or l1_l2, or leave it out",
        ),
        (
            dense("kernel_constraint: {max_norm: {axis: 2}}"),
            "[0].Dense.kernel_constraint",
            "there is no axis 2: this weight has 2 axes",
            "axes are numbered from 0: use axes below 2",
        ),
        (
            dense("bias_constraint: {unit_norm: [0, -1]}"),
            "[0].Dense.bias_constraint",
            "axis has the same axis twice, found [0, -1]",
            "give each axis once",
        ),
        (
            dense("kernel_constraint: {unit_norm: one}"),
            "[0].Dense.kernel_constraint.unit_norm.axis",
            "expected an axis of the weight, or a list of axes, found 'one'",
            "use 0 for the kernel of Dense, [0, 1, 2] for the kernel of Conv2D",
        ),
        (
            dense("kernel_constraint: {min_max_norm: {min_value: 2}}"),
            "[0].Dense.kernel_constraint.min_max_norm",
            "min_value (2) is above max_value (1)",
            "min_value must be at most max_value",
        ),
        (
            "[PReLU: {shared_axes: [1, 2], alpha_constraint: {max_norm: {axis: 3}}}]",
            "[0].PReLU",
            "alpha_constraint: there is no axis 3: this weight has 3 axes",
            "axes are numbered from 0: use axes below 3",
        ),
        (
            dense("kernel_regularizer: {l1: 1, l2: 2}"),
            "[0].Dense.kernel_regularizer",
            "expected one regularizer, found the keys l1, l2",
            "keep one; for both write l1_l2: {l1: 1e-5, l2: 1e-4}",
        ),
        (
            "[SeparableConv2D: {filters: 2, kernel_size: 3, kernel_constraint: non_neg}]",
            "[0].SeparableConv2D",
            "unknown key 'kernel_constraint'",
            "there are two kernels: set depthwise_constraint or pointwise_constraint",
        ),
        (
            dense("trainable: false, kernel_constraint: non_neg"),
            "[0].Dense.kernel_constraint",
            "kernel_constraint has no effect on a frozen layer (trainable: false)",
            "write kernel_constraint: null, or trainable: true",
        ),
        (
            "[Repeat: {times: 2, trainable: false, layers: [Dense: {units: 3, "
            "bias_constraint: non_neg}]}]",
            "[0].Repeat.layers[0].Dense.bias_constraint",
            "bias_constraint has no effect on a frozen layer (trainable: false)",
            "write bias_constraint: null, or trainable: true",
        ),
    ],
    ids=[
        "negative",
        "misspelt",
        "orthogonal-bias",
        "axis",
        "axis-twice",
        "axis-text",
        "upside-down",
        "alpha",
        "two",
        "two-kernels",
        "frozen",
        "frozen-block",
    ],
)
def test_refusals(layers: str, path: str, message: str, hint: str) -> None:
    assert complaint(layers) == (f"layers{path}", message, hint)


def test_a_frozen_block_freezes_all_its_layers() -> None:
    inner = "[Dense: 3, Repeat: {times: 2, layers: [Dense: 3]}]"
    net = read_net(f"[Residual: {{trainable: false, layers: {inner}}}, Dense: 2]", (3,))
    assert list(net.trained_weights()) == ["dense.weight", "dense.bias"]
