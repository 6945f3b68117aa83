"""Printed lines and tables fit the terminal."""

from __future__ import annotations

import math
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from sepcnn.cli import console
from sepcnn.cli.console import ReadingProgress, table, visible, visible_message
from sepcnn.cli.main import run
from sepcnn.cli.progress import epoch_line, join_fitting
from sepcnn.errors import ConfigError, DataError, Location, Problem
from sepcnn.training.records import EpochRecord, Scores
from tests.runs import command, environment, keep_few, write_config

RECORD = EpochRecord(
    epoch=3,
    step=94,
    train=Scores(loss=0.5, accuracy=0.75),
    val=Scores(loss=0.625, accuracy=0.5, macro_recall=0.25),
    learning_rate=0.001,
    seconds=65,
    images_per_second=8570.0,
)


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (
            160,
            "epoch  3/10  loss 0.5000  accuracy 75.0 %  val loss 0.6250  accuracy 50.0 %  "
            "macro recall 25.0 %   8,570 images/s   1:05  best",
        ),
        (
            120,
            "epoch  3/10  loss 0.5000  accuracy 75.0 %  val loss 0.6250  accuracy 50.0 %  "
            "macro recall 25.0 %   1:05  best",
        ),
        (
            107,
            "epoch  3/10  loss 0.5000  accuracy 75.0 %  val loss 0.6250  accuracy 50.0 %  "
            "macro recall 25.0 %  best",
        ),
        (
            88,
            "epoch  3/10  loss 0.5000  val loss 0.6250  accuracy 50.0 %  macro recall 25.0 %  best",
        ),
        (80, "epoch  3/10  val loss 0.6250  accuracy 50.0 %  macro recall 25.0 %  best"),
        (60, "epoch  3/10  val loss 0.6250  accuracy 50.0 %  best"),
        (10, "epoch  3/10  val loss 0.6250  accuracy 50.0 %  best"),
    ],
)
def test_an_epoch_line_fits_into_the_columns(columns: int, expected: str) -> None:
    found = epoch_line(RECORD, 10, "macro_recall", True, columns)
    assert found == expected
    assert len(found) <= max(columns, 51)


def test_an_epoch_line_without_validation() -> None:
    line = epoch_line(replace(RECORD, val=None), 10, "macro_recall", False, 160)
    assert line == "epoch  3/10  loss 0.5000  accuracy 75.0 %   8,570 images/s   1:05"


@pytest.mark.parametrize("columns", [80, 100, 120, 160])
def test_the_columns_of_all_epochs_line_up(columns: int) -> None:
    def scores(accuracy: float, loss: float) -> Scores:
        return Scores(loss, accuracy, macro_recall=accuracy)

    records = [
        replace(RECORD, train=scores(0.093, math.nan), val=scores(0.1, 0.5), epoch=9, seconds=7),
        replace(RECORD, train=scores(0.5, 2.25), val=scores(0.5, 0.25), images_per_second=12_345),
        replace(RECORD, train=scores(1, 0.00001), val=scores(0.9999, 3), seconds=754, waiting=0.2),
    ]
    for macro in (None, "macro_recall"):
        lines = [epoch_line(record, 10, macro, True, columns) for record in records]
        # Each word starts at the same column, independent of the numbers.
        words = ("loss", "accuracy", "val", "macro", "images/s", "best")
        for word in words:
            first, *others = (starts(line.partition("\n")[0], word) for line in lines)
            assert others == [first, first]
        assert "waiting for images" in lines[2]


def starts(line: str, word: str) -> list[int]:
    return [found.start() for found in re.finditer(rf"\b{word}", line)]


def test_parts_are_left_out_by_rank_until_the_line_fits() -> None:
    parts = [(1, "aaaa"), (0, "bb"), (3, "c"), (2, "dd")]
    lines = [join_fitting(parts, columns) for columns in (15, 14, 11, 9, 1)]
    assert lines == ["aaaa  bb  c  dd", "aaaa  bb  dd", "aaaa  bb", "aaaa  bb", "bb"]


