"""No layer ends the process with a signal, for any of its arguments and memory formats."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


@pytest.mark.exhaustive
@pytest.mark.parametrize("instructions", ["ALL", "AVX2"])
def test_no_layer_ends_the_process(instructions: str) -> None:
    """``instructions`` is the most that torch's convolutions may use, as on other processors."""
    environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": instructions}
    result = subprocess.run(
        [sys.executable, "-m", "tests.nn.layers.argument_grid"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    last = result.stdout.splitlines()[-1:]
    assert result.returncode == 0, f"{last}\n{result.stderr}"
    assert last[0].startswith("done: ")
