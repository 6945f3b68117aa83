"""`sepcnn init`: the starter, a config for a folder of images, or a copy of a shipped config."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from PIL import Image

from sepcnn.config.loading import load_config
from tests.check.photos import check, write_photos
from tests.cli.conftest import Invoke
from tests.conftest import CONFIGS


def test_init_check_and_train(
    invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_photos(tmp_path / "my photos", cat=30, dog=30)
    monkeypatch.chdir(tmp_path)
    code, out, _ = invoke("init", "my photos")
    assert code == 0
    assert out.startswith(
        "wrote my photos.yaml: 60 training images of 2 classes\n"
        "classes: cat, dog\nnext: sepcnn check 'my photos.yaml'      # looks for problems"
    )
    assert "source: {Folder: my photos}" in Path("my photos.yaml").read_text()
    assert check(Path("my photos.yaml")) == []
    short = ("--set", "train.epochs=1", "--run-dir", "run", "--device", "cpu")
    assert invoke("train", "my photos.yaml", *short)[0] == 0
    before = Path("my photos.yaml").read_text()
    code, _, err = invoke("init", "my photos")
    assert code == 2
    assert "my photos.yaml exists already" in err
    assert Path("my photos.yaml").read_text() == before


@pytest.mark.parametrize(("size", "shape"), [((100, 50), "32, 64"), ((60, 80), "56, 40")])
def test_photos_of_one_shape_are_not_cropped(
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
    message = "there are no images in new: the config uses the built-in Shapes"
    assert (code, out) == (
        0,
        f"wrote new/starter.yaml\n{message}\nnext: sepcnn train new/starter.yaml\n",
    )
    editors, comment, *rest = Path("new/starter.yaml").read_text().split("\n")
    assert editors.startswith("# yaml-language-server: ")
    assert comment == f"# {message}"
    write_photos(tmp_path / "photos", cat=2, dog=2)
    code, out, _ = invoke("init")  # images in the current folder do not matter
    assert (code, out) == (0, "wrote starter.yaml\nnext: sepcnn train starter.yaml\n")
    assert Path("starter.yaml").read_text().split("\n") == [editors, *rest]


@pytest.mark.parametrize(
    ("name", "shown"), [("my photos", "my photos"), ("a\nb: \u0085c", r"a\nb: \x85c")]
)
def test_init_of_an_empty_folder(
    name: str, shown: str, invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).mkdir()
    code, out, _ = invoke("init", name)
    assert code == 0
    assert f"\nthere are no images in {shown}: the config uses the built-in Shapes\n" in out
    assert out.endswith(f"next: sepcnn train '{shown}/starter.yaml'\n")
    assert load_config(f"{name}/starter.yaml").train.epochs == 10


def test_init_of_a_file(invoke: Invoke, tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(b"")
    code, _, err = invoke("init", file)
    assert code == 2
    assert err == f"error: {file} is a file\n   give the folder that contains the images\n"


def test_init_of_a_name_that_is_too_long(invoke: Invoke) -> None:
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
    assert "there are images, but no folders named by class" in err
    assert not list(tmp_path.glob("**/*.yaml"))


# ── shipped configs ───────────────────────────────────────────────────────────────────────────────


def test_shipped_configs_are_listed(invoke: Invoke) -> None:
    code, out, err = invoke("init", "--list")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert [line.split()[0] for line in lines[:-2]] == sorted(
        p.stem for p in CONFIGS.glob("*.yaml")
    )
    assert (
        "mobilenet               MobileNet (v1, width 1), the network of Howard et al. 2017 " in out
    )
    assert lines[-1].startswith("sepcnn init --like NAME writes a copy")


@pytest.mark.parametrize("name", ["xception_mini", "xception_mini.yaml"])
def test_a_copy_of_a_shipped_config(
    name: str, invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    expected = "wrote xception_mini.yaml\nnext: sepcnn train xception_mini.yaml\n"
    assert invoke("init", "--like", name) == (0, expected, "")
    copy, shipped = tmp_path / "xception_mini.yaml", CONFIGS / "xception_mini.yaml"
    assert copy.read_bytes() == shipped.read_bytes()
    schema = re.match(r"# yaml-language-server: \$schema=(.*)", copy.read_text())
    assert schema
    assert (tmp_path / schema[1]).read_bytes() == (CONFIGS / schema[1]).read_bytes()
    copy.write_text("mine")
    code, _, err = invoke("init", "--like", name)
    assert (code, copy.read_text()) == (2, "mine")
    assert "xception_mini.yaml exists already" in err


def test_a_copy_for_a_folder_of_images(
    invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_photos(Path("my photos"), cat=30, dog=30, bird=30)
    code, out, err = invoke("init", "--like", "xception_mini", "my photos")
    assert (code, err) == (0, "")
    assert out.startswith("wrote xception_mini.yaml: 90 training images of 3 classes\n")
    assert "\nclasses: bird, cat, dog\nnext: " in out
    text = Path("xception_mini.yaml").read_text()
    assert text.splitlines()[1].startswith("# A copy of xception_mini for the images in my photos.")
    assert "source: {Folder: my photos}" in text
    short = ("--set", "train.epochs=1", "--run-dir", "run", "--device", "cpu")
    assert invoke("train", "xception_mini.yaml", *short)[0] == 0


def test_a_copy_whose_model_does_not_fit_the_images(
    invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MobileNet ends in a convolution with one filter per class of ImageNet."""
    monkeypatch.chdir(tmp_path)
    write_photos(Path("photos"), cat=3, dog=3)
    code, _, err = invoke("init", "--like", "mobilenet", "photos")
    assert code == 0
    assert err.startswith("note: change the last layers: ")
    assert "Dense: {units: 2, activation: softmax}" in err


def test_a_copy_whose_data_does_not_exist(
    invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "a" / "b")
    code, out, err = invoke("init", "--like", "clothing10", "new")
    message = "there are no images in new: the config keeps its own data source"
    assert (code, out.splitlines()[:2]) == (0, ["wrote new/clothing10.yaml", message])
    path = tmp_path / "a" / "shared" / "data" / "clothing10_side128"
    assert err == (
        f"note: it reads {path}, which does not exist: change data.source,\n"
        "      or for a folder of images: sepcnn init --like clothing10 DIR\n"
    )
    path.mkdir(parents=True)
    assert invoke("init", "--like", "clothing10", "other")[2] == ""


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("xception_mino", "did you mean 'xception_mini'?"),
        ("resnet50", "sepcnn init --list shows all of them"),
        ("../cifar10", "did you mean 'cifar10'?"),
    ],
)
def test_a_shipped_config_that_does_not_exist(
    name: str, hint: str, invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    expected = f"error: there is no shipped config '{name}'\n   {hint}\n"
    assert invoke("init", "--like", name) == (2, "", expected)
    assert not list(tmp_path.iterdir())
