"""Signals at any moment of the start: exit code 130 and no traceback."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.runs import command, default_signal, environment, write_config

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


def wait_for_handlers(process: subprocess.Popen[str], number: signal.Signals) -> None:
    """Wait until the process handles the signal: before that it is Python that starts."""
    status, bit = Path(f"/proc/{process.pid}/status"), 1 << (number - 1)
    while process.poll() is None:
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        command_line = Path(f"/proc/{process.pid}/cmdline").read_bytes()
        if int(lines["SigCgt"], 16) & bit and b"sepcnn" in command_line:
            return
        time.sleep(0.001)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
@pytest.mark.exhaustive
@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
@pytest.mark.parametrize("seconds", [0.0, 0.2, 0.6, 1.0, 1.6])
def test_a_signal_during_the_start(number: signal.Signals, seconds: float, tmp_path: Path) -> None:
    write_config(tmp_path, epochs=1000)
    with default_signal(number):
        process = subprocess.Popen(
            command("train", "colours.yaml"),
            cwd=tmp_path,
            env=environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
    wait_for_handlers(process, signal.SIGTERM)
    time.sleep(seconds)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert "Exception ignored" not in errors


@pytest.mark.exhaustive
def test_a_signal_at_the_end_does_not_change_the_result(tmp_path: Path) -> None:
    code = (
        "import os, signal, sepcnn.__main__, sepcnn.cli.main as m, atexit\n"
        "atexit.register(os.kill, os.getpid(), signal.SIGTERM)\n"
        "m.run = lambda arguments: 1\n"
        "sepcnn.__main__.main()"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stderr) == (1, "")
