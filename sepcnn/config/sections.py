"""The sections of a config file: what its keys are and mean."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import (
    Field,
    PlainValidator,
    WithJsonSchema,
)

from sepcnn.backends.machine import Precision
from sepcnn.config.layer_defaults import Defaults
from sepcnn.data.augmentation import Augmentation
from sepcnn.data.class_balance import ClassWeights
from sepcnn.data.progressive_resizing import ProgressiveResizing
from sepcnn.data.sources import SOURCES
from sepcnn.data.sources.base import Source
from sepcnn.data.sources.shapes import Shapes
from sepcnn.language.data_format import CHANNELS_LAST, DataFormat
from sepcnn.language.messages import invalid, quote
from sepcnn.language.spec import Spec
from sepcnn.language.values import (
    ImageShape,
    NonNegativeInt,
    NonNegativeNumber,
    PositiveInt,
    PositiveNumber,
)
from sepcnn.nn.layers.base import LayerList
from sepcnn.nn.losses import CategoricalCrossentropy, Loss
from sepcnn.nn.optimizers import Optimizer, RMSprop
from sepcnn.nn.schedules import Constant, Schedule

assert SOURCES  # filled by the import: Source.table is what `Data.source` reads


class Model(Spec):
    """The net."""

    data_format: DataFormat = CHANNELS_LAST
    """channels_first: this file names an image's axes channels, height, width, everywhere"""
    input_shape: ImageShape
    """height, width and channels of the images"""
    defaults: Defaults = {}
    """fields for every layer of a name that does not say otherwise: {Conv2D: {padding: same}}"""
    layers: LayerList
    """the layers from input to output"""


class Data(Spec):
    """The images."""

    source: Source = Shapes()
    """where they come from"""
    validation: Annotated[NonNegativeNumber, Field(lt=1)] = 0.1
    """share of the training images held out where the set brings no validation split"""
    split_seed: NonNegativeInt = 0
    """decides which images are held out, whatever train.seed is"""
    augment: Annotated[tuple[Augmentation, ...], Field(strict=False)] = ()
    """random changes of the training images, in this order"""
    progressive_resizing: ProgressiveResizing | None = None
    """train on smaller images at first: {start: 1/2, until: 50%}"""


class EarlyStopping(Spec):
    """Ends the run when it no longer improves."""

    elsewhere: ClassVar[Mapping[str, str]] = {
        "monitor": "train.best says what decides, as in best: loss",
    }

    patience: PositiveInt = 5
    """epochs without a new best validation result after which the run ends"""


BestMetric = Literal["accuracy", "loss", "macro_recall", "macro_f1"]
"""the metric that decides which epoch is the best"""
DEVICE = r"auto|cpu|mps|cuda(:\d+)?"


def _device(value: object) -> str:
    if isinstance(value, str) and re.fullmatch(DEVICE, value):
        return value
    message = f"expected auto, cpu, mps, cuda or cuda:1, found {quote(value)}"
    raise invalid(message, "cuda is an NVIDIA GPU, mps that of a Mac; auto takes what is there")


Device = Annotated[
    str, PlainValidator(_device), WithJsonSchema({"type": "string", "pattern": f"^({DEVICE})$"})
]


def _compile(value: object) -> bool | str:
    if value == "auto" or isinstance(value, bool):
        return value
    raise invalid(f"expected auto, true or false, found {quote(value)}", "auto knows where it pays")


Compile = Annotated[
    bool | str, PlainValidator(_compile), WithJsonSchema({"enum": ["auto", True, False]})
]


class Train(Spec):
    """The training run."""

    elsewhere: ClassVar[Mapping[str, str]] = {
        "learning_rate": "it belongs to the optimizer, as in optimizer: {Adam: 1e-3}",
        "sample_weight": "class_weights is the weight of each class",
        "metrics": "loss and accuracy are always there; sepcnn eval gives the rest",
        "verbose": "the bar is shown on a terminal, plain lines elsewhere",
    }

    epochs: PositiveInt = 10
    """passes over the training images"""
    batch_size: PositiveInt = 64
    """images a step, over all processes; the last batch of an epoch may be smaller"""
    optimizer: Optimizer = RMSprop()
    """the rule that changes the weights"""
    schedule: Schedule = Constant()
    """how the learning rate changes over the run"""
    loss: Loss = CategoricalCrossentropy()
    """what is made small"""
    class_weights: ClassWeights = None
    """factor of the loss of each class: balanced (images / (classes · images of the class)), a
    number for each class by name (1 for those not named), or a list in the order of the classes"""
    sampling: Literal["shuffle", "balanced"] = "shuffle"
    """shuffle: each image once an epoch; balanced: as many, the same share of every class"""
    best: BestMetric = "accuracy"
    """what decides which epoch is the best: accuracy, loss, macro_recall or macro_f1"""
    early_stopping: EarlyStopping | None = None
    """end the run when validation no longer improves"""
    precision: Precision = "auto"
    """auto: bfloat16 where the processor or GPU multiplies it, or the kernels of fused keep images
    in it (with AVX2), else float32. Weights, statistics and loss are float32"""
    device: Device = "auto"
    """auto, cpu, cuda, cuda:1, mps"""
    fused: bool = True
    """on a CPU, compute with kernels that are compiled for it, where there is a C++ compiler"""
    compile: Compile = "auto"
    """compute with torch.compile; auto: on a CUDA GPU in runs of 1,000 steps and more. The
    first step waits for it, and it takes the place of fused"""
    cuda_graphs: bool = False
    """on a CUDA GPU, record a step's kernels once and launch them as one from then on: for small
    nets and batches. Not measured yet: sepcnn benchmark --tune tells whether it is faster"""
    seed: NonNegativeInt = 0
    """decides first weights, order, augmentation and dropout"""
    checkpoint_minutes: PositiveNumber = 3.0
    """time between checkpoints within an epoch"""
