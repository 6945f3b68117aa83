"""The cache of decoded images: atomic, shared by processes, and rebuilt if damaged."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections import namedtuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sepcnn.data.cache import file_reading, pixel_cache
from sepcnn.data.cache.file_reading import StoredFormat
from sepcnn.data.cache.pixel_cache import DecodedImages, decode
from sepcnn.data.decoding.reading import ReadingRules
from sepcnn.data.progress import no_progress
from sepcnn.errors import DataError
from sepcnn.file_kind import COPY_AGAIN
from tests.pictures import picture, write_folder
from tests.runs import environment

FORM = StoredFormat((12, 12, 3), "crop")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "sepcnn" / "images"


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    return sorted(write_folder(tmp_path / "photos", count=6).rglob("*.jpg"))


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Records the files that are decoded."""
    found: list[Path] = []
    original = file_reading.read_image

    def watched(path: Path, *arguments: Any, **options: Any) -> np.ndarray:
        found.append(path)
        return original(path, *arguments, **options)

    monkeypatch.setattr(file_reading, "read_image", watched)
    return found


def decode_all(files: list[Path], form: StoredFormat = FORM) -> DecodedImages:
    return decode([str(file) for file in files], form, str(files[0].parents[1]), no_progress)


def pixels(result: DecodedImages, files: list[Path], form: StoredFormat = FORM) -> np.ndarray:
    places = result.row_numbers()
    rows = np.empty((len(files), form.row_bytes), np.uint8)
    result.rows.gather([places[str(file)] for file in files], rows)
    return rows.reshape(-1, *form.shape)


def expected(files: list[Path], form: StoredFormat = FORM) -> np.ndarray:
    from sepcnn.data.decoding.reading import read_image

    return np.stack([read_image(file, form.shape, form.resize) for file in files])


def check(files: list[Path], form: StoredFormat = FORM) -> DecodedImages:
    result = decode_all(files, form)
    np.testing.assert_array_equal(pixels(result, files, form), expected(files, form))
    return result


def kept(home: Path) -> list[str]:
    """Suffixes of the cache files, without lock files, which some versions of filelock remove."""
    return sorted(path.suffix for path in home.iterdir() if path.suffix != ".lock")


def rows_file(home: Path) -> Path:
    (path,) = home.glob("*.rows")
    return path


# ── decoding ──────────────────────────────────────────────────────────────────────────────────


def test_files_are_decoded_once(files: list[Path], home: Path, read: list[Path]) -> None:
    assert check(files).note == ""
    assert sorted(read) == files
    check(files[::-1])
    assert len(read) == len(files)
    assert kept(home) == [".rows"]


def test_only_changed_files_are_decoded_again(files: list[Path], read: list[Path]) -> None:
    check(files)
    read.clear()
    picture("red", 99).save(files[3])
    files[5].unlink()
    new = files[4].with_name("new.png")
    picture("blue", 98).save(new)
    files = [*files[:5], *files[6:], new]
    check(files)
    assert sorted(read) == sorted([files[3], new])


def test_a_touched_file_is_decoded_again(files: list[Path], read: list[Path]) -> None:
    check(files)
    os.utime(files[0])
    check(files)
    assert read[len(files) :] == [files[0]]


def test_files_that_swap_names_with_equal_size_and_mtime(tmp_path: Path) -> None:
    """As when photos that were unpacked from one archive are sorted into other classes."""
    files = [tmp_path / "photos" / name / "1.bmp" for name in ("cat", "dog")]
    for file, colour in zip(files, ("red", "blue"), strict=True):
        file.parent.mkdir(parents=True)
        picture(colour, 1).save(file)
        os.utime(file, (1e9, 1e9))
    check(files)
    files[0].rename(tmp_path / "between")
    files[1].rename(files[0])
    (tmp_path / "between").rename(files[1])
    check(files)
    shutil.copy2(files[0], files[1])
    check(files)


def test_each_stored_format_has_its_own_cache_file(files: list[Path], home: Path) -> None:
    for form in (FORM, StoredFormat((12, 12, 1), "crop"), StoredFormat((12, 12, 3), "stretch")):
        check(files, form)
        check(files, form)
    assert kept(home).count(".rows") == 3


def test_progress_counts_only_decoded_files(files: list[Path]) -> None:
    calls: list[tuple[int, int]] = []
    for _ in range(2):
        names = [str(file) for file in files]
        decode(names, FORM, str(files[0].parent), lambda done, total: calls.append((done, total)))
    assert calls == [(number + 1, len(files)) for number in range(len(files))]


