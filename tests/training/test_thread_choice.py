"""A resumed run takes another number of threads only if its numbers stay the same."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sepcnn.backends.native import library
from sepcnn.training import checkpoint
from tests.runs import sepcnn

CONFIG = """\
model:
  input_shape: [32, 32, 3]
  layers:
    - Rescaling: 1/255
    - SeparableConv2D: {filters: 16, kernel_size: 3, padding: same, use_bias: false}
    - BatchNormalization
    - ReLU
    - GlobalAveragePooling2D
    - Dense: {units: auto, activation: softmax}
data:
  source: {Shapes: {train: 80, val: 20, test: 20}}
train:
  device: cpu
  batch_size: 32
"""


def train_with_threads(
    monkeypatch: pytest.MonkeyPatch, count: int, folder: Path, *words: str
) -> str:
    monkeypatch.setenv("OMP_NUM_THREADS", str(count))
    result = sepcnn("train", *words, cwd=folder)
    assert result.returncode == 0, result.stderr
    return result.stderr


@pytest.mark.exhaustive
@pytest.mark.skipif(library.load_kernels("float32") is None, reason="needs g++ for the kernels")
def test_kernels_give_the_same_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "c.yaml").write_text(CONFIG)
    once, twice = ("--set", "train.epochs=1"), ("--set", "train.epochs=2")
    train_with_threads(monkeypatch, 2, tmp_path, "c.yaml", "--run-dir", "whole", *twice)
    train_with_threads(monkeypatch, 2, tmp_path, "c.yaml", "--run-dir", "run", *once)
    notes = train_with_threads(monkeypatch, 1, tmp_path, "--resume", "run", *twice)
    assert "now with 1 thread; the numbers of this run stay the same" in notes
    ours, theirs = (checkpoint.read(tmp_path / f / "last.safetensors") for f in ("run", "whole"))
    assert (ours.machine["threads"], theirs.machine["threads"]) == (1, 2)
    for name, tensor in theirs.tensors.items():
        assert torch.equal(ours.tensors[name], tensor), name


@pytest.mark.exhaustive
def test_torch_adds_up_in_another_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "c.yaml").write_text(f"{CONFIG}  fused: false\n")
    once, twice = ("--set", "train.epochs=1"), ("--set", "train.epochs=2")
    train_with_threads(monkeypatch, 2, tmp_path, "c.yaml", "--run-dir", "run", *once)
    notes = train_with_threads(monkeypatch, 1, tmp_path, "--resume", "run", *twice)
    assert "still with 2 threads: with 1 the last digits of this run would differ" in notes
    assert checkpoint.read(tmp_path / "run" / "last.safetensors").machine["threads"] == 2
