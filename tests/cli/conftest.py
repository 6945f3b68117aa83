"""A trained run, shared by the tests of the commands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sepcnn.cli.main import run
from tests.runs import write_config

Invoke = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``colours.yaml`` and its finished run ``run``."""
    folder = tmp_path_factory.mktemp("trained")
    config = write_config(folder, epochs=8, optimizer="{Adam: 0.02}", precision="float32")
    assert run(["train", str(config), "--run-dir", str(folder / "run")]) == 0
    return folder


@pytest.fixture
def invoke(capsys: pytest.CaptureFixture[str]) -> Invoke:
    """Run a command in this process. Returns exit code, standard output and standard error."""

    def call(*arguments: str | Path) -> tuple[int, str, str]:
        capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        return code, *capsys.readouterr()

    return call
