"""Downloads from local servers: complete and correct, or a clear error and no file."""

from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sepcnn.data.sources.published.download import (
    TOLERANCE_BYTES,
    PublishedFile,
    fetch,
    md5_of,
    verify,
)
from sepcnn.errors import DataError, StorageError
from tests.mirror import Mirror, closed_address
from tests.runs import environment

CONTENT = bytes(range(256)) * 400
MD5 = hashlib.md5(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def remote(*mirrors: str, md5: str = MD5) -> PublishedFile:
    return PublishedFile(
        "set/a.bin", md5, len(CONTENT), tuple(f"{mirror}a.bin" for mirror in mirrors)
    )


def get(root: Path, *mirrors: str, md5: str = MD5, timeout: float = 5.0) -> list[int]:
    """Download and return the reported progress."""
    seen: list[int] = []
    fetch(remote(*mirrors, md5=md5), root, seen.append, timeout)
    assert (root / "set" / "a.bin").read_bytes() == CONTENT
    assert not (root / "set" / "a.bin.part").exists()
    return seen


def complaint(action: Callable[[], object]) -> str:
    with pytest.raises(DataError) as caught:
        action()
    return str(caught.value)


def test_a_file_is_downloaded_with_progress(tmp_path: Path) -> None:
    with Mirror({"a.bin": CONTENT}) as mirror:
        seen = get(tmp_path, mirror.address)
    assert seen == sorted(seen)
    assert seen[-1] == len(CONTENT)
    assert mirror.requests == [("a.bin", None)]


def test_an_existing_file_is_not_requested(tmp_path: Path) -> None:
    with Mirror({"a.bin": CONTENT}) as mirror:
        get(tmp_path, mirror.address)
        get(tmp_path, mirror.address)
    assert len(mirror.requests) == 1


def test_an_interrupted_transfer_is_resumed(tmp_path: Path) -> None:
    with Mirror({"a.bin": CONTENT}, cut=60_000) as mirror:
        get(tmp_path, mirror.address)
    assert mirror.requests == [("a.bin", None), ("a.bin", "bytes=60000-")]


def test_a_mirror_without_progress_is_abandoned(tmp_path: Path) -> None:
    with (
        Mirror({"a.bin": CONTENT}, cut=60_000, ranges=False) as bad,
        Mirror({"a.bin": CONTENT}) as good,
    ):
        get(tmp_path, bad.address, good.address)
    assert len(bad.requests) == 2
    assert good.requests == [("a.bin", "bytes=60000-")]


@pytest.mark.parametrize("first", ["missing", "wrong", "closed", "silent"])
def test_the_next_mirror_is_tried(tmp_path: Path, first: str) -> None:
    files = {"a.bin": CONTENT[:-1] + b"?"} if first == "wrong" else {}
    with Mirror(files, delay=1.0 if first == "silent" else 0.0) as bad:
        address = closed_address() if first == "closed" else bad.address
        with Mirror({"a.bin": CONTENT}) as good:
            get(tmp_path, address, good.address, timeout=0.3)
    assert good.requests == [("a.bin", None)]


def test_a_damaged_part_is_discarded(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "a.bin.part").write_bytes(b"?" * 1000)
    with Mirror({"a.bin": CONTENT}) as mirror:
        get(tmp_path, mirror.address)
    assert [span for _, span in mirror.requests] == ["bytes=1000-", None]


@pytest.mark.parametrize("beginning", [CONTENT, CONTENT + b"?"])
def test_a_part_with_all_bytes_or_more(tmp_path: Path, beginning: bytes) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "a.bin.part").write_bytes(beginning)
    with Mirror({"a.bin": CONTENT}) as mirror:
        get(tmp_path, mirror.address)


