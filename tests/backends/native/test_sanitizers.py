"""The C++ compiles without warnings, and stays inside its buffers: every kernel, with sanitizers.

`run_kernels.cpp` is a program, not a library for this process: the address sanitizer would have to
be loaded before Python and torch.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from sepcnn.backends.native import library

DRIVER = Path(__file__).with_name("run_kernels.cpp")
WARNINGS = ("-Wall", "-Wextra", "-Werror")
# GCC's own header initialises vectors with themselves (bug 105593).
HEADER_WARNINGS = ("-Wno-maybe-uninitialized", "-Wno-uninitialized")
# Without optimisation nothing is removed that would be an error, and compiling takes a sixth.
SANITIZERS = ("-O0", "-g1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
# Leaks are found by tracing the process, which containers forbid.
ENVIRONMENT = {"ASAN_OPTIONS": "detect_leaks=0", "UBSAN_OPTIONS": "print_stacktrace=1"}
precisions = pytest.mark.parametrize("precision", ["float32", "bfloat16"])


@pytest.fixture(scope="module")
def compiler() -> list[str]:
    command = library.compiler()
    if command is None:
        pytest.skip("there is no g++ here")
    found = subprocess.run([*command, "--version"], capture_output=True, text=True)
    if "Free Software Foundation" not in found.stdout:
        pytest.skip(f"{command[0]} is not GCC")
    return command


def compile_cpp(command: list[str], *arguments: str) -> None:
    result = subprocess.run([*command, *arguments], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


@pytest.mark.exhaustive
@precisions
def test_kernels_compile_without_warnings(
    compiler: list[str], precision: str, tmp_path: Path
) -> None:
    source = str(library.SOURCES / "kernels.cpp")
    flags = (*library.FLAGS, *WARNINGS, *HEADER_WARNINGS, f"-D{precision.upper()}")
    compile_cpp(compiler, *flags, "-c", source, "-o", str(tmp_path / "kernels.o"))


@pytest.mark.exhaustive
@precisions
def test_kernels_stay_inside_their_buffers(
    compiler: list[str], precision: str, tmp_path: Path
) -> None:
    """Odd sizes, 1 to 160 channels, single pixels, strides, both paddings, 1 and 3 threads."""
    empty = tmp_path / "empty.cpp"
    empty.write_text("int main() {}\n")
    linked = [*compiler, *SANITIZERS, str(empty), "-o", str(tmp_path / "empty")]
    if subprocess.run(linked, capture_output=True).returncode != 0:
        pytest.skip("g++ has no sanitizers here")
    program = str(tmp_path / "run_kernels")
    flags = (*library.FLAGS, *SANITIZERS, *WARNINGS, f"-D{precision.upper()}")
    compile_cpp(compiler, *flags, str(DRIVER), "-o", program)
    environment = {**os.environ, **ENVIRONMENT}
    result = subprocess.run([program], capture_output=True, text=True, env=environment)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    assert int(result.stdout) > 1000
