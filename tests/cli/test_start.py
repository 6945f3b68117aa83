"""The start of a command: its imports, and the compilation of kernels in parallel."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import CONFIGS
from tests.runs import command, environment, write_config

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="kernels are Linux'")


def started(folder: Path, *arguments: str) -> tuple[bool, int, str]:
    """Return whether a compiler was called, the exit code, and the output."""
    compiler = folder / "compiler"
    compiler.write_text(f"#!/bin/sh\ntouch {folder}/called\nexit 1\n")
    compiler.chmod(0o755)
    result = subprocess.run(
        command(*arguments),
        cwd=folder,
        env={**environment(), "CXX": str(compiler), "XDG_CACHE_HOME": str(folder / "cache")},
        capture_output=True,
        text=True,
        timeout=120,
    )
    return (folder / "called").exists(), result.returncode, result.stderr


@pytest.mark.covering("one")
@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--help"], 0),
        (["train", "--help"], 0),
        (["train"], 2),
        (["train", "colours.yaml", "--no-such-option"], 2),
        (["train", "colours.yaml", "--resume", "run"], 2),
        (["train", "missing.yaml"], 2),
        (["train", "--resume", "missing"], 2),
    ],
)
def test_commands_that_do_not_compile(tmp_path: Path, arguments: list[str], code: int) -> None:
    write_config(tmp_path)
    assert started(tmp_path, *arguments)[:2] == (False, code)


@pytest.mark.exhaustive
def test_a_failing_compiler_is_not_an_error(tmp_path: Path) -> None:
    write_config(tmp_path, epochs=1)
    called, code, said = started(tmp_path, "train", "colours.yaml")
    assert (called, code) == (True, 0), said
    assert "the kernels could not be compiled here" in said


def test_reading_a_model_imports_nothing_slow() -> None:
    """Some functions of torch import these modules, which takes a second each."""
    code = (
        "import sys; from sepcnn.cli.main import run; run(sys.argv[1:]); "
        "print([name for name in ('sympy', 'torch._dynamo', 'torchvision') if name in sys.modules])"
    )
    config = str(CONFIGS / "xception_mini.yaml")
    result = subprocess.run(
        [sys.executable, "-c", code, "summary", config],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.splitlines()[-1] == "[]"


def test_arguments_are_read_before_torch_is_imported() -> None:
    code = "import sys, sepcnn.cli.train; print('torch' in sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True
    )
    assert result.stdout == "False\n"


def test_the_shipped_configs_are_listed_without_torch() -> None:
    code = (
        "import sys; from sepcnn.cli.main import run; run(['init', '--list']); "
        "print('torch' in sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True
    )
    assert "xception_mini" in result.stdout
    assert result.stdout.splitlines()[-1] == "False"
