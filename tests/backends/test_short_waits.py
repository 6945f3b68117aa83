"""Threads sleep soon at barriers while other programs are busy."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from sepcnn.backends import short_waits
from sepcnn.backends.background_load import STATISTICS, BackgroundLoad
from sepcnn.backends.short_waits import ShortWaits

linux = pytest.mark.skipif(not STATISTICS.exists(), reason="needs /proc")
BUSY = "while True: pass"


@linux
def test_a_team_exists_while_another_program_is_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in short_waits.USER_SETTINGS:
        monkeypatch.delenv(name, raising=False)
    others = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(os.cpu_count() or 1)]
    try:
        with ShortWaits(threads=max(2, os.cpu_count() or 1), seconds_per_sample=0.2) as waits:
            end = time.monotonic() + 20
            while (team := waits.team) is None:
                assert time.monotonic() < end
                time.sleep(0.02)
    finally:
        for other in others:
            other.kill()
            other.wait()
    assert not team.leader.is_alive()


def test_the_team_is_dissolved_when_the_load_ends() -> None:
    waits, load = ShortWaits(threads=2), BackgroundLoad()
    load.processors = float(os.cpu_count() or 1)
    waits._follow(load)
    team = waits.team
    assert team is not None
    waits._follow(load)
    assert waits.team is team
    load.processors = 0.0
    waits._follow(load)
    assert waits.team is None
    assert not team.leader.is_alive()


@linux
def test_an_idle_team_has_threads_of_its_own() -> None:
    """libgomp counts them: with more threads than processors it spins less."""
    code = """
import os, time, torch
from sepcnn.backends.short_waits import IdleTeam
def settled():
    counts = [0, 1]
    while counts[-1] != counts[-2]:
        time.sleep(0.5)
        counts.append(len(os.listdir("/proc/self/task")))
    return counts[-1]
torch.ones(1 << 20).neg_()
before, team = settled(), IdleTeam()
during = settled()
team.dissolve()
print(before, during, settled())
"""
    result = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "OMP_NUM_THREADS": "3"},
        capture_output=True,
        text=True,
        check=True,
    )
    before, during, after = map(int, result.stdout.split())
    assert during >= before + 2  # the leader, and at least one that follows
    assert after < during


@pytest.mark.parametrize("name", short_waits.USER_SETTINGS)
def test_the_choice_of_the_user_stays(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "1")
    with ShortWaits(threads=2) as waits:
        assert waits.watcher.ident is None