@pytest.mark.skipif(sys.platform == "win32", reason="a pseudo-terminal is POSIX")
@pytest.mark.exhaustive
def test_a_run_on_a_terminal_of_80_columns(tmp_path: Path) -> None:
    import fcntl
    import pty
    import struct
    import termios

    write_config(tmp_path, epochs=2)
    keep_few(tmp_path / "colours.npz")
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    process = subprocess.Popen(
        command("train", "colours.yaml", "--run-dir", "run"),
        cwd=tmp_path,
        env={**environment(), "TERM": "xterm"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    written = b""
    try:
        while part := os.read(ours, 65536):
            written += part
    except OSError:  # how Linux says that the other end is closed
        pass
    os.close(ours)
    assert process.wait(timeout=60) == 0
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written.decode())
    lines = [line for line in re.split(r"[\r\n]+", text) if line.startswith(("epoch", " ", "1"))]
    bars = [line.rstrip() for line in lines if "| epoch" in line]
    assert bars
    assert all(re.search(r"\| epoch [12]/2  .*accuracy \d+\.\d %.* left$", bar) for bar in bars)
    assert any(line.startswith("epoch 2/2  ") for line in lines)
    assert max(map(len, lines)) <= 80


def test_brackets_in_names_are_not_markup(capsys: pytest.CaptureFixture[str]) -> None:
    names = ["[red]", "a[/b]", ":cat:"]
    table([names[0], names[1]], [[name, name] for name in names])
    first, _, *lines = [
        line.split() for line in capsys.readouterr().out.splitlines() if line.strip()
    ]
    assert first == names[:2]
    assert lines == [[name, name] for name in names]


def test_the_reading_bar_shows_each_phase(capsys: pytest.CaptureFixture[str]) -> None:
    """`sepcnn check` examines all files, then decodes those that are not in the cache."""
    with ReadingProgress() as progress:
        progress.live = True
        for done, total in ((50, 200), (50, 100)):
            progress.last_line = 0
            progress(done, total)
    shown = capsys.readouterr().err
    assert "25%|" in shown
    assert "50%|" in shown
    assert "reading images 50/100" in shown


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("naïve Größe 猫 × … → 🐈", "naïve Größe 猫 × … → 🐈"),
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("a\nb\rc\x07\x7f\x85", r"a\nb\rc\x07\x7f\x85"),
        ("abc\u202egpj.exe", r"abc\u202egpj.exe"),
        ("cat\u200b\ufeff\u2066\u2028", r"cat\u200b\ufeff\u2066\u2028"),
        ("caf\udce9.jpg", r"caf\xe9.jpg"),
        ("\ud800", r"\ud800"),
        ("👩\u200d🚀 می\u200cخواهم", "👩\u200d🚀 می\u200cخواهم"),
        (r"C:\new\x1b", r"C:\new\x1b"),
        ("a\tb", "a\tb"),
    ],
)
def test_control_characters_are_visible(text: str, expected: str) -> None:
    assert visible(text) == expected


def test_a_message_keeps_its_own_line_breaks() -> None:
    message = "2 images cannot be read:\n   a\nb.jpg: \x1b[2J\n   fix them"
    expected = "2 images cannot be read:\n   a\\nb.jpg: \\x1b[2J\n   fix them"
    assert visible_message(message) == expected


RAW = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
HOSTILE = "\x1b]0;title\x07\x1b[2J\u202ea\x9b31m\rb\nc"


def test_nothing_prints_raw_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    place = Location("a.yaml", 3, 5, f"  - {HOSTILE}", 2)
    console.say(HOSTILE)
    console.line(HOSTILE)
    console.note(HOSTILE)
    console.notes([HOSTILE])
    console.heading(HOSTILE, "error")
    console.table([HOSTILE, "n"], [[HOSTILE, "1"]])
    console.error(DataError(HOSTILE, HOSTILE))
    console.error(ConfigError([Problem(HOSTILE, place, HOSTILE, HOSTILE)]))
    console.stderr_lines(HOSTILE)
    with ReadingProgress() as progress:
        progress.note(HOSTILE)
    captured = capsys.readouterr()
    for text in (captured.out, captured.err):
        assert not RAW.search(text), RAW.search(text)
    assert r"\x1b]0;title\x07\x1b[2J\u202ea\x9b31m\rb" in captured.out


def test_results_for_programs_are_exact(capsys: pytest.CaptureFixture[str]) -> None:
    console.data("a\x1b[31m\tb")
    assert capsys.readouterr().out == "a\x1b[31m\tb\n"


def test_carets_keep_their_column(capsys: pytest.CaptureFixture[str]) -> None:
    console.error(ConfigError([Problem("wrong", Location("a.yaml", 3, 4, "a\x1b\u202eb"))]))
    assert capsys.readouterr().err.splitlines()[1:] == ["      3 | a␛\ufffdb", "        |    ^"]


@pytest.mark.parametrize(
    "arguments", [["\x1b[31mtrain"], ["train", "--\x1b[2J"], ["eval", "a", "\x1b[2J"]]
)
def test_the_command_line_is_printed_visibly(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 2
    err = capsys.readouterr().err
    assert "\x1b" not in err
    assert r"\x1b[" in err


@pytest.mark.skipif(sys.platform == "win32", reason="such names are not allowed")
def test_names_of_files_and_classes_are_printed_visibly(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for label in ("cat\x1b[31m", "dog\nfish"):
        folder = tmp_path / "photos" / label
        folder.mkdir(parents=True)
        for number in range(6):
            Image.new("RGB", (40, 40), (40 * number, 9, 9)).save(folder / f"{number}\x1b[2J.png")
        (folder / "x\ny\x1b[1m.png").write_bytes(b"<html>\x1b[31m")
    config = write_config(tmp_path)
    config.write_text(config.read_text().replace("Arrays: colours.npz", "Folder: photos"))
    monkeypatch.chdir(tmp_path)
    run(["check", str(config)])
    run(["check", str(config), "--json"])
    run(["train", str(config)])
    run(["init", str(tmp_path / "photos")])
    captured = capsys.readouterr()
    for text in (captured.out, captured.err):
        assert not RAW.search(text), RAW.search(text)
    assert r"x\ny\x1b[1m.png" in captured.out
    assert r"x\ny\x1b[1m.png: not an image file: it is an HTML page" in captured.err
