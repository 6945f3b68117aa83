"""Initializers: distributions compared with draws of Keras."""

from __future__ import annotations

import inspect
import math
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from sepcnn.config.loading import load_config
from sepcnn.nn.initializers import INITIALIZERS, TRUNCATION_SHRINKS_STDDEV, Initializer, fans
from sepcnn.nn.layers import LAYERS
from sepcnn.nn.layers.module import weights
from sepcnn.nn.model import Net
from sepcnn.randomness import stream
from tests.conftest import CONFIGS
from tests.nn.layers.reading import complaint, read_net
from tests.reference import keras, kolmogorov_smirnov

KERAS_INITIALIZERS = keras.src.initializers.ALL_OBJECTS_DICT
KERNELS = {
    "convolution": (3, 3, 32, 64),
    "depthwise": (3, 3, 64, 1),
    "pointwise": (1, 1, 64, 128),
    "dense": (512, 10),
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
    pytest.param("normal", {}, id="normal"),
    pytest.param("uniform", {}, id="uniform"),
]
FIXED = ("zeros", "zero", "ones", "one", "constant", "identity")


def initializer(name: str, **fields: Any) -> Initializer:
    return INITIALIZERS[name](**fields)  # type: ignore[return-value]


def draw(name: str, shape: tuple[int, ...], seed: int = 0, **fields: Any) -> NDArray[np.float64]:
    return initializer(name, **fields).draw(shape, stream(seed, "weights", "test")).numpy()


def keras_draw(
    name: str, shape: tuple[int, ...], seed: int = 1, **fields: Any
) -> NDArray[np.float64]:
    theirs = KERAS_INITIALIZERS[name](seed=seed, **fields)
    return keras.ops.convert_to_numpy(theirs(shape, dtype="float64"))


def test_the_test_statistic_separates_distributions() -> None:
    numbers = np.random.default_rng(0)
    normal = numbers.normal(size=5000)
    assert kolmogorov_smirnov(normal, numbers.normal(size=5000)) < 1
    assert kolmogorov_smirnov(normal, numbers.normal(0.1, size=5000)) > 1
    assert kolmogorov_smirnov(normal, numbers.normal(scale=1.2, size=5000)) > 1
    assert kolmogorov_smirnov(normal, numbers.uniform(-1.7, 1.7, size=5000)) > 1


@pytest.mark.parametrize("shape", KERNELS.values(), ids=KERNELS)
@pytest.mark.parametrize(("name", "fields"), RANDOM)
def test_the_distribution_matches_keras(
    name: str, fields: dict[str, Any], shape: tuple[int, ...]
) -> None:
    assert kolmogorov_smirnov(draw(name, shape, **fields), keras_draw(name, shape, **fields)) < 1


def moments(name: str, shape: tuple[int, ...], fields: dict[str, Any]) -> tuple[float, float]:
    """The documented mean and standard deviation."""
    if name in ("random_uniform", "uniform"):
        low, high = fields.get("minval", -0.05), fields.get("maxval", 0.05)
        return (low + high) / 2, (high - low) / math.sqrt(12)
    if name in ("random_normal", "normal", "truncated_normal"):
        shrinks = TRUNCATION_SHRINKS_STDDEV if name == "truncated_normal" else 1.0
        return fields.get("mean", 0.0), shrinks * fields.get("stddev", 0.05)
    fan_in, fan_out = fans(shape)
    fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}
    mode = fields.get("mode", "fan_avg" if name.startswith("glorot") else "fan_in")
    scale = fields.get("scale", 2.0 if name.startswith("he") else 1.0)
    return 0.0, math.sqrt(scale / fan[mode])


@pytest.mark.parametrize(("name", "fields"), RANDOM)
def test_mean_and_variance_are_as_documented(name: str, fields: dict[str, Any]) -> None:
    shape = (10, 10, 50, 60)
    mean, stddev = moments(name, shape, fields)
    values = draw(name, shape, **fields)
    # Five standard errors of the mean; the variance of 300,000 values is known to 1 %.
    assert abs(values.mean() - mean) < 5 * stddev / math.sqrt(values.size)
    assert values.var() == pytest.approx(stddev**2, rel=0.01)


def edges(name: str, shape: tuple[int, ...], fields: dict[str, Any]) -> float:
    """The largest possible distance from the mean; infinite for an untruncated normal."""
    _, stddev = moments(name, shape, fields)
    distribution = fields.get("distribution", name)
    if distribution in ("random_normal", "normal", "untruncated_normal"):
        return math.inf
    return stddev * (math.sqrt(3) if "uniform" in distribution else 2 / TRUNCATION_SHRINKS_STDDEV)


