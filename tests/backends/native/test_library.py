"""Compiling and loading the kernels, with and without a compiler or a writable cache."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from sepcnn.backends.native import library

ROOT = Path(__file__).parents[3]
needs_compiler = pytest.mark.skipif(
    library.load_kernels("float32") is None, reason="no C++ compiler here can build the kernels"
)


def loads(cache: Path, **environment: str) -> bool:
    """Whether a new process loads the kernels. It imports torch first, since its OpenMP is used."""
    code = (
        "import torch; from sepcnn.backends.native import library, processor; "
        "print(library.load_kernels('float32') is not None)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "XDG_CACHE_HOME": str(cache), **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stderr == ""
    return result.stdout.strip() == "True"


@needs_compiler
@pytest.mark.exhaustive
def test_compiled_once_and_kept(tmp_path: Path) -> None:
    assert loads(tmp_path)
    (kept,) = (tmp_path / "sepcnn" / "native").iterdir()
    before = kept.stat().st_mtime_ns
    assert loads(tmp_path)
    assert kept.stat().st_mtime_ns == before


@pytest.mark.exhaustive
@needs_compiler
def test_compiling_starts_before_torch_is_imported(tmp_path: Path) -> None:
    """One other process compiles, and this one waits for it."""
    code = (
        "from sepcnn.backends.native import library, processor; "
        "library.start_compiling(); library.start_compiling(); import torch; "
        "library._compile = None; started = library._compiling; "
        "precision = 'bfloat16' if processor.unpacks_bfloat16() else 'float32'; "
        "print(len(started), library.load_kernels(precision) is not None, started[0].returncode)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "XDG_CACHE_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout == "1 True 0\n"


@pytest.mark.exhaustive
@needs_compiler
def test_a_damaged_file_is_compiled_again(tmp_path: Path) -> None:
    assert loads(tmp_path)
    (kept,) = (tmp_path / "sepcnn" / "native").iterdir()
    good = kept.read_bytes()
    kept.write_bytes(good[:1000])
    assert loads(tmp_path)
    assert len(kept.read_bytes()) == len(good)


@pytest.mark.exhaustive
@needs_compiler
def test_without_a_writable_cache_kernels_are_compiled_and_loaded(tmp_path: Path) -> None:
    (tmp_path / "sepcnn").write_text("a file in place of the folder")
    assert loads(tmp_path)


@pytest.mark.covering("one")
@pytest.mark.parametrize(
    "compiler", ["/no/such/compiler", "false", "true"], ids=["missing", "failing", "writes nothing"]
)
def test_without_a_compiler_there_are_no_kernels(tmp_path: Path, compiler: str) -> None:
    assert not loads(tmp_path, CXX=compiler)
    assert not (tmp_path / "sepcnn").exists()


@pytest.mark.exhaustive
@pytest.mark.parametrize("compiler", ["  ", "g++ 'open", "/"], ids=["blank", "quotation", "folder"])
def test_a_command_that_is_no_compiler(tmp_path: Path, compiler: str) -> None:
    assert not loads(tmp_path, CXX=compiler)


@needs_compiler
def test_without_a_temporary_folder_there_are_no_kernels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert library.load_kernels.__wrapped__("float32") is None


@pytest.mark.parametrize("source", ["kernels.cpp", "rows.h"])
def test_a_changed_source_is_compiled_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    shutil.copytree(library.SOURCES, tmp_path / "native")
    monkeypatch.setattr(library, "SOURCES", tmp_path / "native")
    before = library._key(["g++"])
    path = tmp_path / "native" / source
    path.write_text(path.read_text() + "// changed\n")
    assert library._key(["g++"]) != before


PROCESSORS = ("x86-64", "sandybridge", "x86-64-v3", "skylake-avx512", "cooperlake")
"""only SSE; AVX; AVX2; AVX-512; AVX-512 that multiplies bfloat16"""


@pytest.mark.covering("one")
@needs_compiler
@pytest.mark.skipif(platform.machine() != "x86_64", reason="the processors are x86")
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("processor", PROCESSORS)
def test_other_processors(processor: str, precision: str) -> None:
    """The branches of the source that this processor does not compile have no warnings either."""
    program = library.compiler()
    assert program is not None
    flags = [
        *library.FLAGS,
        "-Wall",
        "-Wextra",
        f"-march={processor}",
        "-fsyntax-only",
        f"-D{precision.upper()}",
    ]
    source = str(library.SOURCES / "kernels.cpp")
    result = subprocess.run([*program, *flags, source], capture_output=True, text=True)
    assert result.stderr == ""
