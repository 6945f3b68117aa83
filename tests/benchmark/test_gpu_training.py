"""benchmarks/gpu_training.py runs on a CPU and prints all its figures."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.runs import environment, write_config

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gpu_training.py"


@pytest.mark.exhaustive
def test_output(tmp_path: Path) -> None:
    config = str(write_config(tmp_path))
    small = ["--device", "cpu", "--batch-size", "8", "--seconds", "0.5", "--workers", "1"]
    result = subprocess.run(
        [sys.executable, str(SCRIPT), config, "--classes", "3", *small, "--no-compile"],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (result.returncode, result.stderr) == (0, "")
    head, what, *lines = result.stdout.splitlines()
    assert head.endswith("1 workers")
    assert re.fullmatch(r"colours.yaml, batch 8, \d rounds", what)
    speed = r" +[\d,]+ images/s \([\d,]+ to [\d,]+\) +\d+\.\d\d ×"
    limit = r"  \d+\.\d\d GB per step, \d+ of \d+ GB/s: \d+%"
    names = ["plain PyTorch, DataLoader", "sepcnn, float32", "sepcnn, bfloat16"]
    for name, line, end in zip(names, lines, ["", limit, limit], strict=True):
        assert re.fullmatch(name + speed + end, line), line
