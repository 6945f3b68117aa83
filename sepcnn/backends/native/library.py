"""Compiles the kernels of a type once for this machine, and loads them.

They are plain functions on pointers, so no headers of torch are read and a compiler needs seconds.
The library asks for GNU's OpenMP by the name that torch's own copy has, which is loaded already: so
both share its threads.
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

from sepcnn.cache import cache_folder, keep

SOURCES = Path(__file__).parent
FLAGS = ("-std=c++17", "-O2", "-march=native", "-fno-math-errno", "-fopenmp", "-fPIC", "-w")
DIGEST_BYTES = 16
SECONDS = 120
"""a compiler that takes longer is stopped"""
PROCESSOR = ("model name", "flags", "CPU implementer", "CPU part", "Features")
"""lines of /proc/cpuinfo that tell what a processor can do: of x86, and of Arm"""

_begun: list[subprocess.Popen[bytes]] = []


def begin() -> None:
    """Compile the kernels, where that is still to be done, in a process for which `load` waits.

    Those of the type in which this processor is trained by itself. The process ends when they are
    in the cache, also where nobody waits for it any more.
    """
    command = compiler()
    if _begun or load.cache_info().currsize or command is None:
        return
    precision = "bfloat16" if unpacks_bfloat16() else "float32"
    if _is_whole(cache_folder() / _name(command, precision)):
        return
    code = f"from sepcnn.backends.native import library; library.load({precision!r})"
    program = [sys.executable, "-c", code]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    quiet = subprocess.DEVNULL
    with suppress(OSError):
        _begun.append(
            subprocess.Popen(program, env=environment, stdin=quiet, stdout=quiet, stderr=quiet)
        )


@cache
def load(precision: str) -> ctypes.CDLL | None:
    """The kernels for float32 or bfloat16; None where there is no compiler, or none that serves."""
    command = compiler()
    if command is None:
        return None
    for process in _begun:
        process.wait()
    name = _name(command, precision)
    path = cache_folder() / name
    if _is_whole(path):
        return _open(path)
    compiled = _compile(command, precision)
    if compiled is None:
        return None
    if keep(name, lambda file: file.write(compiled + _digest(compiled))):
        return _open(path)
    try:
        with tempfile.TemporaryDirectory() as folder:  # a full or read-only cache
            path = Path(folder) / "kernels.so"
            path.write_bytes(compiled)
            return _open(path)
    except OSError:
        return None


def compiler() -> list[str] | None:
    """The command of a C++ compiler that knows OpenMP as torch does, or None."""
    if not sys.platform.startswith("linux"):
        return None
    if given := os.environ.get("CXX"):
        with suppress(ValueError):  # an open quotation
            return shlex.split(given) or None
        return None
    found = shutil.which("g++")
    return [found] if found else None


@cache
def multiplies_bfloat16() -> bool:
    """Whether this processor does so in hardware, not by way of float32."""
    return bool({"avx512_bf16", "amx_bf16"} & _flags())


@cache
def unpacks_bfloat16() -> bool:
    """Whether its vectors turn bfloat16 into float32 and back in less time than memory takes."""
    return multiplies_bfloat16() or "avx2" in _flags()


def _flags() -> set[str]:
    """What the processor has, in words of /proc/cpuinfo."""
    try:
        with open("/proc/cpuinfo") as file:
            return set(file.read().split())
    except OSError:
        return set()


def _name(command: list[str], precision: str) -> str:
    """That of the compiled kernels in the cache folder."""
    return f"native/{_key(command)}-{precision}.so"


def _key(command: list[str]) -> str:
    """What the compiled code depends on: sources, flags, compiler and processor."""
    digest = hashlib.blake2b(digest_size=12)
    for source in sorted(SOURCES.glob("*.[ch]*")):
        digest.update(source.read_bytes())
    program = shutil.which(command[0])
    status = os.stat(program) if program else None
    age = (status.st_size, status.st_mtime_ns) if status else None
    digest.update(repr((command, age, FLAGS, _processor())).encode())
    return digest.hexdigest()


def _processor() -> list[str]:
    """What the processor can do, so that a home shared by several machines serves each."""
    try:
        with open("/proc/cpuinfo") as file:
            return sorted({line for line in file if line.startswith(PROCESSOR)})
    except OSError:
        return []


def _compile(command: list[str], precision: str) -> bytes | None:
    """The library's bytes."""
    source = [f"-D{precision.upper()}", str(SOURCES / "kernels.cpp")]
    try:
        with tempfile.TemporaryDirectory() as folder:
            library = Path(folder) / "kernels.so"
            subprocess.run(
                [*command, *FLAGS, *source, "-shared", "-o", str(library)],
                check=True,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=SECONDS,
            )
            return library.read_bytes()
    except (OSError, subprocess.SubprocessError):
        return None


def _digest(compiled: bytes) -> bytes:
    """What stands behind the library in its file, where a loader looks at nothing."""
    return hashlib.blake2b(compiled, digest_size=DIGEST_BYTES).digest()


def _is_whole(path: Path) -> bool:
    """A file cut short would end this process when it is loaded."""
    try:
        content = path.read_bytes()
    except OSError:
        return False
    return content[-DIGEST_BYTES:] == _digest(content[:-DIGEST_BYTES])


def _open(path: Path) -> ctypes.CDLL | None:
    try:
        return ctypes.CDLL(str(path))
    except OSError:  # of another OpenMP than torch's
        return None
