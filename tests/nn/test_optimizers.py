"""Optimizers step by step compared with Keras, and whole models over a training run."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch

from sepcnn.api import build, load_config
from sepcnn.config.config import Config
from sepcnn.config.loading import config_from_node
from sepcnn.errors import ConfigError
from sepcnn.language.descriptions import field_descriptions
from sepcnn.language.yaml_reader import parse
from sepcnn.nn.layers.module import begin_step
from sepcnn.nn.optimizers import OPTIMIZERS, Optimizer
from sepcnn.nn.optimizers.adam import Nadam
from sepcnn.nn.schedules import Progress
from tests.conftest import CONFIGS
from tests.reference import Array, keras, paired_weights

EXAMPLE = CONFIGS / "keras_sequential.yaml"
STEPS = 20
SHAPES = [(3, 4), (4,), (2, 2, 3, 5), (1,)]


def optimizer(name: str, **fields: Any) -> Optimizer:
    return OPTIMIZERS[name](**fields)  # type: ignore[return-value]


def keras_optimizer(name: str, **fields: Any) -> Any:
    # Keras stores a number in float32, but calls a function to get the exact value.
    rate = {"learning_rate": lambda: fields["learning_rate"]}
    return getattr(keras.optimizers, name)(**{**fields, **rate})


def run(
    ours: Optimizer, theirs: Any, rates: Sequence[float], scale: float = 1.0
) -> tuple[list[Array], list[Array]]:
    """Both weights after steps with these learning rates and the same gradients."""
    numbers = np.random.default_rng(0)
    start = [numbers.normal(size=shape) for shape in SHAPES]
    tensors = [torch.tensor(value) for value in start]
    variables = [keras.Variable(value, dtype="float64") for value in start]
    slots = ours.slots(tensors)
    for step, rate in enumerate(rates):
        gradients = [scale * numbers.normal(size=shape) for shape in SHAPES]
        ours.step(tensors, [torch.tensor(g) for g in gradients], slots, rate, step)
        theirs.learning_rate = lambda rate=rate: rate
        theirs.apply([keras.ops.convert_to_tensor(g) for g in gradients], variables)
    return [tensor.numpy() for tensor in tensors], [
        keras.ops.convert_to_numpy(v) for v in variables
    ]


RULES = [
    pytest.param("SGD", {}, id="sgd"),
    pytest.param("SGD", {"momentum": 0.9}, id="sgd-momentum"),
    pytest.param("SGD", {"momentum": 0.9, "nesterov": True}, id="sgd-nesterov"),
    pytest.param("RMSprop", {}, id="rmsprop"),
    pytest.param("RMSprop", {"momentum": 0.8, "rho": 0.95}, id="rmsprop-momentum"),
    pytest.param("RMSprop", {"centered": True}, id="rmsprop-centered"),
    pytest.param("RMSprop", {"centered": True, "momentum": 0.5}, id="rmsprop-both"),
    pytest.param("Adam", {}, id="adam"),
    pytest.param("Adam", {"beta_1": 0.8, "beta_2": 0.99, "epsilon": 1e-3}, id="adam-fields"),
    pytest.param("Adam", {"amsgrad": True, "beta_2": 0.8}, id="adam-amsgrad"),
    pytest.param("AdamW", {}, id="adamw"),
    pytest.param("AdamW", {"amsgrad": True, "beta_2": 0.8}, id="adamw-amsgrad"),
    pytest.param("Nadam", {}, id="nadam"),
    pytest.param("Nadam", {"beta_1": 0.8, "beta_2": 0.99, "epsilon": 1e-3}, id="nadam-fields"),
    pytest.param("Nadam", {"beta_1": 0.0}, id="nadam-no-mean"),
    pytest.param("Adamax", {}, id="adamax"),
    pytest.param("Adamax", {"beta_1": 0.8, "beta_2": 0.7, "epsilon": 1e-3}, id="adamax-fields"),
    pytest.param("Adagrad", {}, id="adagrad"),
    pytest.param("Adagrad", {"initial_accumulator_value": 0.0}, id="adagrad-from-0"),
    pytest.param(
        "Adagrad", {"initial_accumulator_value": 2.5, "epsilon": 1e-3}, id="adagrad-fields"
    ),
    pytest.param("Adadelta", {}, id="adadelta"),
    pytest.param("Adadelta", {"rho": 0.8, "epsilon": 1e-3}, id="adadelta-fields"),
    pytest.param("Lion", {}, id="lion"),
    pytest.param("Lion", {"beta_1": 0.5, "beta_2": 0.8}, id="lion-fields"),
    pytest.param("Lion", {"beta_1": 1.0}, id="lion-mean-alone"),
]
OPTIONS = [
    pytest.param({}, id="plain"),
    pytest.param({"weight_decay": 0.1}, id="decay"),
    pytest.param({"clipnorm": 0.75}, id="clipnorm"),
    pytest.param({"global_clipnorm": 0.75}, id="global_clipnorm"),
    pytest.param({"clipvalue": 0.25}, id="clipvalue"),
    pytest.param({"weight_decay": 0.1, "clipnorm": 0.75}, id="decay-clipnorm"),
]


@pytest.mark.covering("values")
@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize(("name", "fields"), RULES)
def test_the_weights_match_keras(
    name: str, fields: dict[str, Any], options: dict[str, Any]
) -> None:
    fields = {"learning_rate": 0.01, **fields, **options}
    rates = [0.01 * (1 + step % 3) for step in range(STEPS)]
    ours, theirs = run(
        optimizer(name, **fields, decay="all"), keras_optimizer(name, **fields), rates
    )
    for own, expected in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(own, expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(("name", "fields"), RULES)
def test_all_state_is_in_the_slots_and_the_step(name: str, fields: dict[str, Any]) -> None:
    """A new optimizer continues bit for bit from restored slots, as from a checkpoint."""
    gradients = torch.randn(10, 3, 4, generator=torch.Generator().manual_seed(0)).unbind()
    whole, weights = [torch.ones(3, 4)], [torch.ones(3, 4)]
    rule = optimizer(name, **fields)
    slots, kept = rule.slots(whole), rule.slots(weights)
    assert tuple(slots) == rule.slot_names()
    for step, gradient in enumerate(gradients):
        rule.step(whole, [gradient], slots, 0.1, step)
        again, fresh = optimizer(name, **fields), rule.slots(weights)
        for slot, tensors in kept.items():
            fresh[slot][0].copy_(tensors[0])
        again.step(weights, [gradient], fresh, 0.1, step)
        kept = fresh
    assert torch.equal(whole[0], weights[0])


def test_the_closed_form_of_nadam_equals_the_product() -> None:
    rule = optimizer("Nadam", beta_1=0.999)
    assert isinstance(rule, Nadam)
    product = 1.0
    for step in range(1, 3001):
        product *= 0.999 * (1 - 0.5 * 0.96**step)
        assert rule.product(step) == pytest.approx(product, rel=1e-12)
    assert 1 - 0.5 * 0.96**900 == 1


def test_lion_with_beta_1_of_0_is_rejected() -> None:
    override = "train.optimizer={Lion: {beta_1: 0}}"
    with pytest.raises(ConfigError) as caught:
        load_config(EXAMPLE, [override])
    problem = "train.optimizer.Lion.beta_1: must be above 0, found 0"
    about = "beta_1: weight of the mean m in the direction of the step; g has weight 1 − β₁"
    assert str(caught.value) == f"--set {override}: {problem}\n   {about}"


@pytest.mark.parametrize(
    ("name", "field", "bound"),
    [
        (name, field, "at most 1" if (name, field) == ("Lion", "beta_1") else "below 1")
        for name, rule in OPTIMIZERS.items()
        for field in ("momentum", "rho", "beta_1", "beta_2")
        if field in rule.model_fields
    ],
)
def test_momenta_above_1_are_rejected(name: str, field: str, bound: str) -> None:
    override = f"train.optimizer={{{name}: {{{field}: 1.5}}}}"
    with pytest.raises(ConfigError) as caught:
        load_config(EXAMPLE, [override])
    problem = f"train.optimizer.{name}.{field}: must be {bound}, found 1.5"
    about = field_descriptions(OPTIMIZERS[name])[field]
    assert str(caught.value) == f"--set {override}: {problem}\n   {field}: {about}"


@pytest.mark.parametrize("name", list(OPTIMIZERS))
def test_the_defaults_match_keras(name: str) -> None:
    theirs = getattr(keras.optimizers, name)().get_config()
    ours = optimizer(name).model_dump(exclude={"decay"})
    ours["weight_decay"] = ours["weight_decay"] or None
    ours["learning_rate"] = pytest.approx(ours["learning_rate"])  # float32 in Keras
    assert {key: theirs[key] for key in ours} == ours


@pytest.mark.parametrize("clipping", ["clipnorm", "global_clipnorm", "clipvalue"])
def test_short_gradients_are_not_clipped(clipping: str) -> None:
    free, clipped = (
        run(optimizer("SGD", **fields), keras_optimizer("SGD", learning_rate=0.1), [0.1], 1e-3)[0]
        for fields in ({}, {clipping: 1.0})
    )
    for own, expected in zip(clipped, free, strict=True):
        np.testing.assert_array_equal(own, expected)


@pytest.mark.parametrize("clipping", ["clipnorm", "global_clipnorm", "clipvalue"])
def test_gradients_of_zero_stay_zero_when_clipped(clipping: str) -> None:
    tensors = [torch.ones(3), torch.ones(2, 2)]
    gradients = [torch.zeros_like(tensor) for tensor in tensors]
    rule = optimizer("SGD", **{clipping: 1.0})
    rule.step(tensors, gradients, rule.slots(tensors), 0.1, 0)
    assert all(bool((tensor == 1).all()) for tensor in tensors)


@pytest.mark.parametrize(
    ("decay", "one_dimensional"), [("kernels", 1.0), ("all", 0.95)], ids=["kernels", "all"]
)
def test_decay_shrinks_kernels_or_everything(decay: str, one_dimensional: float) -> None:
    tensors = [torch.ones(2, 3), torch.ones(3), torch.ones(1, 1, 2, 2)]
    gradients = [torch.zeros_like(tensor) for tensor in tensors]
    rule = optimizer("SGD", weight_decay=0.5, decay=decay)
    rule.step(tensors, gradients, rule.slots(tensors), 0.1, 0)
    expected = [0.95, one_dimensional, 0.95]
    for tensor, value in zip(tensors, expected, strict=True):
        torch.testing.assert_close(tensor, torch.full_like(tensor, value))


def test_only_kernels_decay_by_default() -> None:
    assert optimizer("AdamW").decay == "kernels"


def test_a_step_changes_weights_in_place_but_not_gradients() -> None:
    tensors, gradients = [torch.ones(3, 2)], [torch.full((3, 2), 5.0)]
    places = [tensor.data_ptr() for tensor in tensors]
    for name in OPTIMIZERS:
        rule = optimizer(name, clipvalue=1.0, weight_decay=0.1)
        rule.step(tensors, gradients, rule.slots(tensors), 0.1, 0)
    assert [tensor.data_ptr() for tensor in tensors] == places
    assert gradients[0].eq(5).all()
    assert not tensors[0].eq(1).any()


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ("clipnorm: 1, clipvalue: 1", "clipnorm and clipvalue"),
        ("clipnorm: 1, global_clipnorm: 1", "clipnorm and global_clipnorm"),
        ("global_clipnorm: 1, clipvalue: 1", "global_clipnorm and clipvalue"),
    ],
    ids=["norm-value", "norm-global", "global-value"],
)
def test_two_clippings_are_rejected(fields: str, found: str) -> None:
    override = f"train.optimizer={{SGD: {{{fields}}}}}"
    with pytest.raises(ConfigError) as caught:
        load_config(EXAMPLE, [override])
    problem = f"only one kind of gradient clipping is possible, found {found}"
    expected = f"--set {override}: train.optimizer.SGD: {problem}\n   keep one of them"
    assert str(caught.value) == expected


# ── a whole net ───────────────────────────────────────────────────────────────────────────────

SIZE, BATCH = 32, 2
STEPS_PER_EPOCH = 7
RENORM = (
    "BatchNormalization: {renorm: true, renorm_momentum: 0.75, renorm_clipping: {rmin: paper, "
    "rmax: {start: 1, end: 3, after: 2 steps, until: 50%}, "
    "dmax: {start: 0, end: 5, after: 10%, until: 2 epochs}}}"
)


def clipping(step: int) -> dict[str, torch.Tensor]:
    """The limits of RENORM for Keras; tensors, because numbers may be rounded to float32."""
    rmax = np.interp(step, [2, STEPS / 2], [1, 3])
    dmax = np.interp(step, [STEPS / 10, 2 * STEPS_PER_EPOCH], [0, 5])
    limits = {"rmax": rmax, "rmin": 1 / rmax, "dmax": dmax}
    return {name: torch.tensor(value, dtype=torch.float64) for name, value in limits.items()}


@pytest.fixture
def one_thread() -> Iterator[None]:
    """On a busy machine the threads of such a small model mostly wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def example(rule: str, normalization: str | None) -> Config:
    """configs/keras_sequential.yaml for small images, or with a BN after every convolution."""
    text = EXAMPLE.read_text()
    if normalization:
        text = re.sub(r"( +- )SeparableConv2D.*\n", rf"\g<0>\1{normalization}\n", text)
    overrides = [
        f"model.input_shape=[{SIZE}, {SIZE}, 3]",
        f"train.optimizer={{{rule}: {{decay: all}}}}",
    ]
    return config_from_node(text, parse(text, "example"), "example", EXAMPLE.parent, overrides)


