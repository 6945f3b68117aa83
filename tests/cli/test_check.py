"""`sepcnn check`: exit codes, JSON, and the printed report."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

from tests.check.photos import NET, photo, write_config, write_photos
from tests.cli.conftest import Invoke


def folder(tmp_path: Path) -> Path:
    return write_photos(tmp_path / "photos", train__cat=20, train__dog=20, val__cat=4, val__dog=4)


def test_no_problems(invoke: Invoke, tmp_path: Path) -> None:
    folder(tmp_path)
    path = write_config(tmp_path)
    code, out, err = invoke("check", path)
    assert (code, err) == (0, "")
    assert out.startswith(
        f"{path}: Folder: 2 classes, 40 train, 8 val\nclasses: cat, dog\n\nnotes\n  top k: "
    )
    assert out.endswith("\n\n0 errors, 0 warnings, 2 notes: ready to train\n")


def test_errors_come_first_with_some_of_their_files(invoke: Invoke, tmp_path: Path) -> None:
    root = folder(tmp_path)
    for number in range(6):
        (root / "train" / "cat" / f"broken{number}.png").write_text("no image")
    shutil.copy(root / "train" / "cat" / "3.png", root / "train" / "dog" / "copy.png")
    path = write_config(tmp_path)
    code, out, _ = invoke("check", path)
    assert code == 1
    assert out.startswith(
        f"""\
{path}: Folder: 2 classes, 41 train, 8 val
classes: cat, dog
images in {root}/train

error
  unreadable: 6 images cannot be read (first error: not an image file: it is text, 'no image')
    → remove or replace them, or set skip_unreadable
      cat/broken0.png
      cat/broken1.png
      cat/broken2.png
      cat/broken3.png
      … and 2 more; --json lists all of them

warning
  two labels: 1 image occurs with two labels: the model cannot learn both
    → find out which label is right, and remove the other copy
      cat/3.png
      dog/copy.png

notes
"""
    )
    assert "1 error, 1 warning, 2 notes: fix the errors before you train" in out


def test_json(invoke: Invoke, tmp_path: Path) -> None:
    root = folder(tmp_path)
    shutil.copy(root / "train" / "cat" / "3.png", root / "val" / "cat" / "copy.png")
    code, out, _ = invoke("check", write_config(tmp_path), "--json")
    assert code == 1
    result = json.loads(out)
    assert list(result) == ["findings"]
    assert result["findings"][0] == {
        "kind": "two_splits",
        "severity": "error",
        "message": "1 image of val is also in train (11.1 % of val): results look better than "
        "they are; remove them from train",
        "files": [str(root / "train/cat/3.png"), str(root / "val/cat/copy.png")],
    }


def test_a_missing_folder_is_a_finding(invoke: Invoke, tmp_path: Path) -> None:
    path = write_config(tmp_path)
    code, out, _ = invoke("check", path)
    assert code == 1
    place, message = re.escape(str(path)), "data.source.Folder: there is no folder .*photos\n"
    found = re.search(rf"  data: {place}:(\d+):(\d+): {message}", out)
    assert found
    line, column = map(int, found.groups())
    assert path.read_text().splitlines()[line - 1][column - 1 :].startswith("photos")
    assert f"{path}:{line}:{column}: " in invoke("train", path)[2]  # as `sepcnn train` reports it
    assert out.endswith("1 error, 0 warnings, 0 notes: fix the errors before you train\n")


def test_an_invalid_config_is_an_error(invoke: Invoke, tmp_path: Path) -> None:
    code, out, err = invoke("check", write_config(tmp_path, layers=NET.replace("Dense", "Densse")))
    assert (code, out) == (2, "")
    assert "did you mean 'Dense'?" in err


def test_set_overrides_the_config(invoke: Invoke, tmp_path: Path) -> None:
    folder(tmp_path)
    photo(900, (16, 16)).save(tmp_path / "photos" / "train" / "cat" / "small.png")
    path = write_config(tmp_path)
    assert "small images: 1 of 49 images" in invoke("check", path)[1]
    assert "small images" not in invoke("check", path, "--set", "model.input_shape=[16, 16, 3]")[1]


def test_an_unavailable_speedup_is_an_error_before_any_image_is_read(
    invoke: Invoke, tmp_path: Path
) -> None:
    path = write_config(tmp_path)
    given = ("--set", "train.device=cpu", "--set", "train.cuda_graphs=true")
    code, out, err = invoke("check", path, *given)
    assert (code, out) == (2, "")
    first, *_, last = err.splitlines()
    assert first.endswith("train.cuda_graphs: there are no CUDA graphs on cpu")
    assert last == "   they are for CUDA GPUs: say false, or leave it out"
