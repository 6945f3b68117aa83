"""Settings of all tests: one thread, a cache folder of the test run, output without colours."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

# Set before torch is imported. The nets of the tests are small: a second thread costs more than it
# gains, and many times more when other processes are running.
os.environ["OMP_NUM_THREADS"] = "1"

import pytest
import torch

from sepcnn.backends.native import library
from tests.covering import mark_exhaustive

ROOT = Path(__file__).parents[1]
CONFIGS = ROOT / "configs"
SHARED_DATA = ROOT.parent / "shared" / "data"


@pytest.hookimpl(tryfirst=True)  # before cases are selected by -m
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    mark_exhaustive(items)


@pytest.fixture(scope="session")
def session_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    yield tmp_path_factory.mktemp("cache")
    for process in library._compiling:  # started by a test that ended before the kernels were used
        process.wait()


@pytest.fixture(autouse=True)
def _own_cache(session_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Use one cache folder for all tests, not the user's: Shapes is drawn once."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(session_cache))
    monkeypatch.setenv("NO_COLOR", "1")


@pytest.fixture
def _without_kernels(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let torch.compile trace and partition graphs, but not generate kernels.

    Generating a kernel takes seconds.
    """
    torch._dynamo.reset()
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    yield
    torch._dynamo.reset()
