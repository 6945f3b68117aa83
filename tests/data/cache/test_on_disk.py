"""A split in a file: the images at the indices, on any device, in little memory."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest
import torch

from sepcnn.data.cache.on_disk import OnDiskSplit
from sepcnn.data.cache.row_file import RowFile, SourceFile, read_metadata, row_digest, write_rows
from sepcnn.data.dataset import InMemorySplit
from tests.runs import environment

SHAPE = (4, 3, 2)


@pytest.fixture
def rows(tmp_path: Path) -> RowFile:
    """Ten images, each filled with its number."""
    with write_rows(tmp_path / "a.rows", {}) as writer:
        for number in range(10):
            row = bytes([number]) * 24
            writer.add(SourceFile(f"{number}.png", 1, 1, 1, row_digest(row), row_digest(b"")), row)
    return RowFile(tmp_path / "a.rows")


def split(rows: RowFile, places: list[int]) -> OnDiskSplit:
    names = [f"{place}.png" for place in places]
    return OnDiskSplit(rows, places, names, torch.tensor(places) % 3, SHAPE)


def test_read_returns_the_images_at_the_indices(rows: RowFile) -> None:
    batch = split(rows, [7, 2, 5]).read(torch.tensor([2, 0, 0, 1]))
    assert batch.images.shape == (4, *SHAPE)
    assert batch.images[:, 3, 2, 1].tolist() == [5, 7, 7, 2]
    assert batch.labels.tolist() == [2, 1, 1, 2]
    batch.images.zero_()  # not shared with the split
    assert split(rows, [7]).read(torch.tensor([0])).images.flatten().tolist() == [7] * 24


def test_the_index_is_stored_as_bytes(tmp_path: Path) -> None:
    """With Python objects per entry, ImageNet would need half a gigabyte and a second."""
    written = [
        SourceFile(
            f"{number:05}/b\udce9.jpg", number, -number, 1 << 62, row_digest(b""), row_digest(b"a")
        )
        for number in range(10_000)
    ]
    with write_rows(tmp_path / "a.rows", {"a": 1}) as writer:
        for entry in written:
            writer.add(entry, b"")
    tracemalloc.start()
    found = RowFile(tmp_path / "a.rows").index
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept / len(written) < 96
    assert list(found) == written
    assert found.digest(7) == found[7].digest
    assert found.row_numbers() == {entry.path: place for place, entry in enumerate(written)}
    assert read_metadata(tmp_path / "a.rows") == ({"a": 1}, len(written))


def test_moving_to_the_cpu_keeps_the_images(rows: RowFile) -> None:
    part = split(rows, [7, 2])
    moved = part.to(torch.device("cpu"))
    assert moved.fingerprint() == part.fingerprint()
    assert moved.read(torch.tensor([1])).images.unique().tolist() == [2]


def test_indices_are_needed_on_the_cpu_for_every_device(rows: RowFile) -> None:
    """Reading indices from a GPU would wait for the previous steps."""
    part = split(rows, [7, 2])
    for_gpu = OnDiskSplit(rows, [7, 2], part.names, part.labels, SHAPE, torch.device("cuda"))
    assert for_gpu.indices_on == part.indices_on == torch.device("cpu")
    resident = InMemorySplit(torch.zeros(2, 4, 3, 2, dtype=torch.uint8, device="meta"), part.labels)
    assert resident.indices_on == torch.device("meta")


def test_the_fingerprint_depends_on_names_images_and_labels(rows: RowFile) -> None:
    parts = [split(rows, [1, 2]), split(rows, [2, 1]), split(rows, [1]), split(rows, [1, 2, 3])]
    parts.append(OnDiskSplit(rows, [1, 2], ["a", "2.png"], torch.tensor([1, 2]), SHAPE))
    parts.append(OnDiskSplit(rows, [1, 2], ["1.png", "2.png"], torch.tensor([1, 1]), SHAPE))
    assert len({part.fingerprint() for part in parts}) == 6
    assert split(rows, [1, 2]).fingerprint() == parts[0].fingerprint()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("room", [True, False])
def test_moving_to_a_gpu_keeps_the_images(
    rows: RowFile, room: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = 10**9 if room else 10
    monkeypatch.setattr("sepcnn.data.cache.on_disk.free_memory", lambda _: free)
    moved = split(rows, [7, 2, 5]).to(torch.device("cuda"))
    assert isinstance(moved, OnDiskSplit) != room
    batch = moved.read(torch.tensor([2, 0], device="cuda"))
    assert (batch.images.device.type, batch.labels.device.type) == ("cuda", "cuda")
    assert batch.images[:, 0, 0, 0].tolist() == [5, 7]
    assert batch.labels.tolist() == [2, 1]


LARGE = """
import resource, sys
from pathlib import Path
import torch
from sepcnn.data.cache.on_disk import OnDiskSplit
from sepcnn.data.cache.row_file import FOOTER, MAGIC, RowFile, RowIndex, SourceFile
import hashlib

path, count, side = sys.argv[1], 4096, 512
row = side * side * 3
digest = hashlib.blake2b(bytes(row), digest_size=16).hexdigest()
entries = RowIndex()
for number in range(count):
    entries.add(SourceFile(str(number), 1, 1, 1, digest, digest))
index = bytes(entries) + b"{}"
with open(path, "wb") as file:  # a sparse file of 3.2 GB
    file.truncate(count * row)
    file.seek(count * row)
    file.write(index)
    footer = (MAGIC, count, row, len(index), 2, hashlib.blake2b(index, digest_size=16).digest())
    file.write(FOOTER.pack(*footer))

status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
limit = int(status["VmData"].split()[0]) * 1024 + (400 << 20)  # 0.4 GB in addition to torch
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
rows = RowFile(Path(path))
part = OnDiskSplit(rows, range(count), [str(n) for n in range(count)],
              torch.zeros(count, dtype=torch.int64), (side, side, 3))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for indices in torch.randperm(count).split(32):
    assert part.read(indices).images.shape == (len(indices), side, side, 3)
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    bytearray(count * row)
    print("no limit")
except MemoryError:
    print((after - before) // 1024)
"""


@pytest.mark.exhaustive
@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not keep RLIMIT_DATA")
def test_images_larger_than_the_memory_are_read_by_batch(tmp_path: Path) -> None:
    """3.2 GB are read by a process limited to 0.4 GB; it grows by a few batches of 25 MB."""
    result = subprocess.run(
        [sys.executable, "-c", LARGE, str(tmp_path / "large.rows")],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) < 150
