"""Write a config that suits a folder of images, with a comment on each line."""

from __future__ import annotations

import math
from collections.abc import Mapping

from sepcnn.language.edit import to_yaml, yaml_scalar
from sepcnn.starter.survey import Facts, square_side
from sepcnn.wording import counted

SMALLEST_MAP = 4
"""smallest side of the last feature map, in pixels"""
NOTABLE_CROP = 0.01
"""share of an image that the crop removes from which a comment mentions it"""
RANGE_WHY = "the values in use become 0 to 255"
FEW_IMAGES, MANY_IMAGES = 1000, 20_000
"""training images below which the model is small, and from which it needs little dropout"""
IMAGES_SEEN = 100_000
"""images processed in the whole run, which determines the number of epochs"""
BATCH_SIZES = {64: 2000, 32: 400, 16: 64, 8: 16, 4: 0}
"""each with the number of training images from which it is used, so that an epoch has several
steps"""
COMMENT_COLUMN = 50


def write(facts: Facts, folder: str, options: Mapping[str, object] | None = None) -> str:
    """Return the text of the config, which reads the images in ``folder``.

    ``options`` are further fields of Folder.
    """
    lines = [
        "# yaml-language-server: $schema=sepcnn.schema.json",
        f"# Written by sepcnn init for {counted(facts.train, 'training image')} of "
        f"{counted(facts.classes, 'class')}.",
        "",
        *model(facts),
        "",
        *data(facts, folder, options or {}),
        "",
        *train(facts),
    ]
    return "\n".join(lines) + "\n"


def line(text: str, comment: str) -> str:
    return f"{text:<{COMMENT_COLUMN - 2}}  # {comment}"


def model(facts: Facts) -> list[str]:
    side, channels = square_side(facts.side), 1 if facts.grey else 3
    height, width = facts.input_size
    small = facts.train < FEW_IMAGES
    first = 16 if small else 32
    strides = 2 if side >= 64 else 1
    stages = max(1, math.floor(math.log2(side / strides / SMALLEST_MAP) + 0.3))
    kind = "all are grey" if facts.grey else "colour"
    why = "few images: a small model" if small else "enough images for a model of this width"
    lines = [
        line("model:", f"{why}"),
        line(
            f"  input_shape: [{height}, {width}, {channels}]",
            f"height, width, channels: {shape_in_words(facts)}; {kind}",
        ),
        line("  defaults:", "for all layers of these types, unless a layer sets its own"),
        line(
            "    Conv2D: {padding: same, use_bias: false}", "no bias: batch normalization adds one"
        ),
        line(
            "    SeparableConv2D: {kernel_size: 3, padding: same, use_bias: false}",
            "a 3×3 filter per channel, then 1×1 over all channels",
        ),
        line("    BatchNormalization: {momentum: 0.9}", "averages over about the last 10 steps"),
        line(
            "    MaxPooling2D: {pool_size: 3, strides: 2, padding: same}", "halves height and width"
        ),
        line("  layers:", "from input to output"),
        line("    - Rescaling: {scale: 1/127.5, offset: -1}", "pixels 0 to 255 become -1 to 1"),
        line(
            f"    - Conv2D: {{filters: {first}, kernel_size: 3, strides: {strides}}}",
            "edges and colours" + (", at half the size" if strides == 2 else ", at full size"),
        ),
        line("    - BatchNormalization", "normalizes each channel"),
        line("    - ReLU", "negative values become 0"),
    ]
    for stage in range(stages):
        filters = first * 2 ** min(stage + 1, 3)
        shrunk = strides * 2 ** (stage + 1)
        lines += residual(filters, (math.ceil(height / shrunk), math.ceil(width / shrunk)))
    dropout = 0.4 if small else 0.1 if facts.train >= MANY_IMAGES else 0.3
    return [
        *lines,
        line("    - ReLU", "negative values become 0"),
        line("    - GlobalAveragePooling2D", "mean of each channel"),
        line(f"    - Dropout: {dropout}", "share set to 0 in each step: reduces overfitting"),
        line(
            "    - Dense: {units: auto, activation: softmax}",
            "auto: one unit per class of the data",
        ),
    ]


