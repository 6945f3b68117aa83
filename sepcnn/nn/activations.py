"""Activation functions by their names in Keras."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import torch
from torch.nn import functional

from sepcnn.language.spec import Choice, Table
from sepcnn.language.values import NonNegativeNumber

SOFTPLUS_IS_LINEAR = 40.0
"""log(1 + exp(x)) equals x in float64 from here; the default of torch, 20, has an error of 2e-9"""


class ActivationFunction(Choice):
    """An activation function."""

    table: ClassVar[Table] = Table("activation")

    @abstractmethod
    def apply(self, x: torch.Tensor, overwrite: bool = False) -> torch.Tensor:
        """Return the activated tensor, of the same shape; axis 1 holds the channels.

        ``overwrite`` allows writing the result into ``x``, which saves memory traffic. ``x`` must
        then not be used elsewhere.
        """


class Linear(ActivationFunction):
    """The identity: ``x``."""

    def apply(self, x: torch.Tensor, overwrite: bool = False) -> torch.Tensor:
        return x


class Relu(ActivationFunction):
    """``x`` if x > ``threshold``, else ``negative_slope · (x − threshold)``; at most ``max_value``.

    Without fields it is ``max(x, 0)``. ``relu: 6`` sets ``max_value``, the first argument of the
    Keras layer ReLU. (The first argument of the Keras function is ``negative_slope``.) The gradient
    at ``threshold`` is as in Keras; at ``max_value`` it is 0, as in relu6 (in Keras 0, ½ or 1,
    depending on the backend and on ``max_value``).
    """

    max_value: NonNegativeNumber | None = None
    """largest output; null: no limit"""
    negative_slope: NonNegativeNumber = 0.0
    """slope below ``threshold``"""
    threshold: NonNegativeNumber = 0.0
    """inputs above this value pass unchanged, up to ``max_value``"""

    def apply(self, x: torch.Tensor, overwrite: bool = False) -> torch.Tensor:
        if self.negative_slope and self.max_value is None and not self.threshold:
            return functional.leaky_relu(x, self.negative_slope, inplace=overwrite)
        below = functional.relu(self.threshold - x) if self.negative_slope else None
        if self.threshold:
            y = torch.where(x > self.threshold, x, 0.0)
        else:
            y = functional.relu(x, inplace=overwrite)
        y = y if self.max_value is None else y.clamp(max=self.max_value)
        return y if below is None else y - self.negative_slope * below


class Relu6(ActivationFunction):
    """``min(max(x, 0), 6)``."""

    def apply(self, x: torch.Tensor, overwrite: bool = False) -> torch.Tensor:
        return functional.relu6(x)


class LeakyRelu(ActivationFunction):
    """``x`` if x > 0, else ``negative_slope · x``. Maas et al. 2013."""

    negative_slope: NonNegativeNumber = 0.2
    """slope below 0; the default is as in Keras (torch: 0.01)"""

    def apply(self, x: torch.Tensor, overwrite: bool = False) -> torch.Tensor:
        return functional.leaky_relu(x, self.negative_slope, inplace=overwrite)


class Elu(ActivationFunction):
    """``x`` if x > 0, else ``alpha · (exp(x) − 1)``. Clevert et al. 2015, arXiv:1511.07289."""

    alpha: NonNegativeNumber = 1.0
    """the output approaches −alpha for large negative inputs"""

    def apply(self, x: torch.Tensor, overwrite: bool = False) -> torch.Tensor:
        return functional.elu(x, self.alpha, inplace=overwrite)


class Selu(ActivationFunction):
    """``1.0507 · elu(x)`` with alpha 1.67326. Klambauer et al. 2017, arXiv:1706.02515.

    With ``lecun_normal`` kernels, the outputs of every layer keep mean 0 and variance 1.
    """

    def apply(self, x: torch.Tensor, overwrite: bool = False) -> torch.Tensor:
        return functional.selu(x, inplace=overwrite)


class Gelu(ActivationFunction):
    """``x · Φ(x)``, Φ: standard normal CDF. Hendrycks & Gimpel 2016, arXiv:1606.08415."""

    approximate: bool = False
    """approximate Φ(x) by ``0.5 · (1 + tanh(√(2/π) · (x + 0.044715 · x³)))``"""

    def apply(self, x: torch.Tensor, overwrite: bool = False) -> torch.Tensor:
        return functional.gelu(x, approximate="tanh" if self.approximate else "none")


class Silu(ActivationFunction):
    """``x · sigmoid(x)``, also called swish. Ramachandran et al. 2017, arXiv:1710.05941."""

    def apply(self, x: torch.Tensor, overwrite: bool = False) -> torch.Tensor:
        return functional.silu(x)


class HardSilu(ActivationFunction):
    """``x · hard_sigmoid(x)``, also called hard_swish. Howard et al. 2019, arXiv:1905.02244."""

    def apply(self, x: torch.Tensor, overwrite: bool = False) -> torch.Tensor:
        return functional.hardswish(x)


class HardSigmoid(ActivationFunction):
    """``min(max(x + 3, 0), 6) / 6``, a piecewise linear approximation of the sigmoid."""

    def apply(self, x: torch.Tensor, overwrite: bool = False) -> torch.Tensor:
        return functional.hardsigmoid(x)


class Mish(ActivationFunction):
    """``x · tanh(softplus(x))``. Misra 2019, arXiv:1908.08681."""

    def apply(self, x: torch.Tensor, overwrite: bool = False) -> torch.Tensor:
        return functional.mish(x)


class Sigmoid(ActivationFunction):
    """``1 / (1 + exp(−x))``."""

    def apply(self, x: torch.Tensor, overwrite: bool = False) -> torch.Tensor:
        return torch.sigmoid(x)


class Tanh(ActivationFunction):
    """The hyperbolic tangent, between −1 and 1."""

    def apply(self, x: torch.Tensor, overwrite: bool = False) -> torch.Tensor:
        return torch.tanh(x)


class Softplus(ActivationFunction):
    """``log(1 + exp(x))``."""

    def apply(self, x: torch.Tensor, overwrite: bool = False) -> torch.Tensor:
        return functional.softplus(x, threshold=SOFTPLUS_IS_LINEAR)


class Softsign(ActivationFunction):
    """``x / (1 + |x|)``."""

    def apply(self, x: torch.Tensor, overwrite: bool = False) -> torch.Tensor:
        return functional.softsign(x)


class Exponential(ActivationFunction):
    """``exp(x)``."""

    def apply(self, x: torch.Tensor, overwrite: bool = False) -> torch.Tensor:
        return torch.exp(x)


class Softmax(ActivationFunction):
    """``exp(x) / Σ exp(x)`` over the channels."""

    def apply(self, x: torch.Tensor, overwrite: bool = False) -> torch.Tensor:
        return torch.softmax(x, dim=1)


class LogSoftmax(ActivationFunction):
    """The logarithm of softmax, computed without overflow."""

    def apply(self, x: torch.Tensor, overwrite: bool = False) -> torch.Tensor:
        return torch.log_softmax(x, dim=1)


ACTIVATIONS = ActivationFunction.table
ACTIVATIONS.fill(
    {
        "linear": Linear,
        "relu": Relu,
        "relu6": Relu6,
        "leaky_relu": LeakyRelu,
        "elu": Elu,
        "selu": Selu,
        "gelu": Gelu,
        "silu": Silu,
        "swish": Silu,
        "hard_silu": HardSilu,
        "hard_swish": HardSilu,
        "hard_sigmoid": HardSigmoid,
        "mish": Mish,
        "sigmoid": Sigmoid,
        "tanh": Tanh,
        "softplus": Softplus,
        "softsign": Softsign,
        "exponential": Exponential,
        "softmax": Softmax,
        "log_softmax": LogSoftmax,
    }
)