@pytest.mark.parametrize(("name", "fields"), RANDOM)
def test_draws_fill_their_bounds_and_stay_inside(name: str, fields: dict[str, Any]) -> None:
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
        ("zero", {}, 0.0),
        ("one", {}, 1.0),
        ("constant", {}, 0.0),
        ("constant", {"value": -2.5}, -2.5),
    ],
    ids=["zeros", "ones", "zero", "one", "constant", "constant-value"],
)
def test_constants_are_exact(name: str, fields: dict[str, Any], value: float) -> None:
    assert np.array_equal(draw(name, (3, 4), **fields), np.full((3, 4), value))


@pytest.mark.parametrize(
    "shape",
    [*KERNELS.values(), (), (7,), (5, 3, 4), (2, 3, 4, 5, 6)],
    ids=[*KERNELS, "scalar", "bias", "one-dimensional", "three-dimensional"],
)
def test_fans_match_keras(shape: tuple[int, ...]) -> None:
    assert fans(shape) == keras.src.initializers.random_initializers.compute_fans(shape)


@pytest.mark.parametrize("name", list(INITIALIZERS))
def test_a_stream_gives_the_same_weights_each_time(name: str) -> None:
    shape = (3, 3, 4, 5) if name != "identity" else (4, 5)
    drawn = initializer(name).draw(shape, stream(0, "weights", "a"))
    assert drawn.dtype == torch.float64
    assert drawn.shape == shape
    assert torch.equal(drawn, initializer(name).draw(shape, stream(0, "weights", "a")))
    if name not in FIXED:
        assert not torch.equal(drawn, initializer(name).draw(shape, stream(0, "weights", "b")))
        assert not torch.equal(drawn, initializer(name).draw(shape, stream(1, "weights", "a")))


@pytest.mark.parametrize("name", list(INITIALIZERS))
def test_the_defaults_match_keras(name: str) -> None:
    theirs = inspect.signature(KERAS_INITIALIZERS[name]).parameters
    ours = initializer(name).model_dump()
    assert {key: theirs[key].default for key in ours} == ours
    assert set(theirs) - set(ours) <= {"seed", "input_axes", "output_axes"}


# ── every kernel of Xception ──────────────────────────────────────────────────────────────────


def kernels(path: Path) -> list[tuple[int, ...]]:
    """The distinct kernel shapes, in Keras layout, of the model of a config."""
    with torch.device("meta"):
        net = Net(load_config(path).graph())
    shapes = {info.keras_shape: None for _, _, info in weights(net)}
    return [shape for shape in shapes if len(shape) > 1]


XCEPTION = kernels(CONFIGS / "xception.yaml")
LEAST, MOST = 3_000, 20_000


def test_xception_has_all_its_kernels() -> None:
    assert len(XCEPTION) == 18
    assert {(3, 3, 3, 32), (3, 3, 728, 1), (1, 1, 1536, 2048), (2048, 1000)} < set(XCEPTION)


