"""Initial values of weights, equal in distribution to Keras' initializers of the same name.

An initializer draws a tensor in *Keras'* layout (a convolution kernel is height × width × inputs ×
outputs), since Keras' fans are read off that layout; `sepcnn.nn.layers.base.WeightInfo` turns it
into torch's. Draws are made in float64 on the CPU, so they do not depend on the device.

Three of Keras' arguments are deliberately not there. ``seed``: every weight draws from its own
stream, named by the run's seed and the weight (see `sepcnn.randomness`), so a seed here could only
make weights equal that should differ. ``input_axes`` and ``output_axes``: the one case among images
is ``depthwise_fan`` of SeparableConv2D. Keras' ``stft`` is for sound, so it is left out too.
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
"""standard deviation of a unit normal distribution cut at ±2, the constant Keras uses"""


FOR_VECTORS = "zeros, ones, constant: a number, or one of random_normal and random_uniform"


class Initializer(WeightRule):
    """Draws the initial value of one weight."""

    table: ClassVar[Table] = Table("initializer")

    @abstractmethod
    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
        """A float64 tensor of ``shape`` (Keras' layout)."""


VectorInitializer = Annotated[Initializer, for_axes(1)]
"""of one value a channel: biases, scales, statistics"""
MatrixInitializer = Annotated[Initializer, for_axes(2)]
"""of the kernel of a dense layer, inputs × outputs"""
KernelInitializer = Annotated[Initializer, for_axes(4)]
"""of the kernel of a convolution, height × width × inputs × outputs"""


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """Keras' (fan_in, fan_out): the last two axes are inputs and outputs, the others the window.

    For a depthwise kernel (height, width, channels, multiplier) this gives fan_in =
    height·width·channels, although each output sees height·width inputs: Keras' meaning.
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
    """Normal values, cut at ±2·stddev, through the inverse of the cumulative distribution."""
    edge = math.erf(2 / math.sqrt(2))
    uniform = torch.rand(shape, generator=generator, dtype=torch.float64)
    return torch.erfinv((2 * uniform - 1) * edge) * (math.sqrt(2) * stddev)


class Constant(Initializer):
    """Every value the same."""

    value: Number = 0.0
    """the value"""

    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
        return torch.full(shape, self.value, dtype=torch.float64)


class Zeros(Initializer):
    """Every value 0."""

    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
        return torch.zeros(shape, dtype=torch.float64)


class Ones(Initializer):
    """Every value 1."""

    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
        return torch.ones(shape, dtype=torch.float64)


class RandomNormal(Initializer):
    """Values of a normal distribution."""

    mean: Number = 0.0
    """centre of the distribution"""
    stddev: PositiveNumber = 0.05
    """standard deviation"""

    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
        values = torch.randn(shape, generator=generator, dtype=torch.float64)
        return values * self.stddev + self.mean


class RandomUniform(Initializer):
    """Values spread evenly from ``minval`` to below ``maxval``."""

    minval: Number = -0.05
    """lower end"""
    maxval: Number = 0.05
    """upper end"""

    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
        values = torch.rand(shape, generator=generator, dtype=torch.float64)
        return values * (self.maxval - self.minval) + self.minval


class TruncatedNormal(Initializer):
    """Values of a normal distribution cut at two standard deviations, which spread less."""

    mean: Number = 0.0
    """centre of the distribution"""
    stddev: PositiveNumber = 0.05
    """standard deviation before the cut"""

    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
        return truncated_normal(shape, self.stddev, generator) + self.mean


class VarianceScaling(Initializer):
    """Values whose variance is ``scale / fan``: the family of glorot, he and lecun.

    ``truncated_normal`` is cut at ±2σ and has the variance *after* the cut (σ is divided by
    0.8796…); ``uniform`` lies within ±√(3·scale/fan).
    """

    scale: PositiveNumber = 1.0
    """variance times fan"""
    mode: Literal["fan_in", "fan_out", "fan_avg"] = "fan_in"
    """which number of connections divides the variance"""
    distribution: Literal["truncated_normal", "untruncated_normal", "uniform"] = "truncated_normal"
    """shape of the distribution"""

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
    """A member of the variance-scaling family with everything fixed."""

    family: ClassVar[VarianceScaling]

    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
        return self.family.draw(shape, generator)


class GlorotUniform(FixedVarianceScaling):
    """Uniform, variance ``2/(fan_in + fan_out)``. Glorot & Bengio 2010; Keras' default."""

    family = VarianceScaling(scale=1.0, mode="fan_avg", distribution="uniform")


class GlorotNormal(FixedVarianceScaling):
    """Truncated normal, variance ``2/(fan_in + fan_out)``. Glorot & Bengio 2010."""

    family = VarianceScaling(scale=1.0, mode="fan_avg")


class HeUniform(FixedVarianceScaling):
    """Uniform, variance ``2/fan_in``. He et al. 2015, arXiv:1502.01852."""

    family = VarianceScaling(scale=2.0, distribution="uniform")


class HeNormal(FixedVarianceScaling):
    """Truncated normal, variance ``2/fan_in``. He et al. 2015, arXiv:1502.01852."""

    family = VarianceScaling(scale=2.0)


class LecunUniform(FixedVarianceScaling):
    """Uniform, variance ``1/fan_in``. LeCun et al. 1998, Efficient BackProp."""

    family = VarianceScaling(scale=1.0, distribution="uniform")


class LecunNormal(FixedVarianceScaling):
    """Truncated normal, variance ``1/fan_in``. LeCun et al. 1998, Efficient BackProp."""

    family = VarianceScaling(scale=1.0)


class Orthogonal(Initializer):
    """Columns that are orthogonal and of length ``gain`` (rows, where there are fewer of them).

    A convolution kernel counts as a matrix of height·width·inputs rows and one column an output.
    Uniform over all such matrices: Q of a normal matrix's QR, signs fixed. Saxe et al. 2014,
    arXiv:1312.6120. The last digits follow the linear algebra library (LAPACK) of the machine.
    """

    gain: Number = 1.0
    """factor of all values"""

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
        message = (
            "orthogonal draws the kernel of a layer, but this weight is a single row of values"
        )
        return Mismatch(message, f"use {FOR_VECTORS}")


class Identity(Initializer):
    """``gain`` on the diagonal, 0 elsewhere: the layer passes its input on. Dense layers only."""

    gain: Number = 1.0
    """the value on the diagonal"""

    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
        return torch.eye(*shape, dtype=torch.float64) * self.gain

    def mismatch(self, axes: int) -> Mismatch | None:
        if axes == 2:
            return None
        if axes == 1:
            message = (
                "identity is for the kernel of Dense, but this weight is a single row of values"
            )
            return Mismatch(message, f"use {FOR_VECTORS}")
        message = f"identity is for the kernel of Dense, but the kernel here has {axes} axes"
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
        # Keras' short names.
        "zero": Zeros,
        "one": Ones,
        "normal": RandomNormal,
        "uniform": RandomUniform,
    }
)
