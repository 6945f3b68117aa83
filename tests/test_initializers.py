"""Initializers: their distributions beside Keras' own draws."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import pytest
import torch
from keras.src.initializers.random_initializers import compute_fans
from numpy.typing import NDArray

from sepcnn.initializers import INITIALIZERS, TRUNCATION_SHRINKS_STDDEV, Initializer, fans
from sepcnn.randomness import stream

KERNELS = {
    "convolution": (3, 3, 32, 64),
    "depthwise": (3, 3, 64, 1),
    "pointwise": (1, 1, 64, 128),
    "dense": (512, 10),
}
KERAS_CLASSES = {
    name: "".join(word.capitalize() for word in name.split("_")) for name in INITIALIZERS
}

RANDOM = [
    pytest.param("random_normal", {}, id="random_normal"),
    pytest.param("random_normal", {"mean": 1.0, "stddev": 0.5}, id="random_normal-fields"),
    pytest.param("random_uniform", {}, id="random_uniform"),
    pytest.param("random_uniform", {"minval": -1.0, "maxval": 3.0}, id="random_uniform-fields"),
    pytest.param("truncated_normal", {}, id="truncated_normal"),
    pytest.param("truncated_normal", {"mean": -1.0, "stddev": 2.0}, id="truncated_normal-fields"),
    *(
        pytest.param(
            "variance_scaling",
            {"scale": 1.5, "mode": mode, "distribution": distribution},
            id=f"variance_scaling-{mode}-{distribution}",
        )
        for mode in ("fan_in", "fan_out", "fan_avg")
        for distribution in ("truncated_normal", "untruncated_normal", "uniform")
    ),
    *(
        pytest.param(f"{family}_{distribution}", {}, id=f"{family}_{distribution}")
        for family in ("glorot", "he", "lecun")
        for distribution in ("uniform", "normal")
    ),
]


def initializer(name: str, **fields: Any) -> Initializer:
    return INITIALIZERS[name](**fields)  # type: ignore[return-value]


def draw(name: str, shape: tuple[int, ...], seed: int = 0, **fields: Any) -> NDArray[np.float64]:
    return initializer(name, **fields).draw(shape, stream(seed, "weights", "test")).numpy()


def keras_draw(name: str, shape: tuple[int, ...], **fields: Any) -> NDArray[np.float64]:
    theirs = getattr(keras.initializers, KERAS_CLASSES[name])(seed=1, **fields)
    return keras.ops.convert_to_numpy(theirs(shape, dtype="float64"))


def kolmogorov_smirnov(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """The largest distance of two empirical distributions over the value that chance exceeds
    once in 1,000 times: below 1 they count as one distribution.
    """
    first, second = np.sort(first, axis=None), np.sort(second, axis=None)
    places = np.concatenate([first, second])
    below = [np.searchsorted(x, places, side="right") / len(x) for x in (first, second)]
    distance = np.abs(below[0] - below[1]).max()
    critical = math.sqrt(-math.log(1e-3 / 2) / 2 * (1 / len(first) + 1 / len(second)))
    return float(distance / critical)


def test_the_statistic_tells_distributions_apart() -> None:
    numbers = np.random.default_rng(0)
    normal = numbers.normal(size=5000)
    assert kolmogorov_smirnov(normal, numbers.normal(size=5000)) < 1
    assert kolmogorov_smirnov(normal, numbers.normal(0.1, size=5000)) > 1
    assert kolmogorov_smirnov(normal, numbers.normal(scale=1.2, size=5000)) > 1
    assert kolmogorov_smirnov(normal, numbers.uniform(-1.7, 1.7, size=5000)) > 1


@pytest.mark.parametrize("shape", KERNELS.values(), ids=KERNELS)
@pytest.mark.parametrize(("name", "fields"), RANDOM)
def test_the_distribution_is_that_of_keras(
    name: str, fields: dict[str, Any], shape: tuple[int, ...]
) -> None:
    assert kolmogorov_smirnov(draw(name, shape, **fields), keras_draw(name, shape, **fields)) < 1


def moments(name: str, shape: tuple[int, ...], fields: dict[str, Any]) -> tuple[float, float]:
    """The mean and the standard deviation that the name promises."""
    if name == "random_uniform":
        low, high = fields.get("minval", -0.05), fields.get("maxval", 0.05)
        return (low + high) / 2, (high - low) / math.sqrt(12)
    if name in ("random_normal", "truncated_normal"):
        shrinks = TRUNCATION_SHRINKS_STDDEV if name == "truncated_normal" else 1.0
        return fields.get("mean", 0.0), shrinks * fields.get("stddev", 0.05)
    fan_in, fan_out = fans(shape)
    fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}
    mode = fields.get("mode", "fan_avg" if name.startswith("glorot") else "fan_in")
    scale = fields.get("scale", 2.0 if name.startswith("he") else 1.0)
    return 0.0, math.sqrt(scale / fan[mode])


@pytest.mark.parametrize(("name", "fields"), RANDOM)
def test_mean_and_variance_are_the_promised_ones(name: str, fields: dict[str, Any]) -> None:
    shape = (10, 10, 50, 60)
    mean, stddev = moments(name, shape, fields)
    values = draw(name, shape, **fields)
    # Five standard errors of the mean; the variance of 300,000 values is known to 1 %.
    assert abs(values.mean() - mean) < 5 * stddev / math.sqrt(values.size)
    assert values.var() == pytest.approx(stddev**2, rel=0.01)


def edges(name: str, shape: tuple[int, ...], fields: dict[str, Any]) -> float:
    """The largest distance from the mean that a draw can have; infinite for a whole normal."""
    _, stddev = moments(name, shape, fields)
    distribution = fields.get("distribution", name)
    if distribution in ("random_normal", "untruncated_normal"):
        return math.inf
    return stddev * (math.sqrt(3) if "uniform" in distribution else 2 / TRUNCATION_SHRINKS_STDDEV)


@pytest.mark.parametrize(("name", "fields"), RANDOM)
def test_draws_fill_their_bounds_and_keep_to_them(name: str, fields: dict[str, Any]) -> None:
    shape = (3, 3, 32, 64)
    mean, _ = moments(name, shape, fields)
    edge = edges(name, shape, fields)
    distance = np.abs(draw(name, shape, **fields) - mean).max()
    assert distance <= edge * (1 + 1e-12)
    assert math.isinf(edge) or distance > 0.99 * edge


@pytest.mark.parametrize(
    ("name", "fields", "value"),
    [
        ("zeros", {}, 0.0),
        ("ones", {}, 1.0),
        ("constant", {}, 0.0),
        ("constant", {"value": -2.5}, -2.5),
    ],
    ids=["zeros", "ones", "constant", "constant-value"],
)
def test_constants_are_exact(name: str, fields: dict[str, Any], value: float) -> None:
    assert np.array_equal(draw(name, (3, 4), **fields), np.full((3, 4), value))


@pytest.mark.parametrize(
    "shape",
    [*KERNELS.values(), (), (7,), (5, 3, 4), (2, 3, 4, 5, 6)],
    ids=[*KERNELS, "scalar", "bias", "one-dimensional", "three-dimensional"],
)
def test_fans_are_those_of_keras(shape: tuple[int, ...]) -> None:
    assert fans(shape) == compute_fans(shape)


@pytest.mark.parametrize("name", list(INITIALIZERS))
def test_a_stream_gives_the_same_weights_each_time(name: str) -> None:
    shape = (3, 3, 4, 5)
    drawn = initializer(name).draw(shape, stream(0, "weights", "a"))
    assert drawn.dtype == torch.float64
    assert drawn.shape == shape
    assert torch.equal(drawn, initializer(name).draw(shape, stream(0, "weights", "a")))
    if name not in ("zeros", "ones", "constant"):
        assert not torch.equal(drawn, initializer(name).draw(shape, stream(0, "weights", "b")))
        assert not torch.equal(drawn, initializer(name).draw(shape, stream(1, "weights", "a")))


@pytest.mark.parametrize("name", list(INITIALIZERS))
def test_the_defaults_are_those_of_keras(name: str) -> None:
    theirs = getattr(keras.initializers, KERAS_CLASSES[name])().get_config()
    ours = initializer(name).model_dump()
    assert {key: theirs[key] for key in ours} == ours
