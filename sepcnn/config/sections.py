"""The sections of a config file: their keys, types and defaults."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import (
    BeforeValidator,
    Field,
    PlainValidator,
    WithJsonSchema,
)

from sepcnn.backends.machine import Precision
from sepcnn.config.layer_defaults import Defaults
from sepcnn.data.augmentation import Augmentation
from sepcnn.data.class_balance import ClassWeights
from sepcnn.data.hold_out import SplitRule
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
    """The input and the layers of the model."""

    data_format: DataFormat = CHANNELS_LAST
    """order of the axes of an image in this config: height, width, channels (channels_last) or
    channels, height, width (channels_first)"""
    input_shape: ImageShape
    """height, width and channels of the input images, in the order of ``data_format``"""
    defaults: Defaults = {}
    """default field values per layer type, as in {Conv2D: {padding: same}}; a layer can override
    them"""
    layers: LayerList
    """list of layers, from input to output"""


class Data(Spec):
    """The images: source, validation split and augmentation."""

    elsewhere: ClassVar[Mapping[str, str]] = {
        "epochs": "it is a key of train, not of data",
        "batch_size": "it is a key of train, not of data",
    }

    source: Source = Shapes()
    """data set to read the images from"""
    validation: Annotated[NonNegativeNumber, Field(lt=1)] = 0.1
    """fraction of the training images held out for validation, if the data set has no validation
    split"""
    split_seed: NonNegativeInt = 0
    """seed for choosing the images held out; independent of train.seed"""
    split_rule: SplitRule = "content"
    """what decides which images are held out: content, so that equal images are on one side; names,
    the rule of older runs, by file names or by positions in arrays"""
    augment: Annotated[tuple[Augmentation, ...], Field(strict=False)] = ()
    """random augmentations of the training images, applied in this order"""
    progressive_resizing: ProgressiveResizing | None = None
    """start training on smaller images, as in {start: 1/2, until: 50%}"""


class EarlyStopping(Spec):
    """Stop training when the validation metric ``train.best`` no longer improves."""

    elsewhere: ClassVar[Mapping[str, str]] = {
        "monitor": "set train.best to the metric, as in best: loss",
    }

    patience: PositiveInt = 5
    """number of epochs without a new best result before training stops"""


BestMetric = Literal["accuracy", "loss", "macro_recall", "macro_f1"]
"""the metric that decides which epoch is the best"""
DEVICE = r"auto|cpu|mps|cuda(:\d+)?"


def _device(value: object) -> str:
    if isinstance(value, str) and re.fullmatch(DEVICE, value):
        return value
    message = f"expected auto, cpu, mps, cuda or cuda:N, found {quote(value)}"
    raise invalid(
        message, "cuda is an NVIDIA GPU, mps an Apple GPU; auto uses a GPU if there is one"
    )


Device = Annotated[
    str, PlainValidator(_device), WithJsonSchema({"type": "string", "pattern": f"^({DEVICE})$"})
]


def _compile(value: object) -> bool | str:
    if value == "auto" or isinstance(value, bool):
        return value
    raise invalid(
        f"expected auto, true or false, found {quote(value)}",
        "auto compiles only on a CUDA GPU, for long runs",
    )


Compile = Annotated[
    bool | str, PlainValidator(_compile), WithJsonSchema({"enum": ["auto", True, False]})
]


def _no_float16(value: object) -> object:
    if value in ("float16", "fp16", "half"):
        raise invalid(f"{value} is not supported", "use bfloat16, which has the range of float32")
    return value


class Train(Spec):
    """The training run: length, optimizer, loss, and how the computation is done."""

    elsewhere: ClassVar[Mapping[str, str]] = {
        "augment": "it is a key of data, not of train",
        "learning_rate": "it belongs to the optimizer, as in optimizer: {Adam: 1e-3}",
        "sample_weight": "use class_weights to weight the classes",
        "metrics": "loss and accuracy are always measured; sepcnn eval shows the others",
        "verbose": "a terminal shows a progress bar, other outputs plain lines",
    }

    epochs: PositiveInt = 10
    """number of passes over the training images"""
    batch_size: PositiveInt = 64
    """number of images per step, over all processes; the last batch of an epoch may be smaller"""
    optimizer: Optimizer = RMSprop()
    """optimizer that updates the weights"""
    schedule: Schedule = Constant()
    """how the learning rate changes over the run"""
    loss: Loss = CategoricalCrossentropy()
    """loss to minimise"""
    class_weights: ClassWeights = None
    """weight of each class in the loss: ``balanced`` (number of images / number of classes / images
    in the class), a mapping from class name to weight (default 1), or a list in class order"""
    sampling: Literal["shuffle", "balanced"] = "shuffle"
    """shuffle: each image once per epoch; balanced: the same number of images per
    epoch, drawn equally from all classes"""
    best: BestMetric = "accuracy"
    """validation metric that decides which epoch is the best: accuracy, loss, macro_recall or
    macro_f1"""
    early_stopping: EarlyStopping | None = None
    """stop training when the metric ``best`` no longer improves"""
    precision: Annotated[Precision, BeforeValidator(_no_float16)] = "auto"
    """number format of the computation. auto: bfloat16 if the processor or GPU has
    bfloat16 arithmetic, or if the kernels of ``fused: true`` store activations in it (AVX2); else
    float32. Weights, statistics and loss are always float32"""
    device: Device = "auto"
    """device to train on: auto, cpu, cuda, cuda:N or mps"""
    fused: bool = True
    """on a CPU, use kernels compiled for this processor; needs a C++ compiler"""
    compile: Compile = "auto"
    """use torch.compile instead of fused; the first step waits for the compiler. auto: on a CUDA
    GPU, for runs of at least 1,000 steps"""
    cuda_graphs: bool = False
    """on a CUDA GPU, record the kernels of a step once and launch them together afterwards; meant
    for small models and batches. Not measured yet: sepcnn benchmark --tune compares it"""
    seed: NonNegativeInt = 0
    """seed for initial weights, order of the images, augmentation and dropout"""
    checkpoint_minutes: PositiveNumber = 3.0
    """minutes between checkpoints within an epoch"""