def test_a_file_that_changes_while_it_is_read(
    files: list[Path], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = file_reading.read_image

    def change(path: Path, *arguments: Any, **options: Any) -> np.ndarray:
        found = original(path, *arguments, **options)
        if path == files[7]:
            path.write_bytes(b"other")
        return found

    monkeypatch.setattr(file_reading, "read_image", change)
    with pytest.raises(DataError) as caught:
        decode_all(files)
    assert str(caught.value) == (
        f"{files[7]} changed while it was read\n"
        "   run the command again when nothing writes to the folder"
    )
    assert kept(home) == []


def test_unreadable_images_do_not_rewrite_the_cache(files: list[Path], home: Path) -> None:
    files[2].write_bytes(b"")
    good = files[:2] + files[3:]
    assert decode_all(files).unreadable == {
        str(files[2]): f"{files[2]}: not an image file: it is empty (0 bytes); {COPY_AGAIN}"
    }
    before = rows_file(home).stat().st_ino
    result = decode_all(files)
    assert list(result.unreadable) == [str(files[2])]
    np.testing.assert_array_equal(pixels(result, good), expected(good))
    assert rows_file(home).stat().st_ino == before


def test_an_image_that_is_damaged_now_is_not_taken_from_the_cache(files: list[Path]) -> None:
    check(files)
    files[2].write_bytes(b"")
    good = files[:2] + files[3:]
    for _ in range(2):
        result = decode_all(files)
        assert list(result.unreadable) == [str(files[2])]
        assert result.row_numbers().keys() == set(map(str, good))
        np.testing.assert_array_equal(pixels(result, good), expected(good))


# ── damage ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("length", [0, 10, 100, 5000, -1], ids=str)
def test_a_truncated_cache_file_is_rebuilt(
    files: list[Path], home: Path, read: list[Path], length: int
) -> None:
    check(files)
    path = rows_file(home)
    os.truncate(path, length if length >= 0 else path.stat().st_size + length)
    check(files)
    assert len(read) == 2 * len(files)
    check(files)
    assert len(read) == 2 * len(files)


@pytest.mark.parametrize("place", [0, 432 * 9, -20, -60, -300], ids=str)
def test_a_damaged_cache_file_is_rebuilt(
    files: list[Path], home: Path, read: list[Path], place: int
) -> None:
    check(files)
    content = bytearray(rows_file(home).read_bytes())
    content[place] ^= 1
    rows_file(home).write_bytes(content)
    check(files)
    assert len(read) == 2 * len(files)


def test_a_damaged_row_is_detected_when_it_is_copied(
    files: list[Path], home: Path, read: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sepcnn.data.cache.row_file.ROWS_CHECKED", 1)
    check(files)
    content = bytearray(rows_file(home).read_bytes())
    content[432 * 9] ^= 1
    rows_file(home).write_bytes(content)
    read.clear()
    os.utime(files[0])
    check(files)
    assert read == [files[0], files[9]]


def damage(path: Path, row: int) -> None:
    content = bytearray(path.read_bytes())
    content[FORM.row_bytes * row + 5] ^= 1
    path.write_bytes(content)


def test_a_row_that_is_damaged_on_disk_is_decoded_again(
    files: list[Path],
    home: Path,
    read: list[Path],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("sepcnn.data.cache.row_file.ROWS_CHECKED", 1)
    check(files)
    damage(rows_file(home), 9)
    read.clear()
    check(files)
    assert read == [files[9]]
    message = f"the cached pixels of {str(files[9])!a} were damaged on disk: decoded again"
    assert caplog.messages == [message]
    check(files)  # the row was repaired in the file
    assert read == [files[9]]


def test_a_damaged_row_of_a_file_that_is_gone_is_an_error(
    files: list[Path], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sepcnn.data.cache.row_file.ROWS_CHECKED", 1)
    check(files)
    damage(rows_file(home), 9)
    result = decode_all(files)
    files[9].write_bytes(b"")
    with pytest.raises(DataError) as caught:
        pixels(result, files)
    assert str(caught.value) == (
        f"the cached pixels of {files[9]} are damaged, and the file has changed\n"
        "   restore the file, or start again with a new run"
    )


@pytest.mark.parametrize("count", [1, 18])
def test_unreadable_files_are_read_once(
    files: list[Path], home: Path, read: list[Path], count: int
) -> None:
    for file in files[:count]:
        file.write_bytes(b"broken " + bytes(100))
    first = decode_all(files).unreadable
    assert list(first) == [str(file) for file in files[:count]]
    read.clear()
    again = decode_all(files).unreadable
    assert list(again.items()) == list(first.items())
    assert read == []
    picture("red", 1).save(files[0])
    assert list(decode_all(files).unreadable) == [str(file) for file in files[1:count]]
    assert read == [files[0]]
    (home / rows_file(home).with_suffix(".unreadable").name).write_text("{")
    assert list(decode_all(files).unreadable) == [str(file) for file in files[1:count]]


def test_a_larger_limit_reads_what_was_too_large(files: list[Path]) -> None:
    small = StoredFormat(FORM.shape, FORM.resize, ReadingRules(max_pixels=10))
    assert len(decode_all(files, small).unreadable) == len(files)
    check(files)


def test_an_error_of_the_disk_is_not_remembered(
    files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path) -> bytes:
        raise OSError(5, "Input/output error", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", fail)
        assert len(decode_all(files).unreadable) == len(files)
    assert decode_all(files).unreadable == {}


def test_a_large_file_is_hashed_without_reading_it_whole(
    files: list[Path], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = [decode_all(files).rows.index[number] for number in range(len(files))]
    shutil.rmtree(home)
    monkeypatch.setattr("sepcnn.data.cache.file_reading.READ_AT_ONCE", 10)
    assert [decode_all(files).rows.index[number] for number in range(len(files))] == whole


@pytest.mark.parametrize("error", [ValueError("a bug"), OSError("a bug")])
def test_an_error_of_the_program_is_not_taken_for_one_of_the_cache(
    files: list[Path], error: Exception
) -> None:
    def fail(_done: int, _total: int) -> None:
        raise error

    with pytest.raises(type(error), match="a bug"):
        decode([str(file) for file in files], FORM, "photos", fail)


def test_a_cache_file_truncated_during_training_is_an_error(files: list[Path], home: Path) -> None:
    result = decode_all(files)
    os.truncate(rows_file(home), 432 * 3)
    with pytest.raises(DataError) as caught:
        pixels(result, files)
    assert str(caught.value) == (
        f"{rows_file(home)}: the cached images can no longer be read (cut off)\n"
        "   run the command again to decode the images again"
    )


def test_a_removed_or_replaced_cache_file_can_still_be_read(files: list[Path], home: Path) -> None:
    result, before = decode_all(files), expected(files)
    picture("red", 99).save(files[3])
    decode_all(files)
    shutil.rmtree(home)
    np.testing.assert_array_equal(pixels(result, files), before)


# ── missing space ─────────────────────────────────────────────────────────────────────────────

Usage = namedtuple("Usage", ["total", "used", "free"])
IN_MEMORY = "images are kept in memory, and decoded again by the next command"


def test_without_a_cache_folder_images_are_kept_in_memory(
    files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    note = check(files).note
    folder = tmp_path / "file" / "sepcnn"
    assert note == f"the cache folder {folder} cannot be used (not a directory): {IN_MEMORY}"


def test_a_full_disk_is_detected_before_decoding(
    files: list[Path], home: Path, read: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: Usage(1, 1, 432 * len(files) - 1))
    folder = home.parent
    expected_note = f"the cache folder {folder} cannot be used (not enough space): {IN_MEMORY}"
    assert check(files).note == expected_note
    assert len(read) == len(files)
    assert kept(home) == []


def test_a_disk_that_fills_up_leaves_no_files(
    files: list[Path], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    assert "cannot be used (no space left on device)" in check(files).note
    assert kept(home) == []


def test_images_that_do_not_fit_into_memory_are_refused(
    files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr(pixel_cache, "free_memory", lambda: 1000)
    with pytest.raises(DataError) as caught:
        decode_all(files)
    assert str(caught.value) == (
        f"the cache folder {tmp_path / 'file' / 'sepcnn'} cannot be used (not a directory), and "
        "0.0 GB of decoded images do not fit into memory\n"
        "   set XDG_CACHE_HOME to a folder with 0.0 GB of free space"
    )


# ── processes ─────────────────────────────────────────────────────────────────────────────────

BUILD = """
import signal, sys, time
from pathlib import Path
from sepcnn.data.cache import file_reading
from sepcnn.data.cache import pixel_cache

original = file_reading.read_image

def slow(path, *arguments, **options):
    print("read", flush=True)
    time.sleep({seconds})
    return original(path, *arguments, **options)

file_reading.read_image = slow
# A background process of a shell ignores SIGINT.
signal.signal(signal.SIGINT, signal.default_int_handler)
source = str(Path(sys.argv[1]).parents[1])
try:
    found = pixel_cache.decode(
        sys.argv[1:], file_reading.StoredFormat((12, 12, 3), "crop"), source, lambda *_: None
    )
except KeyboardInterrupt:
    sys.exit(130)
print(len(found.rows.index), flush=True)
"""


def builder(files: list[Path], seconds: float) -> subprocess.Popen[str]:
    code = BUILD.format(seconds=seconds)
    arguments = [sys.executable, "-c", code, *map(str, files)]
    return subprocess.Popen(arguments, env=environment(), stdout=subprocess.PIPE, text=True)


@pytest.mark.exhaustive
def test_two_processes_decode_once(files: list[Path], home: Path) -> None:
    processes = [builder(files, 0.02) for _ in range(2)]
    texts = [process.communicate(timeout=60)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    # Counted in the whole text, because threads that print at the same time may share a line.
    assert sum(text.count("read") for text in texts) == len(files)
    assert [text.split()[-1] for text in texts] == [str(len(files))] * 2
    check(files)


@pytest.mark.covering("one")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=lambda n: n.name)
def test_a_stopped_process_leaves_no_partial_cache(
    files: list[Path], home: Path, number: signal.Signals
) -> None:
    process = builder(files, 0.1)
    assert process.stdout is not None
    for _ in range(6):
        process.stdout.readline()
    begun = time.monotonic()
    process.send_signal(number)
    process.communicate(timeout=60)
    assert time.monotonic() - begun < 10
    if number == signal.SIGINT:
        assert process.returncode == 130
        assert kept(home) == []
    assert not list(home.glob("*.rows"))
    check(files)
    assert kept(home) == [".rows"]
