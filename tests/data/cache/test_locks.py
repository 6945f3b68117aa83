"""A lock that is waited for: one line says so."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from sepcnn.data.cache.locks import locked
from tests.runs import environment

WAIT = """
import sys
from pathlib import Path
from sepcnn.data.cache.locks import locked

with locked(Path(sys.argv[1]), "downloading a.bin"):
    print("held")
"""


def test_waiting_is_reported(tmp_path: Path) -> None:
    lock = tmp_path / "a.lock"
    command = [sys.executable, "-c", WAIT, str(lock)]
    with locked(lock, "nothing"):
        process = subprocess.Popen(
            command,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stderr is not None
        line = process.stderr.readline()
        assert process.poll() is None
    out, err = process.communicate(timeout=60)
    assert line == "waiting for another process, which is downloading a.bin\n"
    assert (out, err, process.returncode) == ("held\n", "", 0)


def test_a_free_lock_is_not_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(2):  # let go of each time, after an error too
        with pytest.raises(KeyError), locked(tmp_path / "a.lock", "nothing"):
            raise KeyError
    assert caplog.records == []


def test_only_one_process_holds_the_lock(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    order: list[str] = []
    waiting, begun = tmp_path / "a.lock", threading.Event()

    def wait() -> None:
        begun.set()
        with locked(waiting, "busy"):
            order.append("second")

    thread = threading.Thread(target=wait)
    with locked(waiting, "busy"):
        thread.start()
        begun.wait()
        thread.join(0.2)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
    assert [record.getMessage() for record in caplog.records] == [
        "waiting for another process, which is busy"
    ]


def test_a_file_system_without_locks_is_an_ordinary_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise NotImplementedError

    monkeypatch.setattr("sepcnn.data.cache.locks.FileLock.acquire", fail)
    with (
        pytest.raises(OSError, match="its file system has no locks"),
        locked(tmp_path / "a", "busy"),
    ):
        pass