def shape_in_words(facts: Facts) -> str:
    """``the images' shorter side is about 128``, with the proportions if they are not 1."""
    which = "longer" if facts.long else "shorter"
    side = f"the images' {which} side is about {facts.side}"
    if facts.proportions == 1:
        return side
    times = max(facts.proportions, 1 / facts.proportions)
    shape = "as wide as high" if facts.proportions > 1 else "as high as wide"
    return f"{side}, nearly all are {times:.1f} × {shape}"


def residual(filters: int, after: tuple[int, int]) -> list[str]:
    """Return a residual block as in Xception (Chollet 2017, arXiv:1610.02357)."""
    shortcut = f"[Conv2D: {{filters: {filters}, kernel_size: 1, strides: 2}}, BatchNormalization]"
    return [
        line(
            "    - Residual:",
            f"adds the shortcut to the output of the layers; output {after[0]}×{after[1]}",
        ),
        line("        layers:", "the main path"),
        line("          - ReLU", "negative values become 0"),
        line(f"          - SeparableConv2D: {filters}", "filters"),
        line("          - BatchNormalization", "as above"),
        line("          - ReLU", "as above"),
        line(f"          - SeparableConv2D: {filters}", "filters"),
        line("          - BatchNormalization", "as above"),
        line("          - MaxPooling2D", "halves height and width"),
        line(f"        shortcut: {shortcut}", "has the same output shape as the layers"),
    ]


def data(facts: Facts, folder: str, options: Mapping[str, object]) -> list[str]:
    lines = [line("data:", "the images")]
    if facts.long:
        lines += [
            line("  source:", "the data source"),
            line("    Folder:", "a folder for each class"),
            line(f"      path: {yaml_scalar(folder)}", "the folder of images"),
            *(
                line(f"      {key}: {to_yaml(value)}", "given to init")
                for key, value in options.items()
            ),
            *([line("      value_range: auto", RANGE_WHY)] if facts.needs_range else []),
            line("      resize: letterbox", "many images are long: black bars instead of a crop"),
        ]
    else:
        why = "a folder for each class"
        if facts.lost >= NOTABLE_CROP:
            why += f"; the crop to the input removes {100 * facts.lost:.0f} % of an image"
        if facts.needs_range:
            why += f"; {RANGE_WHY}"
            options = {**options, "value_range": "auto"}
        fields = to_yaml({"path": folder, **options}) if options else yaml_scalar(folder)
        lines.append(line(f"  source: {{Folder: {fields}}}", why))
    if facts.held_out:
        share = 0.2 if facts.train < FEW_IMAGES else 0.1
        lines.append(line(f"  validation: {share}", "share of the images held out for validation"))
    lines.append(line("  augment:", "random changes, different for each image and each epoch"))
    if not facts.grey:
        lines.append(
            line("    - RandomFlip: horizontal", "remove it if left and right matter, as for text")
        )
    lines.append(line("    - RandomTranslation: 0.1", "up to this share of height and width"))
    if facts.train < FEW_IMAGES:
        lines.append(line("    - RandomErasing", "hides a random part: helps with few images"))
    return lines


def train(facts: Facts) -> list[str]:
    size = next(size for size, least in BATCH_SIZES.items() if facts.train >= least)
    epochs = min(100, max(10, round(IMAGES_SEEN / facts.train, -1)))
    lines = [
        line("train:", "the training run"),
        line(f"  epochs: {epochs:.0f}", "passes over the training images"),
        line(f"  batch_size: {size}", "images per step"),
        line(
            f"  optimizer: {{AdamW: {{learning_rate: {0.02 * size / 64}, weight_decay: 0.01}}}}",
            "lower the learning rate if the loss jumps",
        ),
        line("  schedule: OneCycle", "the learning rate rises, then falls to 0"),
    ]
    if facts.uneven:
        times = max(facts.counts) / min(facts.counts)
        why = f"the largest class has {times:.1f} × the images of the smallest"
        lines.append(line("  class_weights: balanced", why))
    return lines
