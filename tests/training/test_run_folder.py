"""The lock of a run folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from sepcnn.errors import StorageError
from sepcnn.training import run_folder


def test_a_file_system_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise NotImplementedError  # as older versions of filelock do

    monkeypatch.setattr("sepcnn.training.run_folder.FileLock.acquire", fail)
    with pytest.raises(StorageError, match="cannot be locked: its file system has no locks"):
        run_folder.acquire(tmp_path)
