"""`sepcnn predict` on real image files."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import sepcnn
from sepcnn.cli import console
from tests.cli.conftest import Invoke
from tests.runs import default_signal


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Three readable pictures, one of them in a subfolder, and an unreadable one."""
    folder = tmp_path / "pictures"
    (folder / "more").mkdir(parents=True)
    for name, colour in (("a.png", (220, 60, 60)), ("b.jpg", (60, 220, 60))):
        Image.new("RGB", (40, 30), colour).save(folder / name)
    Image.new("RGB", (12, 12), (60, 60, 220)).save(folder / "more" / "c.PNG")
    (folder / "broken.png").write_bytes(b"no picture")
    return folder


def test_json(trained: Path, pictures: Path, invoke: Invoke) -> None:
    code, out, _ = invoke("predict", trained / "run", pictures, "--top", "2", "--json")
    assert code == 1  # one file was not read
    results = {Path(row["path"]).name: row for row in json.loads(out)}
    assert list(results) == ["a.png", "b.jpg", "broken.png", "c.PNG"]
    error = "not an image file: it is text, 'no picture'"
    assert results["broken.png"]["error"] == f"{pictures}/broken.png: {error}"
    for name, colour in (("a.png", "red"), ("b.jpg", "green"), ("c.PNG", "blue")):
        guesses = results[name]["predictions"]
        assert guesses[0]["name"] == colour
        assert len(guesses) == 2
        assert 1 >= guesses[0]["probability"] >= guesses[1]["probability"] >= 0


def test_the_command_and_the_library_agree(trained: Path, pictures: Path, invoke: Invoke) -> None:
    file = pictures / "more" / "c.PNG"
    code, out, _ = invoke("predict", trained / "run", file, "--top", "3", "--json")
    assert code == 0
    predictor = sepcnn.load(trained / "run")
    row = predictor.predict(np.asarray(Image.open(file))[None])[0]
    shown = {guess["name"]: guess["probability"] for guess in json.loads(out)[0]["predictions"]}
    expected = dict(zip(predictor.class_names, row.tolist(), strict=True))
    assert shown == expected


def test_printed_lines(trained: Path, pictures: Path, invoke: Invoke) -> None:
    code, out, err = invoke("predict", trained / "run", pictures / "a.png", pictures / "none.png")
    assert code == 1
    assert out.startswith(f"{pictures}/a.png  red ")
    assert err == f"not read: there is no file or folder {pictures}/none.png\n"


def test_a_missing_checkpoint(pictures: Path, invoke: Invoke) -> None:
    code, _, err = invoke("predict", "nowhere", pictures)
    assert code == 2
    assert err == "error: there is no checkpoint nowhere\n   check the path\n"


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))


