"""The moving statistics of BatchNormalization: measure their effect, and re-estimate them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeGuard

import torch
from torch import nn

from sepcnn.config.config import Config
from sepcnn.data.augmentation import augment
from sepcnn.data.batch import centre_crop
from sepcnn.data.dataset import Split
from sepcnn.nn.layers.normalization import BatchNormalizationModule, BatchRenormalizationModule
from sepcnn.nn.model import Net, PlainExecutor
from sepcnn.training.evaluation import batch_size, inference, to_input
from sepcnn.training.loop import epoch_order

IMAGES_TO_RECALIBRATE = 10_000
"""number of training images that are enough: Wu & Johnson 2021, arXiv:2105.07576, section 3.2"""
IMAGES_TO_COMPARE = 256
"""number of training images on which both accuracies are compared"""


@dataclass(slots=True)
class Moments:
    """Sums over images of the mean and the mean square of each channel, float64 [C]."""

    means: torch.Tensor
    squares: torch.Tensor


class BatchStatistics(PlainExecutor):
    """Normalizes by the statistics of the batch, and sums them. It changes no module.

    Frozen layers use their moving statistics, as in training, and so does batch renormalization:
    its corrections r and d make training normalize by moving statistics, up to their limits.
    """

    def __init__(self) -> None:
        self.images = 0
        self.moments: dict[BatchNormalizationModule, Moments] = {}

    def begin(self, x: torch.Tensor) -> torch.Tensor:
        self.images += len(x)
        return x

    def call(self, module: nn.Module, *inputs: torch.Tensor) -> torch.Tensor:
        if not uses_batch_statistics(module):
            return super().call(module, *inputs)
        (x,) = inputs
        axes = [axis for axis in range(x.dim()) if axis != 1]
        variance, mean = torch.var_mean(x, dim=axes, correction=0)
        count, wide = len(x), mean.cpu().double()  # mps has no float64
        squares = variance.cpu().double() + wide.square()
        sums = self.moments.setdefault(
            module, Moments(torch.zeros_like(wide), torch.zeros_like(wide))
        )
        sums.means += count * wide
        sums.squares += count * squares
        scale, offset = module.weight, module.bias
        return torch.batch_norm(x, scale, offset, None, None, True, 0.0, module.epsilon, True)

    @torch.no_grad()
    def store(self) -> None:
        """Replace the moving statistics by the mean and variance over all batches."""
        for module, sums in self.moments.items():
            mean = sums.means / self.images
            variance = (sums.squares / self.images - mean.square()).clamp(min=0)
            module.moving_mean.copy_(mean)
            module.moving_variance.copy_(variance)


def uses_batch_statistics(module: nn.Module) -> TypeGuard[BatchNormalizationModule]:
    """Whether a layer normalizes by the statistics of the batch when it trains."""
    plain = isinstance(module, BatchNormalizationModule)
    return plain and not isinstance(module, BatchRenormalizationModule) and not module.frozen


def is_affected(net: Net) -> bool:
    """Whether training and evaluation of the model normalize by different statistics."""
    return any(map(uses_batch_statistics, net.modules()))


@torch.no_grad()
def recalibrate(net: Net, images: Split, config: Config) -> int:
    """Re-estimate the moving statistics from training images. Return the number of images.

    The weights are fixed. The mean of a layer is the mean over all batches; its variance is the
    mean square over all batches minus the squared mean. This is PreciseBN (Wu & Johnson 2021,
    arXiv:2105.07576, section 3). As in its implementation (fvcore), the images are augmented as in
    training. At most `IMAGES_TO_RECALIBRATE` images are used, in the order of the first epoch.
    """
    shape, seed = config.model.input_shape, config.train.seed
    order = epoch_order(config.train, 0, images.labels)[:IMAGES_TO_RECALIBRATE]
    statistics = BatchStatistics()
    with inference(net):
        for step, indices in enumerate(equal_parts(order, batch_size(shape))):
            batch = augment(images.read(indices), config.data.augment, shape[:2], seed, step)
            net.logits(to_input(batch.images), statistics)
    statistics.store()
    return statistics.images


def equal_parts(indices: torch.Tensor, largest: int) -> Sequence[torch.Tensor]:
    """Split into parts of nearly equal size: the statistics of a tiny last batch are poor."""
    return indices.tensor_split(-(-len(indices) // largest))


@dataclass(frozen=True, slots=True)
class Comparison:
    """The accuracy on the same training images with the statistics of inference and training."""

    images: int
    moving: float
    """with moving statistics, as in evaluation"""
    batch: float
    """with the statistics of each batch, as in training"""


@torch.no_grad()
def compare_statistics(net: Net, images: Split, config: Config) -> Comparison:
    """Measure what the moving statistics cost, on a sample of training images.

    The images are not augmented, and layers such as Dropout are in inference mode. Nothing of the
    model changes.
    """
    height, width, _ = config.model.input_shape
    order = epoch_order(config.train, 0, images.labels)[:IMAGES_TO_COMPARE]
    device = next(net.parameters()).device
    moving = of_batch = 0
    with inference(net):
        for indices in equal_parts(order, config.train.batch_size):
            batch = images.read(indices)
            labels = batch.labels.to(device)
            x = to_input(centre_crop(batch.images, (height, width)).to(device))
            moving += int((net.logits(x).argmax(1) == labels).sum())
            of_batch += int((net.logits(x, BatchStatistics()).argmax(1) == labels).sum())
    return Comparison(len(order), moving / len(order), of_batch / len(order))
