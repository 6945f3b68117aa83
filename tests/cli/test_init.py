"""`sepcnn init`: the general starter, or one for a folder of images; nothing is overwritten."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from sepcnn.config.loading import load_config
from tests.check.photos import check, write_photos
from tests.cli.conftest import Invoke


def test_init_check_and_train(
    invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_photos(tmp_path / "my photos", cat=30, dog=30)
    monkeypatch.chdir(tmp_path)
    code, out, _ = invoke("init", "my photos")
    assert code == 0
    assert out.startswith(
        "wrote my photos.yaml: 60 training images of 2 classes\n"
        "next: sepcnn check 'my photos.yaml'      is anything"
    )
    assert "source: {Folder: my photos}" in Path("my photos.yaml").read_text()
    assert check(Path("my photos.yaml")) == []
    short = ("--set", "train.epochs=1", "--run-dir", "run", "--device", "cpu")
    assert invoke("train", "my photos.yaml", *short)[0] == 0
    before = Path("my photos.yaml").read_text()
    code, _, err = invoke("init", "my photos")
    assert code == 2
    assert "my photos.yaml is there already" in err
    assert Path("my photos.yaml").read_text() == before


@pytest.mark.parametrize(("size", "shape"), [((100, 50), "32, 64"), ((60, 80), "56, 40")])
def test_photos_of_one_shape_are_seen_whole(
    size: tuple[int, int],
    shape: str,
    invoke: Invoke,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_photos(tmp_path / "photos", size, cat=30, dog=30)
    monkeypatch.chdir(tmp_path)
    assert invoke("init", "photos")[0] == 0
    assert f"input_shape: [{shape}, 3]" in Path("photos.yaml").read_text()
    assert check(Path("photos.yaml")) == []
    short = ("--set", "train.epochs=1", "--run-dir", "run", "--device", "cpu")
    assert invoke("train", "photos.yaml", *short)[0] == 0


def test_init_without_images(
    invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, _ = invoke("init", "new")
    told = "there are no images in new: the config uses the built-in Shapes"
    assert (code, out) == (
        0,
        f"wrote new/starter.yaml\n{told}\nnext: sepcnn train new/starter.yaml\n",
    )
    editors, comment, *rest = Path("new/starter.yaml").read_text().split("\n")
    assert editors.startswith("# yaml-language-server: ")
    assert comment == f"# {told}"
    write_photos(tmp_path / "photos", cat=2, dog=2)
    code, out, _ = invoke("init")  # what lies here was not asked for
    assert (code, out) == (0, "wrote starter.yaml\nnext: sepcnn train starter.yaml\n")
    assert Path("starter.yaml").read_text().split("\n") == [editors, *rest]


@pytest.mark.parametrize("name", ["my photos", "a\nb: \u0085c"])
def test_init_of_an_empty_folder(
    name: str, invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).mkdir()
    code, out, _ = invoke("init", name)
    assert code == 0
    assert f"\nthere are no images in {name}: the config uses the built-in Shapes\n" in out
    assert out.endswith(f"next: sepcnn train '{name}/starter.yaml'\n")
    assert load_config(f"{name}/starter.yaml").train.epochs == 10


def test_init_of_a_file(invoke: Invoke, tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(b"")
    code, _, err = invoke("init", file)
    assert code == 2
    assert err == f"error: {file} is a file\n   give the folder that holds the images\n"


def test_init_of_a_name_that_cannot_be(invoke: Invoke) -> None:
    code, _, err = invoke("init", "x" * 300)
    assert code == 1
    assert "file name too long" in err
    assert "Traceback" not in err


def test_init_of_images_without_classes(
    invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    Image.new("RGB", (8, 8)).save("photos/a.png")
    code, _, err = invoke("init", "photos")
    assert code == 2
    assert "there are images, but no folders that name their classes" in err
    assert not list(tmp_path.glob("**/*.yaml"))
