"""Check that the image files can be read and suit the model's input shape."""

from __future__ import annotations

from collections.abc import Iterator, Sized

from sepcnn.check.base import CheckContext, Finding, Severity, images
from sepcnn.data.decoding.value_range import suspicions
from sepcnn.data.inspection import COMMON_SHARE, MAX_CUT, InspectedImage
from sepcnn.data.sources.folder import Folder, setting_hint
from sepcnn.wording import counted

READ_ERROR = "cannot be read ("
"""start of a read error; dropped from the reason, because the finding's message says it too"""


def unreadable(context: CheckContext) -> Iterator[Finding]:
    """Report files that are damaged or not images."""
    broken = [picture for picture in context.pictures if not picture.properties]
    if broken:
        skipped = getattr(context.config.data.source, "skip_unreadable", False)
        severity: Severity = "warning" if skipped else "error"
        reason = broken[0].error.removeprefix(f"{broken[0].path}: ")
        if reason.startswith(READ_ERROR):
            reason = reason.removeprefix(READ_ERROR).removesuffix(")")
        first = "first error: " if len(broken) > 1 else ""
        message = f"{images(len(broken))} cannot be read ({first}{reason})"
        remedy = setting_hint(broken[0].error) or "remove or replace them"
        hint = "they are skipped" if skipped else f"{remedy}, or set skip_unreadable"
        yield Finding("unreadable", severity, message, hint, paths(broken))


def colours(context: CheckContext) -> Iterator[Finding]:
    """Report a mix of grey and colour images, or a number of channels that does not suit them."""
    seen = [(picture, picture.properties) for picture in context.pictures if picture.properties]
    grey = [picture for picture, look in seen if look.grey]
    channels = context.config.model.input_shape[2]
    if not seen:
        return
    if channels == 1 and len(grey) < len(seen):
        coloured = len(seen) - len(grey)
        verb = "is" if coloured == 1 else "are"
        message = f"the model takes grey images, but {images(coloured)} {verb} in colour"
        hint = "if colour distinguishes classes, use 3 channels in input_shape"
        yield Finding("colour", "note", message, hint)
    elif channels == 3 and len(grey) == len(seen):
        height, width, _ = context.config.model.input_shape
        message = "all images are grey, but the model takes 3 channels"
        hint = f"input_shape: [{height}, {width}, 1] needs less computation"
        yield Finding("colour", "note", message, hint)
    elif channels == 3 and grey:
        verb = "is" if len(grey) == 1 else "are"
        message = f"{some(grey, seen)} {verb} grey, the others are in colour"
        hint = "if one class is mostly grey, the model may rely on it: try RandomGrayscale"
        yield Finding("colour", "note", message, hint, paths(grey))


def pixel_values(context: CheckContext) -> Iterator[Finding]:
    """Report pixel values that use a small part of the range in force, or exceed it."""
    source = context.config.data.source
    if not isinstance(source, Folder):
        return
    seen = [picture.properties.values for picture in context.pictures if picture.properties]
    measured = [values for values in seen if values]
    for message, hint in suspicions(measured, source.rules().value_range):
        yield Finding("pixel_values", "warning", message, hint)


def sizes(context: CheckContext) -> Iterator[Finding]:
    """Report images that are smaller than the input, or lose more than half to the crop."""
    height, width, _ = context.config.model.input_shape
    seen = [(picture, picture.properties) for picture in context.pictures if picture.properties]
    resize = getattr(context.config.data.source, "resize", "crop")
    # Letterboxing enlarges an image only if both sides are too small: bars fill the rest.
    too_small = all if resize == "letterbox" else any
    small = [p for p, look in seen if too_small((look.size[0] < height, look.size[1] < width))]
    if small:
        least = min(min(p.properties.size) for p in small if p.properties)
        severity: Severity = "warning" if len(small) > COMMON_SHARE * len(seen) else "note"
        verb = "is" if len(small) == 1 else "are"
        message = (
            f"{some(small, seen)} {verb} smaller than the model's input of {height}×{width} "
            f"and {verb} enlarged (smallest side: {counted(least, 'pixel')})"
        )
        hint = "enlarging adds computation but no detail: try a smaller input_shape"
        yield Finding("small_images", severity, message, hint, paths(small))
    if resize == "crop":
        cut = [p for p, look in seen if look.share_cut(height, width) > MAX_CUT]
        if cut:
            severity = "warning" if len(cut) > COMMON_SHARE * len(seen) else "note"
            verb, whose = ("loses", "its") if len(cut) == 1 else ("lose", "their")
            message = (
                f"{some(cut, seen)} {verb} more than half of {whose} area in the crop to "
                f"{height}×{width}"
            )
            hint = "resize: letterbox keeps the whole image"
            yield Finding("cut_images", severity, message, hint, paths(cut))


def some(chosen: Sized, seen: Sized) -> str:
    """Return for instance ``1 of 203 images``."""
    return f"{len(chosen):,} of {images(len(seen))}"


def paths(pictures: list[InspectedImage]) -> tuple[str, ...]:
    return tuple(str(picture.path) for picture in pictures)
