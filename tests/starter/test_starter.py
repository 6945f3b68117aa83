"""The config that `sepcnn init DIR` writes suits the images in DIR."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sepcnn.config import loading
from sepcnn.errors import DataError
from sepcnn.starter import config_text, survey
from sepcnn.starter.survey import Facts, input_size, square_side
from tests.check.photos import photo, write_photos
from tests.conftest import SHARED_DATA

CLOTHING = SHARED_DATA / "clothing10_side128"


def facts(**changes: object) -> Facts:
    usual: dict[str, object] = {
        "class_names": ("a", "b", "c"),
        "train": 300,
        "counts": (100, 100, 100),
    }
    usual |= {"held_out": True, "side": 128, "grey": False}
    usual |= {"proportions": 1.0, "cut": 0.0, "lost": 0.0}
    return Facts(**{**usual, **changes})  # type: ignore[arg-type]


@pytest.mark.covering("pairs")
@pytest.mark.parametrize("side", [1, 8, 16, 28, 32, 50, 64, 100, 128, 4000])
@pytest.mark.parametrize("train", [20, 500, 3000, 60_000])
@pytest.mark.parametrize("grey", [False, True])
def test_every_config_is_valid_and_commented(
    side: int, train: int, grey: bool, tmp_path: Path
) -> None:
    text = config_text.write(facts(side=side, train=train, grey=grey), "./photos")
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    settings = loading.load_config(path)
    side_of_input = min(max(side, 8), 128)
    assert settings.model.input_shape[0] <= side_of_input
    assert settings.model.input_shape[2] == (1 if grey else 3)
    last = [leaf for leaf in settings.graph(3).leaves if len(leaf.shape) == 3][-1]
    assert 3 <= last.shape[0] <= 7 or side <= 8
    lines = [line for line in text.splitlines()[2:] if line]
    assert [line for line in lines if "  # " not in line] == []


@pytest.mark.covering("pairs")
@pytest.mark.parametrize("proportions", [0.3, 0.5, 0.75, 0.8, 1.25, 4 / 3, 1.5, 2.0, 3.0, 6.0])
@pytest.mark.parametrize("side", [24, 28, 32, 48, 64, 96, 128, 4000])
def test_the_input_has_the_proportions_of_the_images(
    proportions: float, side: int, tmp_path: Path
) -> None:
    height, width = input_size(side, proportions)
    square = square_side(side)
    assert {height % 4, width % 4} == {0}
    assert (height % 16, width % 16) == (0, 0) or square < 64
    assert width / height == pytest.approx(proportions, rel=0.3 if square < 64 else 0.17)
    assert height * width == pytest.approx(square**2, rel=0.35)
    path = tmp_path / "mine.yaml"
    path.write_text(config_text.write(facts(side=side, proportions=proportions), "./photos"))
    settings = loading.load_config(path)
    assert settings.model.input_shape == (height, width, 3)
    after = [leaf for leaf in settings.graph(3).leaves if len(leaf.shape) == 3][-1].shape
    assert f"; output {after[0]}×{after[1]}\n" in path.read_text()


@pytest.mark.parametrize("train", [10, 20, 70, 500])
def test_an_epoch_has_several_steps(train: int, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(config_text.write(facts(train=train), "./photos"))
    settings = loading.load_config(path)
    assert train * (1 - settings.data.validation) >= 2 * settings.train.batch_size


def test_the_facts_decide_about_the_config(tmp_path: Path) -> None:
    few, many = (config_text.write(facts(train=n), "./photos") for n in (300, 30_000))
    assert "RandomErasing" in few
    assert "RandomErasing" not in many
    assert "Dropout: 0.4" in few
    assert "Dropout: 0.1" in many
    assert "validation:" in few
    assert "validation:" not in config_text.write(facts(held_out=False), "./photos")
    assert "RandomFlip" not in config_text.write(facts(grey=True), "./photos")
    assert "resize: letterbox" in config_text.write(facts(cut=0.5), "./photos")
    assert "the crop to the input removes 25 % of an image" in config_text.write(
        facts(lost=0.25), "./photos"
    )
    assert "removes" not in few
    wide, high = (config_text.write(facts(proportions=p), "./photos") for p in (2.0, 0.75))
    assert "is about 128, nearly all are 2.0 × as wide as high; colour" in wide
    assert "is about 128, nearly all are 1.3 × as high as wide; colour" in high


@pytest.mark.parametrize(
    "path", ["photos", "./photos", "/a/b", "true", "123", "a b", "é: [", "a#b", "-x", "x.y", "1e3"]
)
def test_the_config_contains_the_path(path: str, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(config_text.write(facts(), path))
    source = loading.load_config(tmp_path / "mine.yaml").data.source
    assert source.path == (tmp_path / path).absolute()  # type: ignore[attr-defined]


@pytest.mark.parametrize("path", ["a\x07", "a\udce9"])  # a bell, and a byte that is no UTF-8
def test_names_that_a_config_cannot_contain_are_errors(path: str) -> None:
    with pytest.raises(DataError, match="the name has a character that a config cannot contain"):
        survey.list_folder(Path(path))


def test_the_survey_of_a_folder(tmp_path: Path) -> None:
    root = write_photos(tmp_path / "photos", train__cat=9, train__dog=3, valid__cat=2, valid__dog=2)
    found = survey.gather(root, survey.list_folder(root))
    assert (found.classes, found.train, found.counts, found.held_out) == (2, 12, (9, 3), False)
    assert (found.side, found.grey, found.cut, found.uneven) == (80, False, 0.0, True)
    assert (found.proportions, found.lost) == (1, pytest.approx(1 / 6))  # 96 × 80: nearly square
    for path in root.rglob("*.png"):
        photo(1, (50, 200), grey=True).save(path)
    found = survey.gather(root, survey.list_folder(root))
    assert (found.side, found.grey, found.proportions, found.cut) == (50, True, 0.25, 0)
    assert found.input_size == (96, 24)
    assert not found.long


def test_images_of_different_proportions_get_a_square_input(tmp_path: Path) -> None:
    """One in ten images may differ. If a crop would remove much, the images get black bars."""
    root = write_photos(tmp_path / "photos", (80, 40), cat=10, dog=10)
    for number, proportions in enumerate((2, 2, 2, 1)):
        assert survey.gather(root, survey.list_folder(root)).proportions == proportions
        photo(number, (40, 80)).save(root / "cat" / f"{number}.png")
    for path in (root / "cat").glob("*.png"):
        photo(1, (20, 80)).save(path)
    for path in (root / "dog").glob("*.png"):
        photo(1, (90, 30)).save(path)
    found = survey.gather(root, survey.list_folder(root))
    assert (found.proportions, found.cut, found.long) == (1, 1, True)
    assert "longer side is about 85; colour" in config_text.write(found, "photos")


def test_a_folder_without_readable_images_is_an_error(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.png").write_text("no image")
    with pytest.raises(DataError, match=re.escape("none of the images can be read")):
        survey.gather(tmp_path, survey.list_folder(tmp_path))


@pytest.mark.skipif(not CLOTHING.exists(), reason="needs ../shared/data/clothing10_side128")
def test_real_photographs() -> None:
    found = survey.gather(CLOTHING, survey.list_folder(CLOTHING))
    assert (found.classes, found.train, found.held_out) == (10, 3068, False)
    assert (found.input_size, found.grey, found.uneven) == ((128, 128), False, True)
    assert found.lost == pytest.approx(0.25, abs=0.01)  # 3 of 4 are 171 × 128
