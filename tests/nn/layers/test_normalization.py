"""Batch normalization compared with Keras, renormalization with the paper, and edge cases."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from sepcnn.nn.layers import BatchNormalization
from sepcnn.nn.layers.base import Shape
from sepcnn.nn.layers.module import begin_step, initialize
from sepcnn.nn.layers.normalization import BatchNormalizationModule
from sepcnn.nn.schedules import Progress
from tests.nn.layers.reading import complaint, read_layer
from tests.reference import (
    Array,
    SideBySide,
    assert_close,
    channels_first,
    channels_last,
    float64,
)

ARGUMENTS: list[dict[str, Any]] = [
    {},
    {"momentum": 0.9, "epsilon": 1e-5},
    {"momentum": 0.0},
    {"momentum": 1.0},
    {"center": False},
    {"scale": False},
    {"center": False, "scale": False, "momentum": 0.5, "epsilon": 0.1},
    {"epsilon": 2.0},  # above some of the standard deviations of renorm
]
# Keras rounds dmax to float32, so it is exact there.
CLIPPINGS: list[dict[str, float]] = [
    {},
    {"rmax": 1.1, "rmin": 0.9, "dmax": 0.25},
    {"rmax": 1.1},
    {"rmin": 1.5},
    {"dmax": 0.125},
    {"rmax": 1.0, "dmax": 0.0},
]


def show(arguments: dict[str, Any]) -> str:
    return " ".join(f"{name}={value}" for name, value in arguments.items()) or "default"


def compare_steps(arguments: dict[str, Any], shape: Shape, batch: int) -> None:
    """Several training steps, then inference with the resulting statistics."""
    twins = SideBySide("BatchNormalization", arguments, shape)
    for _ in range(4):
        twins.compare(batch)
    twins.compare(batch, training=False)


@pytest.mark.covering("pairs")
@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("shape", [(7, 9, 3), (1, 1, 3), (3, 1, 1), (5,)], ids=str)
@pytest.mark.parametrize("arguments", ARGUMENTS, ids=show)
def test_matches_keras(arguments: dict[str, Any], shape: Shape, batch: int) -> None:
    compare_steps(arguments, shape, batch)


@pytest.mark.covering("pairs")
@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("shape", [(7, 9, 3), (1, 1, 3), (5,)], ids=str)
@pytest.mark.parametrize("arguments", ARGUMENTS, ids=show)
def test_renorm_matches_keras(arguments: dict[str, Any], shape: Shape, batch: int) -> None:
    compare_steps({**arguments, "renorm": True, "renorm_momentum": 0.8}, shape, batch)


@pytest.mark.parametrize("clipping", CLIPPINGS, ids=show)
def test_renorm_clipping_matches_keras(clipping: dict[str, float]) -> None:
    arguments = {"renorm": True, "renorm_clipping": clipping, "renorm_momentum": 0.6}
    compare_steps({**arguments, "momentum": 0.7}, (7, 9, 3), 4)


# ── batch renormalization as the paper writes it ──────────────────────────────────────────────


@dataclass
class Algorithm1:
    """Ioffe 2017, arXiv:1702.03275, algorithm 1, for values N×C; alpha is 1 − momentum."""

    gamma: Array
    beta: Array
    mean: Array
    stddev: Array
    alpha: float
    epsilon: float

    def train(
        self, x: Array, output_gradient: Array, rmax: float, dmax: float
    ) -> tuple[Array, dict[str, Array]]:
        batch_mean = x.mean(axis=0)
        batch_stddev = np.sqrt(self.epsilon + x.var(axis=0))
        r = np.clip(batch_stddev / self.stddev, 1 / rmax, rmax)
        d = np.clip((batch_mean - self.mean) / self.stddev, -dmax, dmax)
        normalized = (x - batch_mean) / batch_stddev * r + d
        output = self.gamma * normalized + self.beta
        self.mean = self.mean + self.alpha * (batch_mean - self.mean)
        self.stddev = self.stddev + self.alpha * (batch_stddev - self.stddev)
        # The derivatives of section 3 of the paper.
        by_normalized = output_gradient * self.gamma
        by_stddev = (by_normalized * (x - batch_mean) * -r / batch_stddev**2).sum(axis=0)
        by_mean = (by_normalized * -r / batch_stddev).sum(axis=0)
        count = len(x)
        by_x = (
            by_normalized * r / batch_stddev
            + by_stddev * (x - batch_mean) / (count * batch_stddev)
            + by_mean / count
        )
        by_gamma = (output_gradient * normalized).sum(axis=0)
        return output, {"x": by_x, "weight": by_gamma, "bias": output_gradient.sum(axis=0)}

    def infer(self, x: Array) -> Array:
        return self.gamma * (x - self.mean) / self.stddev + self.beta


def paper_limits(step: int) -> tuple[float, float]:
    """rmax and dmax of the config below: constant for 2 steps, then linear for 4."""
    share = min(1.0, max(0.0, (step - 2) / 4))
    return 1 + 0.5 * share, 0.8 * share


def test_renorm_with_ramps_matches_the_paper() -> None:
    layer = read_layer(
        "BatchNormalization: {renorm: true, momentum: 0.8, renorm_momentum: 0.8, epsilon: 0.01,"
        " renorm_clipping: {rmin: paper,"
        " rmax: {start: 1, end: 1.5, after: 2 steps, until: 6 steps},"
        " dmax: {start: 0, end: 0.8, after: 20%, until: 60%}}}"
    )
    assert isinstance(layer, BatchNormalization)
    random = np.random.default_rng(0)
    gamma, beta = random.normal(size=(2, 3))
    paper = Algorithm1(gamma, beta, np.zeros(3), np.ones(3), alpha=0.2, epsilon=0.01)
    with float64():
        module = layer.build((5, 7, 3))
        initialize(module, 0)
    weight, bias = module.get_parameter("weight"), module.get_parameter("bias")
    with torch.no_grad():
        weight.copy_(torch.tensor(gamma))
        bias.copy_(torch.tensor(beta))

    clipped = set()
    for step in range(10):
        begin_step(module, 0, Progress(step, steps_per_epoch=5, total_steps=10))
        rmax, dmax = paper_limits(step)
        # Batches drift in mean and spread, so that every limit is reached, and later none.
        spread = 3.0 if step < 4 else 1.1
        x, direction = random.normal(size=(2, 2, 5, 7, 3))
        x = x * spread + random.normal(size=3)
        clipped.add((rmax, dmax))
        expected, gradients = paper.train(x.reshape(-1, 3), direction.reshape(-1, 3), rmax, dmax)
        x_ours = torch.tensor(x, requires_grad=True)
        module.zero_grad()
        found = channels_last(module(channels_first(x_ours)))
        found.backward(torch.tensor(direction))
        assert_close(found.reshape(-1, 3), expected)
        assert x_ours.grad is not None
        assert weight.grad is not None
        assert bias.grad is not None
        assert_close(x_ours.grad.reshape(-1, 3), gradients["x"])
        assert_close(weight.grad, gradients["weight"])
        assert_close(bias.grad, gradients["bias"])
        for name in ("moving_mean", "renorm_mean"):
            assert_close(module.get_buffer(name), paper.mean)
        for name in ("moving_stddev", "renorm_stddev"):
            assert_close(module.get_buffer(name), paper.stddev)
    assert len(clipped) == 5

    x = random.normal(size=(2, 5, 7, 3))
    found = channels_last(module.eval()(channels_first(torch.tensor(x))))
    assert_close(found.reshape(-1, 3), paper.infer(x.reshape(-1, 3)))


def test_renorm_with_rmax_1_and_dmax_0_is_batch_normalization() -> None:
    x = torch.randn(4, 3, 5, 7, generator=torch.Generator().manual_seed(0))
    limits = {"rmax": 1, "rmin": "paper", "dmax": 0}
    plain = BatchNormalization().build((5, 7, 3))
    renorm = BatchNormalization.model_validate({"renorm": True, "renorm_clipping": limits})
    module = renorm.build((5, 7, 3))
    initialize(plain, 0)
    initialize(module, 0)
    torch.testing.assert_close(module(x), plain(x))


def test_limits_start_at_the_start_of_their_ramps() -> None:
    """Without a call of begin_step, as in a notebook."""
    layer = read_layer(
        "BatchNormalization: {renorm: true, renorm_clipping: {rmin: paper,"
        " rmax: {start: 2, end: 3, until: 50%}}}"
    )
    assert isinstance(layer, BatchNormalization)
    module = layer.build((3,))
    limits = {name: module.get_buffer(name).item() for name in ("rmax", "rmin", "dmax")}
    assert limits == {"rmax": 2, "rmin": 0.5, "dmax": float("inf")}
    assert not limits.keys() & module.state_dict().keys()


# ── corners ───────────────────────────────────────────────────────────────────────────────────


def built(shape: Shape = (5, 7, 3), **arguments: Any) -> BatchNormalizationModule:
    module = BatchNormalization.model_validate({"momentum": 0.5, **arguments}).build(shape)
    assert isinstance(module, BatchNormalizationModule)
    initialize(module, 0)
    return module


@pytest.mark.parametrize("renorm", [False, True], ids=["plain", "renorm"])
def test_a_single_value_has_no_variance(renorm: bool) -> None:
    module = built((1, 1, 3), renorm=renorm)
    found = module(torch.tensor([[[[3.0]], [[-1.0]], [[0.0]]]]))
    # The deviation from the mean is 0; renorm adds d = (mean − 0)/1.
    expected = torch.tensor([3.0, -1.0, 0.0]) if renorm else torch.zeros(3)
    torch.testing.assert_close(found.flatten(), expected, rtol=0, atol=1e-5)
    assert module.moving_mean.tolist() == [1.5, -0.5, 0]
    # Renorm averages standard deviations, epsilon included: here 1 and √epsilon.
    variance = (0.5 + 0.5 * 0.001**0.5) ** 2 - 0.001 if renorm else 0.5
    torch.testing.assert_close(module.moving_variance, torch.full((3,), variance))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("renorm", [False, True], ids=["plain", "renorm"])
def test_constant_inputs_stay_finite_with_their_gradients(
    renorm: bool, batch: int, dtype: torch.dtype
) -> None:
    module = built(renorm=renorm)
    x = torch.full((batch, 3, 5, 7), 100.0, dtype=dtype, requires_grad=True)
    for _ in range(20):
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            found = module(x)
        found.sum().backward()
        assert found.isfinite().all()
    assert x.grad is not None
    assert x.grad.isfinite().all()
    torch.testing.assert_close(module.moving_mean, torch.full((3,), 100.0), rtol=1e-4, atol=0)
    assert (module.moving_variance >= 0).all()
    torch.testing.assert_close(module.eval()(x), torch.zeros_like(x), rtol=0, atol=0.02)


@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last], ids=str)
@pytest.mark.parametrize(
    "arguments",
    [{}, {"renorm": True}, {"scale": False}, {"scale": False, "center": False, "renorm": True}],
    ids=show,
)
def test_statistics_of_bfloat16_inputs_are_float32(
    arguments: dict[str, Any], memory: torch.memory_format
) -> None:
    """With mean 100 and standard deviation 1, bfloat16 arithmetic would lose all digits."""
    x = 100 + torch.randn(8, 3, 5, 7, generator=torch.Generator().manual_seed(0))
    x = x.to(torch.bfloat16).contiguous(memory_format=memory)
    narrow, wide = built(**arguments), built(**arguments)
    for _ in range(3):
        found, expected = narrow(x), wide(x.float())
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), expected, rtol=1 / 128, atol=1 / 128)
    for name, statistic in narrow.named_buffers():
        assert statistic.dtype == torch.float32
        torch.testing.assert_close(statistic, wide.get_buffer(name), rtol=1e-5, atol=1e-5)
    inferred = narrow.eval()(x)
    assert inferred.dtype == torch.bfloat16
    torch.testing.assert_close(inferred.float(), wide.eval()(x.float()), rtol=1 / 128, atol=1 / 128)


@pytest.mark.parametrize("renorm", [False, True], ids=["plain", "renorm"])
def test_inference_does_not_change_statistics(renorm: bool) -> None:
    module = built(renorm=renorm).eval()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    module(torch.randn(4, 3, 5, 7))
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_renorm_has_seven_values_per_channel() -> None:
    assert list(built(renorm=True).state_dict()) == [
        "weight",
        "bias",
        "moving_mean",
        "moving_variance",
        "moving_stddev",
        "renorm_mean",
        "renorm_stddev",
    ]


def test_initial_standard_deviations_are_roots_of_the_initial_variance() -> None:
    first = {"constant": 4.0}
    module = built(renorm=True, moving_variance_initializer=first, moving_mean_initializer="ones")
    for name, value in [("moving_variance", 4), ("moving_stddev", 2), ("renorm_stddev", 2)]:
        assert module.get_buffer(name).tolist() == [value] * 3
    assert module.get_buffer("renorm_mean").tolist() == [1] * 3


CLIPPING = "layers[0].BatchNormalization.renorm_clipping"
ORDER = "rmin must be at most rmax; the default of rmin is 0"
LIMITS = "renorm_clipping: limits of the corrections r and d in batch renormalization"
WRITE = "write a number, or {start: 1, end: 3, after: 10%, until: 50%}"


@pytest.mark.parametrize(
    ("clipping", "path", "message", "hint"),
    [
        ("rmax: 1, rmin: 2", "", "rmin (2) is above rmax (1)", ORDER),
        ("rmax: -1", "", "rmin (0) is above rmax (-1)", ORDER),
        ("dmax: -1", "", "dmax must be at least 0, found -1", "leave out dmax for no limit"),
        (
            "rmin: 1, rmax: {start: 0.5, end: 3, until: 10%}",
            "",
            "rmin (1) is above rmax (0.5)",
            ORDER,
        ),
        (
            "rmin: 1, rmax: {start: 3, end: 0.5, until: 10%}",
            "",
            "rmin (1) is above rmax (0.5)",
            ORDER,
        ),
        (
            "rmin: paper, rmax: 0",
            "",
            "with rmin: paper, rmax must be at least 1, found 0",
            LIMITS,
        ),
        (
            "rmin: paper, rmax: {start: 2, end: 0.5, until: 10%}",
            "",
            "with rmin: paper, rmax must be at least 1, found 0.5",
            LIMITS,
        ),
        (
            "rmin: {start: 0, end: 1, until: 10%}, rmax: {start: 0.5, end: 3, after: 50%,"
            " until: 60%}",
            "",
            "rmin (1) is above rmax (0.5) before 10%",
            ORDER,
        ),
        (
            "rmin: {start: 0, end: 2, until: 4 epochs}, rmax: {start: 1, end: 3, after: 3 epochs,"
            " until: 5 epochs}",
            "",
            "rmin (1.5) is above rmax (1) before 3 epochs",
            ORDER,
        ),
        (
            "rmin: {start: 0, end: 1, after: 5 steps, until: 5 steps}, rmax: {start: 0.5, end: 1,"
            " until: 10 steps}",
            "",
            "rmin (1) is above rmax (0.75) after 5 steps",
            ORDER,
        ),
        (
            "rmax: {end: 3, until: 10%}",
            ".rmax",
            "'start' is required",
            "start: value before the ramp, up to the moment 'after'",
        ),
        (
            "rmin: {start: 0, end: 1, until: 10}",
            ".rmin.until",
            "expected a duration, found 10",
            "write it as 500 steps, 3 epochs or 10%",
        ),
        ("rmax: paper", ".rmax", "expected a number, a ramp or null, found 'paper'", WRITE),
        ("rmax: true", ".rmax", "expected a number, a ramp or null, found true", WRITE),
        ("dmax: .nan", ".dmax", "expected a number, a ramp or null, found .nan", WRITE),
        ("rmin: -.inf", ".rmin", "expected a number, a ramp, paper or null, found -.inf", WRITE),
        (
            "rmax: {start: 1, end: 3}",
            ".rmax",
            "'until' is required",
            "until: moment at which the ramp ends",
        ),
    ],
)
def test_refused_clipping(clipping: str, path: str, message: str, hint: str) -> None:
    layer = f"BatchNormalization: {{renorm: true, renorm_clipping: {{{clipping}}}}}"
    assert complaint(f"[{layer}]") == (CLIPPING + path, message, hint)


@pytest.mark.parametrize(
    "clipping",
    [
        "rmin: {start: 0, end: 1, until: 10%}, rmax: {start: 1, end: 3, until: 5 steps}",
        "rmin: {start: 0, end: 3, until: 30%}, rmax: {start: 0, end: 3, until: 30%}",
        "rmin: {start: 0.1, end: 0.7, until: 30%}, rmax: {start: 0.1, end: 1.3, until: 60%}",
        "rmin: {start: 0, end: 2, after: 5%, until: 5%}, rmax: {start: 1, end: 2, until: 5%}",
    ],
)
def test_ramps_that_touch(clipping: str) -> None:
    read_layer(f"BatchNormalization: {{renorm: true, renorm_clipping: {{{clipping}}}}}")


def test_ramps_with_several_units_may_cross_and_rmax_wins() -> None:
    module = built(
        renorm=True,
        renorm_clipping={
            "rmin": {"start": 0, "end": 1, "until": "1 epochs"},
            "rmax": {"start": 0.5, "end": 1, "after": "50%", "until": "60%"},
            "dmax": 0,
        },
    )
    begin_step(module, 0, Progress(step=3, steps_per_epoch=4, total_steps=100))
    assert (module.get_buffer("rmin").item(), module.get_buffer("rmax").item()) == (0.75, 0.5)
    x = torch.randn(4, 3, 5, 7, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(module(x), 0.5 * built()(x))


def test_infinity_is_no_limit() -> None:
    infinite, absent = (
        read_layer(f"BatchNormalization: {{renorm: true{clipping}}}")
        for clipping in (", renorm_clipping: {rmax: .inf, dmax: .inf, rmin: null}", "")
    )
    assert infinite == absent


@pytest.mark.parametrize(
    ("layer", "path", "message", "hint"),
    [
        (
            "BatchNormalization: {axis: 1}",
            "",
            "axis must be the channel axis, found the height axis",
            "leave out axis: the default is the channel axis",
        ),
        (
            "BatchNormalization: {momentum: 1.5}",
            ".momentum",
            "must be at most 1, found 1.5",
            "momentum: fraction of the moving statistics that is kept in each step",
        ),
        (
            "BatchNormalization: {epsilon: 0}",
            ".epsilon",
            "must be above 0, found 0",
            "epsilon: added to the variance, to avoid division by 0",
        ),
    ],
    ids=["axis", "momentum", "epsilon"],
)
def test_refusals(layer: str, path: str, message: str, hint: str) -> None:
    assert complaint(f"[{layer}]") == (f"layers[0].BatchNormalization{path}", message, hint)


@pytest.mark.parametrize(("axis", "shape"), [(3, (8, 8, 3)), (1, (5,))], ids=str)
def test_the_axis_may_count_the_batch(axis: int, shape: Shape) -> None:
    assert BatchNormalization(axis=axis).output_shape(shape) == shape