@pytest.mark.covering("values")
@pytest.mark.parametrize("shape", XCEPTION, ids=str)
@pytest.mark.parametrize(
    "name", ["glorot_uniform", "glorot_normal", "he_uniform", "he_normal", "lecun_normal"]
)
def test_the_kernels_of_xception_are_drawn_as_by_keras(name: str, shape: tuple[int, ...]) -> None:
    """Thousands of values each: small kernels are drawn several times, large ones subsampled."""
    times = math.ceil(LEAST / math.prod(shape))
    step = max(1, math.prod(shape) // MOST)
    ours, theirs = (
        np.concatenate([drawn(name, shape, seed=seed).ravel()[::step] for seed in range(times)])
        for drawn in (draw, keras_draw)
    )
    assert len(ours) == len(theirs) >= LEAST
    assert kolmogorov_smirnov(ours, theirs) < 1


# ── orthogonal and identity ───────────────────────────────────────────────────────────────────

MATRICES = {**KERNELS, "square": (20, 20), "wide": (10, 30), "three-dimensional": (5, 3, 4)}


@pytest.mark.parametrize("gain", [1.0, -2.5])
@pytest.mark.parametrize("shape", MATRICES.values(), ids=MATRICES)
def test_orthogonal_kernels_are_orthogonal(shape: tuple[int, ...], gain: float) -> None:
    matrix = draw("orthogonal", shape, gain=gain).reshape(-1, shape[-1])
    products = matrix.T @ matrix if matrix.shape[0] >= matrix.shape[1] else matrix @ matrix.T
    np.testing.assert_allclose(products, gain**2 * np.eye(len(products)), atol=1e-13)


@pytest.mark.parametrize("shape", [(2, 2), (6, 4), (4, 6), (3, 3, 4, 5)], ids=str)
def test_orthogonal_kernels_are_drawn_as_by_keras(shape: tuple[int, ...]) -> None:
    """Each entry and the sum of all over many draws, because the signs of QR must be fixed."""
    first, second = (
        np.stack([drawn("orthogonal", shape, seed=seed) for seed in range(600)])
        for drawn in (draw, keras_draw)
    )
    every = tuple(range(1, first.ndim))
    assert kolmogorov_smirnov(first.sum(axis=every), second.sum(axis=every)) < 1
    for entry in (0, -1):
        values = (drawn.reshape(600, -1)[:, entry] for drawn in (first, second))
        assert kolmogorov_smirnov(*values) < 1


@pytest.mark.parametrize("gain", [1.0, 0.5])
@pytest.mark.parametrize("shape", [(4, 4), (3, 5), (5, 3)], ids=str)
def test_identity_matches_keras(shape: tuple[int, int], gain: float) -> None:
    expected = keras.initializers.Identity(gain=gain)(shape, dtype="float64")
    assert np.array_equal(draw("identity", shape, gain=gain), keras.ops.convert_to_numpy(expected))


@pytest.mark.parametrize("axes", [1, 2, 3, 4])
@pytest.mark.parametrize("name", list(INITIALIZERS))
def test_what_keras_rejects_is_rejected(name: str, axes: int) -> None:
    shape = (2,) * axes
    try:
        KERAS_INITIALIZERS[name]()(shape)
        refused = False
    except ValueError:
        refused = True
    assert (initializer(name).mismatch(axes) is not None) == refused


FIELDS = [
    (kind, field)
    for kind, layer in LAYERS.items()
    for field in layer.model_fields
    if field.endswith("_initializer")
]


@pytest.mark.parametrize(("kind", "field"), FIELDS, ids=map(".".join, FIELDS))
def test_every_initializer_field_rejects_unsuitable_initializers(kind: str, field: str) -> None:
    """Its type is one of VectorInitializer, MatrixInitializer and KernelInitializer."""
    wrong = "identity" if (kind, field) != ("Dense", "kernel_initializer") else None
    info = LAYERS[kind].model_fields[field]
    adapter: TypeAdapter[Any] = TypeAdapter(Annotated[info.annotation, *info.metadata])
    adapter.validate_python("glorot_uniform")
    if wrong:
        with pytest.raises(ValidationError, match="identity is for the kernel of Dense"):
            adapter.validate_python(wrong)


VECTORS = "use zeros, ones, constant, random_normal or random_uniform"


@pytest.mark.parametrize(
    ("layer", "path", "message", "hint"),
    [
        (
            "Dense: {units: 4, bias_initializer: orthogonal}",
            ".Dense.bias_initializer",
            "orthogonal is for kernels, but this weight has one axis",
            VECTORS,
        ),
        (
            "BatchNormalization: {gamma_initializer: {identity: 2}}",
            ".BatchNormalization.gamma_initializer",
            "identity is for the kernel of Dense, but this weight has one axis",
            VECTORS,
        ),
        (
            "SeparableConv2D: {filters: 4, kernel_size: 3, pointwise_initializer: identity}",
            ".SeparableConv2D.pointwise_initializer",
            "identity is for the kernel of Dense, but this kernel has 4 axes",
            "use orthogonal, or leave it out",
        ),
    ],
    ids=["orthogonal", "identity", "convolution"],
)
def test_refusals(layer: str, path: str, message: str, hint: str) -> None:
    assert complaint(f"[{layer}]") == (f"layers[0]{path}", message, hint)


def test_identity_makes_a_dense_layer_copy_its_input() -> None:
    net = read_net("[Dense: {units: 3, kernel_initializer: {identity: {gain: 2}}}]", (3,))
    x = torch.tensor([[1.0, -2.0, 3.0]])
    assert torch.equal(net(x), 2 * x)


def test_orthogonal_with_gain_in_a_convolution() -> None:
    text = "Conv2D: {filters: 5, kernel_size: 3, kernel_initializer: {orthogonal: 1/2}}"
    weight = read_net(f"[{text}]", (7, 9, 3)).get_parameter("conv2d.weight").flatten(1)
    torch.testing.assert_close(weight @ weight.T, torch.eye(5) / 4)
