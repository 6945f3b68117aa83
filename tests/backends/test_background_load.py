"""The load of real other programs during a measurement."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from sepcnn.backends import background_load
from sepcnn.backends.background_load import BackgroundLoad

counts = pytest.mark.skipif(not background_load.STATISTICS.exists(), reason="needs /proc/stat")
BUSY = "while True: pass"


@counts
def test_another_program_is_seen() -> None:
    other = subprocess.Popen([sys.executable, "-c", BUSY])
    try:
        with BackgroundLoad() as found:
            time.sleep(1)
    finally:
        other.kill()
        other.wait()
    assert found.processors is not None
    assert found.processors > 0.4


@counts
def test_own_work_is_not_counted() -> None:
    """Nor is that of finished child processes; the work of other programs is."""
    ended = "import time; end = time.process_time() + 1\nwhile time.process_time() < end: pass"
    with BackgroundLoad() as found:
        subprocess.run([sys.executable, "-c", ended], check=True)
    busy = background_load._all_seconds()
    assert found.processors is not None
    assert busy is not None
    before, all_before, own_before = found._begin
    assert all_before is not None
    assert own_before + 1 <= background_load._own_seconds()
    assert found.processors * (time.perf_counter() - before) <= busy - all_before - 0.9


def test_a_system_without_statistics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background_load, "STATISTICS", tmp_path / "missing")
    with BackgroundLoad() as found:
        pass
    assert found.processors is None
