"""Compile the kernels once per processor and element type, and load them.

The kernels are plain functions on pointers: no header of torch is read, so compiling takes seconds.
The compiled library names GNU's OpenMP exactly as torch does. Torch's copy is loaded first, so both
share one pool of threads.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path

from sepcnn.backends.native import processor
from sepcnn.cache import cache_folder, keep

SOURCES = Path(__file__).parent
FLAGS = ("-std=c++17", "-O2", "-march=native", "-fno-math-errno", "-fopenmp", "-fPIC")
CHECKSUM_BYTES = 16
COMPILER_SECONDS = 120
"""a compiler that takes longer is stopped"""

_compiling: list[subprocess.Popen[bytes]] = []


def start_compiling() -> None:
    """Compile the kernels in another process if the cache lacks them; `load_kernels` waits for it.

    The element type is the one in which this processor trains by default. The process finishes and
    writes the cache even if this one exits.
    """
    command = compiler()
    if _compiling or load_kernels.cache_info().currsize or command is None:
        return
    precision = "bfloat16" if processor.unpacks_bfloat16() else "float32"
    if _is_whole(cache_folder() / _file_name(command, precision)):
        return
    code = f"from sepcnn.backends.native import library; library.load_kernels({precision!r})"
    program = [sys.executable, "-c", code]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    quiet = subprocess.DEVNULL
    with suppress(OSError):
        _compiling.append(
            subprocess.Popen(program, env=environment, stdin=quiet, stdout=quiet, stderr=quiet)
        )


@cache
def load_kernels(precision: str) -> ctypes.CDLL | None:
    """The kernels for float32 or bfloat16, or None without a compiler that can build them."""
    command = compiler()
    if command is None:
        return None
    for process in _compiling:
        process.wait()
    name = _file_name(command, precision)
    path = cache_folder() / name
    if _is_whole(path):
        return _open(path)
    compiled = _compile(command, precision)
    if compiled is None:
        return None
    if keep(name, lambda file: file.write(compiled + _checksum(compiled))):
        return _open(path)
    try:
        with tempfile.TemporaryDirectory() as folder:  # the cache is full or read-only
            path = Path(folder) / "kernels.so"
            path.write_bytes(compiled)
            return _open(path)
    except OSError:
        return None


def compiler() -> list[str] | None:
    """The command of a C++ compiler whose OpenMP is GNU's, as torch's is; None without one."""
    if not sys.platform.startswith("linux"):
        return None
    if given := os.environ.get("CXX"):
        with suppress(ValueError):  # an unclosed quotation
            return shlex.split(given) or None
        return None
    found = shutil.which("g++")
    return [found] if found else None


def _file_name(command: list[str], precision: str) -> str:
    """The path of the compiled kernels within the cache folder."""
    return f"native/{_key(command)}-{precision}.so"


def _key(command: list[str]) -> str:
    """A hash of what the compiled code depends on: sources, flags, compiler and processor."""
    digest = hashlib.blake2b(digest_size=12)
    for source in sorted(SOURCES.glob("*.[ch]*")):
        digest.update(source.read_bytes())
    program = shutil.which(command[0])
    status = os.stat(program) if program else None
    age = (status.st_size, status.st_mtime_ns) if status else None
    digest.update(repr((command, age, FLAGS, processor.identity())).encode())
    return digest.hexdigest()


def _compile(command: list[str], precision: str) -> bytes | None:
    """The bytes of the shared library, or None if the compiler fails."""
    source = [f"-D{precision.upper()}", str(SOURCES / "kernels.cpp")]
    try:
        with tempfile.TemporaryDirectory() as folder:
            library = Path(folder) / "kernels.so"
            subprocess.run(
                [*command, *FLAGS, *source, "-shared", "-o", str(library)],
                check=True,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=COMPILER_SECONDS,
            )
            return library.read_bytes()
    except (OSError, subprocess.SubprocessError):
        return None


def _checksum(compiled: bytes) -> bytes:
    """The checksum appended to the .so; loaders ignore it."""
    return hashlib.blake2b(compiled, digest_size=CHECKSUM_BYTES).digest()


def _is_whole(path: Path) -> bool:
    """Whether a library has its checksum: loading a truncated one would crash this process."""
    try:
        content = path.read_bytes()
    except OSError:
        return False
    return content[-CHECKSUM_BYTES:] == _checksum(content[:-CHECKSUM_BYTES])


def _open(path: Path) -> ctypes.CDLL | None:
    try:
        return ctypes.CDLL(str(path))
    except OSError:  # it was linked with an OpenMP that is not loaded here
        return None
