"""Settings that every test shares: real Keras as a reference, and no user's cache or colours."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

# Before Keras and torch are imported anywhere. The nets of the tests are small: a second thread
# costs more than it gives, and many times more when something else is running.
os.environ["KERAS_BACKEND"] = "torch"
os.environ["OMP_NUM_THREADS"] = "1"

import pytest
import torch
from keras.src.backend.common import dtypes

# Keras on torch computes float64 layers in float32 wherever it promotes types.
dtypes.BIT64_TO_BIT32_DTYPE["float64"] = "float64"

ROOT = Path(__file__).parents[1]
CONFIGS = ROOT / "configs"
SHARED_DATA = ROOT.parent / "shared" / "data"


@pytest.fixture(scope="session")
def session_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _own_cache(session_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests draw Shapes once into a cache of their own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(session_cache))
    monkeypatch.setenv("NO_COLOR", "1")


@pytest.fixture
def _without_kernels(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """All of compiling but for the making of kernels, which takes seconds for each."""
    torch._dynamo.reset()
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    yield
    torch._dynamo.reset()