def keras_example(normalization: dict[str, Any] | None) -> keras.Sequential:
    """The same model in Keras, as in the book."""

    def convolution(filters: int) -> list[keras.Layer]:
        layer = keras.layers.SeparableConv2D(filters, 3, activation="relu", dtype="float64")
        if normalization is None:
            return [layer]
        return [layer, keras.layers.BatchNormalization(**normalization, dtype="float64")]

    def pooling() -> keras.Layer:
        return keras.layers.MaxPooling2D(2, dtype="float64")

    return keras.Sequential(
        [
            keras.Input((SIZE, SIZE, 3), dtype="float64"),
            *convolution(32),
            *convolution(64),
            pooling(),
            *convolution(64),
            *convolution(128),
            pooling(),
            *convolution(64),
            *convolution(128),
            keras.layers.GlobalAveragePooling2D(dtype="float64"),
            keras.layers.Dense(32, activation="relu", dtype="float64"),
            keras.layers.Dense(10, activation="softmax", dtype="float64"),
        ]
    )


@pytest.mark.covering("one")
@pytest.mark.parametrize(
    ("name", "normalization", "arguments"),
    [
        *((name, None, None) for name in OPTIMIZERS),
        ("RMSprop", "BatchNormalization", {}),
        ("RMSprop", RENORM, {"renorm": True, "renorm_momentum": 0.75}),
    ],
    ids=[*OPTIMIZERS, "batch-normalization", "batch-renormalization"],
)
@pytest.mark.usefixtures("one_thread")
def test_a_net_trains_as_in_keras(
    name: str, normalization: str | None, arguments: dict[str, Any] | None
) -> None:
    config = example(name, normalization)
    ours, theirs = build(config).double().train(), keras_example(arguments)
    pairs = list(paired_weights(ours, theirs))
    assert len(pairs) == len(theirs.weights)
    for _, tensor, variable, info in pairs:
        variable.assign(info.to_keras(tensor.detach()))

    rule, loss_function = config.train.optimizer, config.train.loss
    keras_rule = keras_optimizer(name, learning_rate=rule.learning_rate)
    keras_loss = keras.losses.CategoricalCrossentropy(dtype="float64")
    parameters = list(ours.parameters())
    slots = rule.slots(parameters)
    numbers = np.random.default_rng(1)
    losses, keras_losses = [], []
    for step in range(STEPS):
        # Up to 1, not 255: then no probability is near 1e-7, at which Keras on torch clips it.
        images = torch.tensor(numbers.random((BATCH, SIZE, SIZE, 3)))
        labels = torch.tensor(numbers.integers(10, size=BATCH))

        begin_step(ours, 0, Progress(step, STEPS_PER_EPOCH, STEPS))
        loss = loss_function(ours.logits(images.permute(0, 3, 1, 2)), labels)
        gradients = list(torch.autograd.grad(loss, parameters))
        rule.step(parameters, gradients, slots, rule.learning_rate, step)
        losses.append(loss.item())

        for layer in theirs.layers:
            if getattr(layer, "renorm", False):
                layer.renorm_clipping = clipping(step)
        variables = theirs.trainable_variables
        loss = keras_loss(torch.eye(10, dtype=torch.float64)[labels], theirs(images, training=True))
        gradients = torch.autograd.grad(loss, [variable.value for variable in variables])
        keras_rule.apply(gradients, variables)
        keras_losses.append(loss.item())

    np.testing.assert_allclose(losses, keras_losses, rtol=1e-9)
    for weight, tensor, variable, info in pairs:
        found = info.to_keras(tensor.detach()).numpy()
        expected = keras.ops.convert_to_numpy(variable)
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-11, err_msg=weight)
