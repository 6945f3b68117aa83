"""Resizes images to the size of the model's input."""

from __future__ import annotations

from typing import Literal

from PIL import Image, ImageOps

Resize = Literal["crop", "letterbox", "stretch"]
"""for other proportions: cut off the edges, add black bars, or distort"""


def resize_image(image: Image.Image, size: tuple[int, int], resize: Resize) -> Image.Image:
    """Resize an image to ``size``, (width, height)."""
    method = Image.Resampling.BILINEAR
    if resize == "crop":
        return ImageOps.fit(image, size, method)
    if resize == "stretch":
        return image.resize(size, method)
    scale = min(size[0] / image.width, size[1] / image.height)
    width, height = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    canvas = Image.new(image.mode, size)
    canvas.paste(
        image.resize((width, height), method), ((size[0] - width) // 2, (size[1] - height) // 2)
    )
    return canvas