def test_a_csv_has_a_row_per_image(
    trained: Path, pictures: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(pictures / "a.png", pictures / "=1+1,x.png")
    table = pictures / "result.csv"
    monkeypatch.chdir(pictures)
    code, out, err = invoke(
        "predict", trained / "run", "=1+1,x.png", pictures, "--csv", table, "--top", "2"
    )
    assert code == 1
    assert out == f"wrote {table}: 6 images\n"
    assert err.startswith(f"not read: {pictures}/broken.png: not an image file")
    rows = read_csv(table)
    assert list(rows[0]) == [
        "path", "predicted", "probability", "predicted_2", "probability_2", "error"
    ]  # fmt: skip
    assert rows[0]["path"] == "./=1+1,x.png"
    by_name = {Path(row["path"]).name: row for row in rows}
    assert by_name["a.png"]["predicted"] == "red"
    assert by_name["broken.png"]["predicted"] == by_name["broken.png"]["probability"] == ""
    assert "not an image file" in by_name["broken.png"]["error"]

    _, out, _ = invoke("predict", trained / "run", pictures, "--top", "2", "--json")
    for result in json.loads(out):
        for guess, end in zip(result.get("predictions", []), ("", "_2"), strict=False):
            row = by_name[Path(result["path"]).name]
            assert row[f"predicted{end}"] == guess["name"]
            assert float(row[f"probability{end}"]) == pytest.approx(guess["probability"], rel=1e-5)


def test_a_csv_that_cannot_be_written_is_found_first(
    trained: Path, pictures: Path, invoke: Invoke
) -> None:
    code, out, err = invoke("predict", trained / "run", pictures, "--csv", pictures / "a.png")
    assert (code, out) == (2, "")
    assert err.startswith(f"error: --csv: {pictures}/a.png exists, and only files named .csv")
    with Image.open(pictures / "a.png") as image:
        assert image.size == (40, 30)


def test_files_left_out_of_a_folder_are_counted(
    trained: Path, pictures: Path, invoke: Invoke
) -> None:
    (pictures / "list.txt").write_text("a.png")
    (pictures / "more" / "clip.mov").write_bytes(b"no image")
    _, _, err = invoke("predict", trained / "run", pictures)
    assert "note: left out: 2 files: .mov 1, .txt 1" in err


def test_progress_is_shown_while_files_are_read(
    trained: Path, pictures: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "SECONDS_BETWEEN_PLAIN_LINES", 0)
    arguments = ("predict", trained / "run", pictures)
    assert "reading images 1/4\n" in invoke(*arguments, "--csv", pictures / "a.csv")[2]
    monkeypatch.setattr(console, "output_is_terminal", lambda: True)
    assert "reading images" not in invoke(*arguments)[2]  # the results show the progress


def files_in(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_copies_are_sorted_by_class(
    trained: Path, pictures: Path, tmp_path: Path, invoke: Invoke
) -> None:
    (pictures / "other").mkdir()
    Image.new("RGB", (30, 30), (230, 70, 50)).save(pictures / "other" / "a.png")
    target = tmp_path / "new" / "sorted"
    table = target / "a.csv"
    arguments = ("predict", trained / "run", pictures, "--copy-to", target, "--csv", table)
    code, out, err = invoke(*arguments)
    assert code == 1
    assert out == (
        f"{target}/blue  1 image\n{target}/green  1 image\n{target}/red  2 images\n"
        f"wrote {table}: 5 images\n"
    )
    assert files_in(target) == [
        "a.csv", "blue/c.PNG", "green/b.jpg", "red/a (2).png", "red/a.png"
    ]  # fmt: skip
    for row in read_csv(table):
        if not row["error"]:
            assert Path(row["copied_to"]).read_bytes() == Path(row["path"]).read_bytes()
    before = files_in(target)
    code, _, err = invoke(*arguments, "--json")
    assert files_in(target) == before
    code, _, err = invoke(*arguments)
    assert err.endswith("note: 4 images had been copied before\n")
    assert files_in(target) == before


def test_images_with_a_low_probability_are_unsure(
    trained: Path, pictures: Path, tmp_path: Path, invoke: Invoke
) -> None:
    target = tmp_path / "sorted"
    arguments = ("predict", trained / "run", pictures, "--copy-to", target)
    invoke(*arguments, "--min-probability", "1")
    found = {Path(name).parent.name for name in files_in(target)}
    probabilities = json.loads(invoke("predict", trained / "run", pictures, "--json")[1])
    best = [r["predictions"][0]["probability"] for r in probabilities if "error" not in r]
    assert ("unsure" in found) == any(p < 1 for p in best)
    code, _, err = invoke("predict", trained / "run", pictures, "--min-probability", "0.5")
    assert code == 2
    assert "--min-probability needs --copy-to DIR" in err


def test_copies_inside_of_the_source_are_not_read(
    trained: Path, pictures: Path, invoke: Invoke
) -> None:
    target = pictures / "sorted"
    arguments = ("predict", trained / "run", pictures, "--copy-to", target)
    invoke(*arguments)
    before = files_in(target)
    assert len(before) == 3
    _, _, err = invoke(*arguments)
    assert f"note: left out: 3 images in {target}\n" in err
    assert files_in(target) == before
    code, _, err = invoke("predict", trained / "run", pictures, "--copy-to", pictures)
    assert code == 2
    assert err == (
        f"error: --copy-to: {pictures} is the folder of the images\n"
        f"   give another folder, for example {pictures}/sorted\n"
    )


def test_results_are_printed_as_they_come(trained: Path, pictures: Path, tmp_path: Path) -> None:
    """And Ctrl-C leaves complete copies only, which a second call continues."""
    many = tmp_path / "many"
    many.mkdir()
    for number in range(3000):
        os.link(pictures / "a.png", many / f"{number}.png")
    command = [sys.executable, "-m", "sepcnn", "predict", str(trained / "run"), str(many)]
    with default_signal(signal.SIGINT):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    with process:
        assert process.stdout
        assert process.stdout.readline().startswith(f"{many}/0.png  red".encode())
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        process.communicate()  # the process may be waiting to write
        assert process.returncode == 130

    target = tmp_path / "sorted"
    command += ["--copy-to", str(target), "--csv", str(tmp_path / "a.csv")]
    with default_signal(signal.SIGINT):
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    with process:
        while not list((target / "red").glob("[0-9]*.png")):
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.stderr
        assert "repeat the command to continue" in process.stderr.read()
        assert process.wait() == 130
    copied = list((target / "red").iterdir())
    assert 0 < len(copied) < 3000
    original = (pictures / "a.png").read_bytes()
    assert all(path.read_bytes() == original for path in copied)
    assert not (tmp_path / "a.csv").exists()
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    assert len(list((target / "red").iterdir())) == 3000
