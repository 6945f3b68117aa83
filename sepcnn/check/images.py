"""Image files that cannot be read, or that do not suit the net's input."""

from __future__ import annotations

from collections.abc import Iterator, Sized

from sepcnn.check.base import Finding, Severity, Subject, images
from sepcnn.data.files.inspection import MANY, MOST_CUT, Picture

AGAIN = "cannot be read ("
"""how the reader's own message begins, which needs not be said twice"""


def unreadable(subject: Subject) -> Iterator[Finding]:
    """Files that are damaged or no images."""
    broken = [picture for picture in subject.pictures if not picture.look]
    if broken:
        skipped = getattr(subject.config.data.source, "skip_unreadable", False)
        severity: Severity = "warning" if skipped else "error"
        reason = broken[0].error.removeprefix(f"{broken[0].path}: ")
        if reason.startswith(AGAIN):
            reason = reason.removeprefix(AGAIN).removesuffix(")")
        message = f"{images(len(broken))} cannot be read; of the first: {reason}"
        hint = "they are left out" if skipped else "remove or replace them, or set skip_unreadable"
        yield Finding("unreadable", severity, message, hint, paths(broken))


def colours(subject: Subject) -> Iterator[Finding]:
    """Grey images among coloured ones, or a net that takes another kind."""
    seen = [(picture, picture.look) for picture in subject.pictures if picture.look]
    grey = [picture for picture, look in seen if look.grey]
    channels = subject.config.model.input_shape[2]
    if not seen:
        return
    if channels == 1 and len(grey) < len(seen):
        message = f"the net takes grey images, but {images(len(seen) - len(grey))} have colour"
        yield Finding("colour", "note", message, "if colour tells classes apart, take 3 channels")
    elif channels == 3 and len(grey) == len(seen):
        height, width, _ = subject.config.model.input_shape
        hint = f"input_shape: [{height}, {width}, 1] does with less"
        yield Finding("colour", "note", "all images are grey, but the net takes 3 channels", hint)
    elif channels == 3 and grey:
        message = (
            f"{some(grey, seen)} {'is' if len(grey) == 1 else 'are'} grey, the others have colour"
        )
        hint = "a class that is mostly grey would be told by that: augment with grayscale"
        yield Finding("colour", "note", message, hint, paths(grey))


def sizes(subject: Subject) -> Iterator[Finding]:
    """Images smaller than the input, and such that lose much of themselves to the crop."""
    height, width, _ = subject.config.model.input_shape
    seen = [(picture, picture.look) for picture in subject.pictures if picture.look]
    resize = getattr(subject.config.data.source, "resize", "crop")
    # Bars fill what a long image lacks on one side; all others are enlarged for it.
    few = all if resize == "letterbox" else any
    small = [p for p, look in seen if few((look.size[0] < height, look.size[1] < width))]
    if small:
        least = min(min(p.look.size) for p in small if p.look)
        severity: Severity = "warning" if len(small) > MANY * len(seen) else "note"
        verb = "is" if len(small) == 1 else "are"
        message = (
            f"{some(small, seen)} {verb} smaller than the net's {height}×{width} "
            f"and {verb} enlarged (the smallest side: {least})"
        )
        hint = "enlarged images cost time and show no more: try a smaller input_shape"
        yield Finding("small_images", severity, message, hint, paths(small))
    if resize == "crop":
        cut = [p for p, look in seen if look.share_cut(height, width) > MOST_CUT]
        if cut:
            severity = "warning" if len(cut) > MANY * len(seen) else "note"
            lose, whose = ("loses", "its") if len(cut) == 1 else ("lose", "their")
            message = (
                f"{some(cut, seen)} {lose} more than half to the cut to "
                f"{height}×{width}: only {whose} middle is seen"
            )
            yield Finding(
                "cut_images", severity, message, "resize: letterbox keeps all", paths(cut)
            )


def some(chosen: Sized, seen: Sized) -> str:
    """``1 of 203 images``."""
    return f"{len(chosen):,} of {images(len(seen))}"


def paths(pictures: list[Picture]) -> tuple[str, ...]:
    return tuple(str(picture.path) for picture in pictures)
