"""HEIC photos, as phones write them: Pillow reads them if pillow-heif is installed.

The wheels of pillow-heif contain libraries under the GPL, so that it is an extra.
"""

from __future__ import annotations

from functools import cache

try:
    import pillow_heif
except ImportError:
    pillow_heif = None  # type: ignore[assignment]

SUFFIXES = (".heic", ".heif", ".hif", ".heics", ".heifs")
BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")
"""bytes 8 to 12 of such a file, after ``ftyp``"""
HINT = "to read .heic, pip install 'sepcnn[heic]'"


@cache
def register() -> bool:
    """Make Pillow read HEIC. Return whether it can, that is whether pillow-heif is installed."""
    if pillow_heif is None:
        return False
    pillow_heif.register_heif_opener()
    return True
