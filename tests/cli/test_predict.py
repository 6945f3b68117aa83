"""`sepcnn predict` on real image files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import sepcnn
from tests.cli.conftest import Invoke


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
    assert results["broken.png"]["error"] == f"{pictures}/broken.png: not an image file"
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
