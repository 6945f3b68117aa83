"""Silences what Pillow and libtiff print about odd image files.

Their lines name no image, and run through the progress line. What matters is an error: Pillow
raises it, and `reading_errors` names the file.
"""

from __future__ import annotations

import ctypes
import logging
import warnings
from contextlib import suppress
from functools import cache

from PIL import Image, _imaging

HANDLERS = ("TIFFSetErrorHandler", "TIFFSetWarningHandler")


@cache
def silence() -> None:
    """Silence Python warnings and log records of Pillow, and the C code of libtiff, once.

    Filters and handlers are set once for the process. Changing them around each image, or
    redirecting file descriptor 2, would not be safe while other threads decode or print.
    """
    warnings.filterwarnings("ignore", module=r"PIL\.")
    # Pillow warns above its pixel limit and raises above twice the limit; here both are errors.
    warnings.simplefilter("error", Image.DecompressionBombWarning)
    logging.getLogger("PIL").addHandler(logging.NullHandler())  # else Python prints errors
    # A lookup in the extension finds the functions of the libtiff that it is linked to. It fails
    # on Windows, where libtiff is a part of the extension and exports nothing.
    with suppress(OSError, AttributeError):
        library = ctypes.CDLL(_imaging.__file__)
        for name in HANDLERS:
            function = getattr(library, name)
            function.argtypes, function.restype = [ctypes.c_void_p], ctypes.c_void_p
            function(None)
