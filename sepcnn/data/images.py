"""Image files as the net's uint8 arrays."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from sepcnn.errors import DataError

# Above its limit of pixels Pillow only warns, and refuses above twice of it; refused is refused.
warnings.simplefilter("error", Image.DecompressionBombWarning)

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm"}
MODES = {1: "L", 3: "RGB", 4: "RGBA"}


def find_images(path: Path) -> list[Path]:
    """The file itself, or the image files below a folder in a stable order, hidden ones left out.

    Errors: `DataError` if there is no such file or no image in the folder.
    """
    try:
        if not path.exists():
            raise DataError(f"there is no file or folder {path}", "check the path")
        if not path.is_dir():
            return [path]
    except OSError as error:  # a name that is too long, a folder that may not be entered
        raise DataError(f"{path}: {(error.strerror or str(error)).lower()}") from None
    found = [
        file
        for file in path.rglob("*")
        if file.suffix.lower() in SUFFIXES
        and file.is_file()
        and not any(part.startswith(".") for part in file.relative_to(path).parts)
    ]
    if not found:
        raise DataError(f"there is no image in {path}", f"looked for {', '.join(sorted(SUFFIXES))}")
    return sorted(found)


def read_image(path: Path, shape: tuple[int, int, int]) -> np.ndarray:
    """One image file as uint8 [H, W, C]: upright, its middle cut to the net's proportions, scaled.

    Errors: `DataError` for a file that is no image, is cut off, or is suspiciously large.
    """
    height, width, channels = shape
    mode = MODES.get(channels)
    if mode is None:
        raise DataError(f"image files have 1, 3 or 4 channels, the net takes {channels}")
    try:
        with Image.open(path) as image:
            # Asking the decoder first lets JPEG be decoded at a fraction of its size.
            side = 2 * max(width, height)  # of a photo that may lie on its side
            image.draft("RGB" if channels > 1 else "L", (side, side))
            pixels = to_8_bits(ImageOps.exif_transpose(image))
            if channels != 4:
                pixels = on_white(pixels)
            fitted = ImageOps.fit(pixels.convert(mode), (width, height), Image.Resampling.BILINEAR)
            return np.array(fitted, dtype=np.uint8).reshape(height, width, channels)
    except UnidentifiedImageError:
        raise DataError(f"{path}: not an image file") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise DataError(f"{path}: too many pixels to be read safely") from None
    except FileNotFoundError:
        raise DataError(f"there is no file {path}") from None
    except Exception as error:  # damaged bytes make decoders raise anything
        raise DataError(f"{path}: cannot be read ({error})") from None


def to_8_bits(image: Image.Image) -> Image.Image:
    """Images of 16 bits a pixel as 8; others as they are."""
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.float64)
        return Image.fromarray((values / 257).clip(0, 255).round().astype(np.uint8))
    return image


def on_white(image: Image.Image) -> Image.Image:
    """Transparent images before white; others as they are."""
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        with_alpha = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, with_alpha)
    return image
