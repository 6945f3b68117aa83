"""A folder of photos, from training to prediction."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import pytest

from sepcnn.cli import console
from sepcnn.cli.progress import epoch_line
from sepcnn.data.cache import file_reading
from sepcnn.data.cache.row_file import RowFile
from sepcnn.data.decoding.reading import read_image
from sepcnn.training import checkpoint
from sepcnn.training.prediction import load_predictor
from sepcnn.training.records import EpochRecord, Scores
from tests.cli.conftest import Invoke
from tests.pictures import picture, write_folder
from tests.runs import LAYERS, epochs, sepcnn

SOURCE = "{path: photos, resize: letterbox, stored_size: [16, 18], skip_unreadable: true}"


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write_folder(tmp_path / "photos", count=20, splits=("train", "test"))
    path = tmp_path / "photos.yaml"
    path.write_text(
        f"model:\n  input_shape: [12, 12, 3]\n  layers:\n{LAYERS}"
        f"data:\n  source:\n    Folder: {SOURCE}\n  validation: 0.2\n"
        "  augment: [RandomFlip, RandomTranslation: 0.1]\n"
        "train: {epochs: 6, batch_size: 8, device: cpu, optimizer: {Adam: 0.02}}\n"
    )
    return path


def test_from_photos_to_names(config: Path, tmp_path: Path, invoke: Invoke) -> None:
    run = tmp_path / "run"
    (tmp_path / "photos" / "train" / "red" / "x.jpg").write_bytes(b"")
    code, out, err = invoke("train", config, "--run-dir", run)
    assert code == 0, err
    assert "1 of 121 images cannot be read:" in err
    assert all(0 < line["waiting"] < 1 for line in map(json.loads, epoch_lines(run)))
    assert "best validation accuracy" in out

    code, out, _ = invoke("eval", run, "--json")
    assert code == 0
    assert json.loads(out)["accuracy"] > 0.9

    file = tmp_path / "wide.png"
    picture("green", 5, size=(60, 20)).save(file)
    code, out, _ = invoke("predict", run, file, "--top", "3", "--json")
    guesses = json.loads(out)[0]["predictions"]
    assert (code, guesses[0]["name"]) == (0, "green")
    # The letterbox of training, and its middle: not the middle of the photo.
    seen = read_image(file, (16, 18, 3), "letterbox")[2:14, 3:15]
    expected = load_predictor(run).predict(seen[None])[0]
    np.testing.assert_allclose([g["probability"] for g in guesses], sorted(expected)[::-1])


def test_a_folder_without_splits_is_evaluated_on_its_held_out_part(
    config: Path, tmp_path: Path, invoke: Invoke
) -> None:
    run = tmp_path / "run"
    assert invoke("train", config, "--run-dir", run, "--set", "train.epochs=1")[0] == 0
    later = ["--set", f"data.source.Folder.path={write_folder(tmp_path / 'later', count=9)}"]
    code, out, err = invoke("eval", run, *later)
    held = int(out.split(" on val: ")[1].split()[0])
    assert 0 < held < 10
    assert code == 0
    assert out.startswith(f"{run}/best.safetensors on val: {held} of 27 images\n")
    note = f"(10 then, {held} now); --split all evaluates all 27 images\n"
    assert err == f"note: the val images differ from those of the run {note}"
    code, out, _ = invoke("eval", run, *later, "--split", "all")
    assert out.startswith(f"{run}/best.safetensors on all: 27 of 27 images\n")


def test_eval_reads_only_the_images_of_its_split(
    config: Path, tmp_path: Path, invoke: Invoke
) -> None:
    run, test = tmp_path / "run", tmp_path / "photos" / "test"
    readable = ["--set", "data.source.Folder.skip_unreadable=false"]
    assert invoke("train", config, "--run-dir", run, "--set", "train.epochs=1", *readable)[0] == 0
    before = invoke("eval", run, "--split", "val", "--json")
    (test / "red" / "000.jpg").write_bytes(b"damaged")
    after = invoke("eval", run, "--split", "val", "--json")
    assert (after[0], after[2]) == (before[0], before[2]) == (0, "")
    scores = [json.loads(out)["confusion"] for _, out, _ in (before, after)]
    assert scores[0] == scores[1]
    assert json.loads(after[1])["total_images"] == 120
    code, _, err = invoke("eval", run)
    assert (code, "1 of 60 images cannot be read" in err) == (2, True)
    # Decoding the images of one split keeps the others in the cache.
    picture("red", 7).save(test / "red" / "000.jpg")
    (row_file,) = (tmp_path / "cache").rglob("*.rows")
    assert invoke("eval", run)[0] == 0
    assert len(RowFile(row_file).index) == 120


def epoch_lines(run: Path) -> list[str]:
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return [line for line in lines if '"event": "epoch"' in line]


def test_a_run_resumes_with_the_same_photos_in_another_folder(
    config: Path, tmp_path: Path, invoke: Invoke
) -> None:
    whole, half = tmp_path / "whole", tmp_path / "half"
    assert invoke("train", config, "--run-dir", whole)[0] == 0
    shutil.copytree(whole, half)
    settings = ["--set", "train.epochs=7"]
    assert invoke("train", "--resume", whole, *settings)[0] == 0
    (tmp_path / "photos").rename(tmp_path / "moved")
    code, _, err = invoke("train", "--resume", half, *settings)
    assert code == 2
    assert f"there is no folder {tmp_path / 'photos'}" in err
    move = ["--set", f"data.source.Folder.path={tmp_path / 'moved'}"]
    code, _, err = invoke("train", "--resume", half, *settings, *move)
    assert code == 0, err
    assert epochs(half) == epochs(whole)

    (tmp_path / "moved" / "train" / "red" / "000.jpg").unlink()
    code, _, err = invoke("train", "--resume", half, "--set", "train.epochs=8", *move)
    assert (code, err.splitlines()[-2:]) == (
        2,
        [
            f"error: the data is not what {half} was trained on",
            "   bring back the old images, or start a new run",
        ],
    )


@pytest.fixture
def another_pillow(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, int], None]:
    """Pretend that Pillow has another version, which decodes slightly brighter pixels."""
    original = file_reading.read_image

    def install(version: str, brighter: int) -> None:
        def read(*arguments: Any, **options: Any) -> np.ndarray:
            return np.clip(original(*arguments, **options), 0, 255 - brighter) + np.uint8(brighter)

        monkeypatch.setattr(PIL, "__version__", version)
        monkeypatch.setattr(file_reading, "read_image", read)

    return install


def test_a_pillow_that_decodes_differently_is_named(
    config: Path, tmp_path: Path, invoke: Invoke, another_pillow: Callable[[str, int], None]
) -> None:
    run, longer = tmp_path / "run", ["--set", "train.epochs=2"]
    another_pillow("11.0.0", 0)
    assert invoke("train", config, "--run-dir", run, "--set", "train.epochs=1")[0] == 0
    another_pillow("12.1.0", 1)
    code, _, err = invoke("train", "--resume", run, *longer)
    assert (code, err.splitlines()[-2:]) == (
        2,
        [
            f"error: the pixels are not those that {run} was trained on: "
            "decoded by Pillow 11.0.0, now by Pillow 12.1.0",
            "   if the files are the same, pip install pillow==11.0.0; else start a new run",
        ],
    )
    _, _, err = invoke("eval", run, "--split", "val")
    how = "(10 then, 10 now; decoded by Pillow 11.0.0, now by Pillow 12.1.0)"
    assert err == f"note: the val images differ from those of the run {how}\n"

    (tmp_path / "photos" / "train" / "red" / "000.jpg").unlink()
    other = f"error: the data is not what {run} was trained on"
    assert invoke("train", "--resume", run, *longer)[2].splitlines()[-2] == other


def test_a_run_resumes_with_a_pillow_that_decodes_the_same(
    config: Path, tmp_path: Path, invoke: Invoke, another_pillow: Callable[[str, int], None]
) -> None:
    run = tmp_path / "run"
    another_pillow("11.0.0", 0)
    assert invoke("train", config, "--run-dir", run, "--set", "train.epochs=1")[0] == 0
    assert checkpoint.read(run / "last.safetensors").facts["decoder"] == "Pillow 11.0.0"
    another_pillow("12.1.0", 0)
    code, _, err = invoke("train", "--resume", run, "--set", "train.epochs=2")
    assert code == 0, err
    assert checkpoint.read(run / "last.safetensors").facts["decoder"] == "Pillow 12.1.0"
    assert invoke("eval", run)[2] == ""


@pytest.mark.exhaustive
def test_unreadable_photos_are_an_error_at_the_source(config: Path, tmp_path: Path) -> None:
    bad = tmp_path / "photos" / "train" / "red" / "x.jpg"
    bad.write_bytes(b"no image")
    config.write_text(config.read_text().replace("skip_unreadable: true", "resize: crop", 1)
                      .replace("resize: letterbox, ", "", 1))  # fmt: skip
    result = sepcnn("train", config, cwd=tmp_path)
    line = next(n for n, t in enumerate(config.read_text().splitlines(), 1) if "Folder" in t)
    assert result.returncode == 2
    first, second, *_, hint = result.stderr.splitlines()[1:]
    assert first == (f"{config}:{line}:5: data.source.Folder: 1 of 121 images cannot be read:")
    assert second == f"   {bad}: not an image file: it is text, 'no image'"
    assert hint == "   fix or remove them, or set skip_unreadable: true"


def test_slow_reading_prints_its_progress(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(console, "SECONDS_BETWEEN_PLAIN_LINES", 0)
    with console.ReadingProgress() as watch:
        watch(1, 2000)
        watch(1999, 2000)
    assert capsys.readouterr().err == "reading images 1/2,000\nreading images 1,999/2,000\n"


def test_reading_shows_a_bar_on_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with console.ReadingProgress() as watch:
        watch.live, watch.last_line = True, 0.0
        watch(500, 2000)
        watch(1999, 2000)
    assert "25%|█████               | reading images 500/2,000" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("waiting", "columns", "end"),
    [
        (0.04, 100, ""),
        (0.125, 100, "  12.5 % waiting for images"),
        (0.125, 80, "\n  12.5 % waiting for images"),
    ],
)
def test_long_waiting_is_printed(waiting: float, columns: int, end: str) -> None:
    record = EpochRecord(1, 10, Scores(0.5, 0.5), None, 0.1, 50.0, 100.0, waiting)
    assert epoch_line(record, 3, None, False, columns) == (
        f"epoch 1/3  loss 0.5000  accuracy 50.0 %     100 images/s   0:50{end}"
    )
