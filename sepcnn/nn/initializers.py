"""Initializers by their names in Keras, equal in distribution to those of Keras.

An initializer draws a tensor in Keras layout (a convolution kernel is height × width × inputs ×
outputs), because the fans of Keras are computed from that layout. `WeightInfo` in
`sepcnn.nn.layers.module` converts it to torch layout. Values are drawn in float64 on the CPU, so
they do not depend on the device.

Some arguments of Keras are missing on purpose. ``seed``: every weight draws from its own stream,
keyed by the seed of the run and the name of the weight (see `sepcnn.randomness`); a seed here could
only make weights equal that should differ. ``input_axes`` and ``output_axes``: the only use for
images is ``depthwise_fan`` of SeparableConv2D. The initializer ``stft`` is for audio.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Annotated, ClassVar, Literal

import torch

from sepcnn.language.mismatch import Mismatch
from sepcnn.language.spec import Table
from sepcnn.language.values import Number, PositiveNumber
from sepcnn.nn.weight_rule import WeightRule, for_axes

TRUNCATION_SHRINKS_STDDEV = 0.87962566103423978
"""standard deviation of a unit normal distribution truncated at ±2, the constant in Keras"""


FOR_VECTORS = "zeros, ones, constant, random_normal or random_uniform"


class Initializer(WeightRule):
    """Draws the initial value of one weight."""

    table: ClassVar[Table] = Table("initializer")

    @abstractmethod
    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
        """Draw a float64 tensor of ``shape`` (Keras layout)."""


VectorInitializer = Annotated[Initializer, for_axes(1)]
"""for weights with one axis: biases, factors and statistics of normalizations"""
MatrixInitializer = Annotated[Initializer, for_axes(2)]
"""for kernels of Dense, inputs × outputs"""
KernelInitializer = Annotated[Initializer, for_axes(4)]
"""for kernels of convolutions, height × width × inputs × outputs"""


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """Return (fan_in, fan_out) as in Keras.

    The last two axes are inputs and outputs, the others the window. For a depthwise kernel
    (height, width, channels, multiplier) fan_in is height·width·channels, although each output
    has only height·width inputs.
    """
    if not shape:
        return 1, 1
    if len(shape) == 1:
        return shape[0], shape[0]
    window = math.prod(shape[:-2])
    return shape[-2] * window, shape[-1] * window


def truncated_normal(
    shape: tuple[int, ...], stddev: float, generator: torch.Generator
) -> torch.Tensor:
    """Draw normal values truncated at ±2·stddev, by inverting the cumulative distribution."""
    edge = math.erf(2 / math.sqrt(2))
    uniform = torch.rand(shape, generator=generator, dtype=torch.float64)
    return torch.erfinv((2 * uniform - 1) * edge) * (math.sqrt(2) * stddev)


class Constant(Initializer):
    """Sets every value to ``value``."""

    value: Number = 0.0
    """the value"""

    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
        return torch.full(shape, self.value, dtype=torch.float64)


class Zeros(Initializer):
    """Sets every value to 0."""

    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
        return torch.zeros(shape, dtype=torch.float64)


class Ones(Initializer):
    """Sets every value to 1."""

    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
        return torch.ones(shape, dtype=torch.float64)


class RandomNormal(Initializer):
    """Draws from a normal distribution."""

    mean: Number = 0.0
    """centre of the distribution"""
    stddev: PositiveNumber = 0.05
    """standard deviation"""

    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
        values = torch.randn(shape, generator=generator, dtype=torch.float64)
        return values * self.stddev + self.mean


class RandomUniform(Initializer):
    """Draws from a uniform distribution over [minval, maxval)."""

    minval: Number = -0.05
    """lower bound"""
    maxval: Number = 0.05
    """upper bound, exclusive"""

    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
        values = torch.rand(shape, generator=generator, dtype=torch.float64)
        return values * (self.maxval - self.minval) + self.minval


class TruncatedNormal(Initializer):
    """Draws from a normal distribution truncated at two standard deviations."""

    mean: Number = 0.0
    """centre of the distribution"""
    stddev: PositiveNumber = 0.05
    """standard deviation before truncation; after truncation it is smaller"""

    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
        return truncated_normal(shape, self.stddev, generator) + self.mean


class VarianceScaling(Initializer):
    """Draws with variance ``scale / fan``; glorot, he and lecun are special cases.

    ``truncated_normal`` is truncated at ±2σ and has this variance *after* truncation (σ is divided
    by 0.8796…); ``uniform`` is within ±√(3·scale/fan).
    """

    scale: PositiveNumber = 1.0
    """numerator of the variance"""
    mode: Literal["fan_in", "fan_out", "fan_avg"] = "fan_in"
    """divisor of scale: the number of inputs, the number of outputs, or their mean"""
    distribution: Literal["truncated_normal", "untruncated_normal", "uniform"] = "truncated_normal"
    """distribution to draw from"""

    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
        fan_in, fan_out = fans(shape)
        fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]
        stddev = math.sqrt(self.scale / max(1.0, fan))
        if self.distribution == "truncated_normal":
            return truncated_normal(shape, stddev / TRUNCATION_SHRINKS_STDDEV, generator)
        if self.distribution == "untruncated_normal":
            return torch.randn(shape, generator=generator, dtype=torch.float64) * stddev
        values = torch.rand(shape, generator=generator, dtype=torch.float64)
        return (2 * values - 1) * (math.sqrt(3) * stddev)


class FixedVarianceScaling(Initializer):
    """VarianceScaling with fixed fields."""

    scaling: ClassVar[VarianceScaling]

    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
        return self.scaling.draw(shape, generator)


class GlorotUniform(FixedVarianceScaling):
    """Uniform, variance ``2/(fan_in + fan_out)``. Glorot & Bengio 2010; the default for kernels."""

    scaling = VarianceScaling(scale=1.0, mode="fan_avg", distribution="uniform")


class GlorotNormal(FixedVarianceScaling):
    """Truncated normal, variance ``2/(fan_in + fan_out)``. Glorot & Bengio 2010."""

    scaling = VarianceScaling(scale=1.0, mode="fan_avg")


class HeUniform(FixedVarianceScaling):
    """Uniform, variance ``2/fan_in``. He et al. 2015, arXiv:1502.01852."""

    scaling = VarianceScaling(scale=2.0, distribution="uniform")


class HeNormal(FixedVarianceScaling):
    """Truncated normal, variance ``2/fan_in``. He et al. 2015, arXiv:1502.01852."""

    scaling = VarianceScaling(scale=2.0)


class LecunUniform(FixedVarianceScaling):
    """Uniform, variance ``1/fan_in``. LeCun et al. 1998, Efficient BackProp."""

    scaling = VarianceScaling(scale=1.0, distribution="uniform")


class LecunNormal(FixedVarianceScaling):
    """Truncated normal, variance ``1/fan_in``. LeCun et al. 1998, Efficient BackProp."""

    scaling = VarianceScaling(scale=1.0)


class Orthogonal(Initializer):
    """Draws a matrix whose columns are orthogonal and have length ``gain``.

    If there are fewer rows than columns, the rows are orthogonal instead. A convolution kernel is
    a matrix with height·width·inputs rows and one column per output. Uniform over all such
    matrices: Q of the QR decomposition of a matrix of normal random numbers, with signs such that
    the diagonal of R is positive. Saxe et al. 2014, arXiv:1312.6120. The last digits
    depend on the linear algebra library (LAPACK) of the machine.
    """

    gain: Number = 1.0
    """factor for all values"""

    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
        rows, columns = math.prod(shape[:-1]), shape[-1]
        tall = (max(rows, columns), min(rows, columns))
        q, r = torch.linalg.qr(torch.randn(tall, generator=generator, dtype=torch.float64))
        q = q * r.diagonal().sign()
        matrix: torch.Tensor = q if rows >= columns else q.T
        return matrix.reshape(shape) * self.gain

    def mismatch(self, axes: int) -> Mismatch | None:
        if axes >= 2:
            return None
        message = "orthogonal is for kernels, but this weight has one axis"
        return Mismatch(message, f"use {FOR_VECTORS}")


class Identity(Initializer):
    """Sets the diagonal to ``gain`` and other values to 0, so that the layer copies its input.

    Only for Dense.
    """

    gain: Number = 1.0
    """value on the diagonal"""

    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
        return torch.eye(*shape, dtype=torch.float64) * self.gain

    def mismatch(self, axes: int) -> Mismatch | None:
        if axes == 2:
            return None
        if axes == 1:
            message = "identity is for the kernel of Dense, but this weight has one axis"
            return Mismatch(message, f"use {FOR_VECTORS}")
        message = f"identity is for the kernel of Dense, but this kernel has {axes} axes"
        return Mismatch(message, "use orthogonal, or leave it out")


INITIALIZERS = Initializer.table
INITIALIZERS.fill(
    {
        "zeros": Zeros,
        "ones": Ones,
        "constant": Constant,
        "random_normal": RandomNormal,
        "random_uniform": RandomUniform,
        "truncated_normal": TruncatedNormal,
        "variance_scaling": VarianceScaling,
        "glorot_uniform": GlorotUniform,
        "glorot_normal": GlorotNormal,
        "he_uniform": HeUniform,
        "he_normal": HeNormal,
        "lecun_uniform": LecunUniform,
        "lecun_normal": LecunNormal,
        "orthogonal": Orthogonal,
        "identity": Identity,
        # Short names of Keras.
        "zero": Zeros,
        "one": Ones,
        "normal": RandomNormal,
        "uniform": RandomUniform,
    }
)
INITIALIZERS.accept(
    INITIALIZERS.class_names()
    | {"IdentityInitializer": "identity", "OrthogonalInitializer": "orthogonal"}
)