@pytest.mark.parametrize("sends_length", [True, False])
def test_a_mirror_that_sends_too_much_is_abandoned(
    tmp_path: Path, sends_length: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sepcnn.data.sources.published.download.TOLERANCE_BYTES", 1000)
    most = len(CONTENT) * 5 // 4 + 1000
    endless = bytes(20 * most)
    with Mirror({"a.bin": endless}, sends_length=sends_length) as bad:
        message = complaint(lambda: get(tmp_path, bad.address))
        with Mirror({"a.bin": CONTENT}) as good:
            get(tmp_path, bad.address, good.address)
    found = f"it has {len(endless):,} bytes" if sends_length else f"it has over {most:,} bytes"
    assert message.splitlines()[1] == f"   {bad.address}a.bin: not the published file: {found}"
    assert good.requests == [("a.bin", None)]


def test_a_part_is_kept_if_a_mirror_announces_too_much(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "a.bin.part").write_bytes(CONTENT[:1000])
    endless = bytes(2 * TOLERANCE_BYTES)
    with Mirror({"a.bin": endless}, ranges=False) as bad, Mirror({"a.bin": CONTENT}) as good:
        get(tmp_path, bad.address, good.address)
    assert good.requests == [("a.bin", "bytes=1000-")]


def test_all_mirrors_fail(tmp_path: Path) -> None:
    wrong = b"an error page"
    with Mirror({}) as empty, Mirror({"a.bin": wrong}) as other:
        addresses = (empty.address, closed_address(), other.address)
        message = complaint(lambda: get(tmp_path, *addresses))
    assert message == (
        "a.bin could not be downloaded\n"
        f"   {addresses[0]}a.bin: 404 not found\n"
        f"   {addresses[1]}a.bin: connection refused\n"
        f"   {addresses[2]}a.bin: not the published file: its md5 is "
        f"{hashlib.md5(wrong).hexdigest()}; it is text, 'an error page'\n"
        f"   without a network, put the file at {tmp_path}/set/a.bin  (md5 {MD5})"
    )
    assert not (tmp_path / "set" / "a.bin").exists()


def test_a_file_that_is_not_the_published_one(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"?")
    assert complaint(lambda: verify(path, MD5)) == (
        f"{path}: not the published file: its md5 is {md5_of(path)}, not {MD5}; it is text, '?'\n"
        "   delete it to download it again with download: true"
    )


DOWNLOAD = """
import sys
from pathlib import Path
from sepcnn.data.sources.published.download import PublishedFile, fetch
fetch(PublishedFile("set/a.bin", sys.argv[2], 1, (sys.argv[1],)), Path("."), lambda done: None)
"""


def test_a_killed_download_is_resumed(tmp_path: Path) -> None:
    part = tmp_path / "set" / "a.bin.part"
    with Mirror({"a.bin": CONTENT}, pause=0.1) as mirror:
        command = [sys.executable, "-c", DOWNLOAD, f"{mirror.address}a.bin", MD5]
        process = subprocess.Popen(command, cwd=tmp_path, env=environment())
        end = time.monotonic() + 60
        while not (part.exists() and part.stat().st_size) and time.monotonic() < end:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
    size = part.stat().st_size
    assert 0 < size < len(CONTENT)
    assert not (tmp_path / "set" / "a.bin").exists()
    with Mirror({"a.bin": CONTENT}) as mirror:
        get(tmp_path, mirror.address)
    assert mirror.requests == [("a.bin", f"bytes={size}-")]


def test_an_interrupted_download_is_resumed(tmp_path: Path) -> None:
    def interrupt(done: int) -> None:
        raise KeyboardInterrupt

    with Mirror({"a.bin": CONTENT}) as mirror:
        with pytest.raises(KeyboardInterrupt):
            fetch(remote(mirror.address), tmp_path, interrupt)
        assert not (tmp_path / "set" / "a.bin").exists()
        get(tmp_path, mirror.address)
    assert mirror.requests[1][1]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "a.bin.part").symlink_to("/dev/full")
    with Mirror({"a.bin": CONTENT}) as mirror, pytest.raises(StorageError) as caught:
        get(tmp_path, mirror.address)
    message = f"{tmp_path}/set/a.bin could not be written: no space left on device"
    assert str(caught.value) == message
    assert not (tmp_path / "set" / "a.bin").exists()


def test_a_folder_that_cannot_be_created(tmp_path: Path) -> None:
    (tmp_path / "set").write_text("a file")
    with Mirror({"a.bin": CONTENT}) as mirror, pytest.raises(StorageError) as caught:
        get(tmp_path, mirror.address)
    assert str(caught.value) == f"{tmp_path}/set/a.bin could not be written: file exists"


def test_two_processes_download_once(tmp_path: Path) -> None:
    with Mirror({"a.bin": CONTENT}, pause=0.01) as mirror, ThreadPoolExecutor() as pool:
        both = [pool.submit(get, tmp_path, mirror.address) for _ in range(2)]
        assert sorted(len(one.result()) > 1 for one in both) == [False, True]
    assert mirror.requests == [("a.bin", None)]
