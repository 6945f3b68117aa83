"""Duplicate images: every kind is found, and nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from sepcnn.check import duplicates
from sepcnn.data import inspection
from tests.check.photos import check, kinds, photo, write_config, write_photos
from tests.conftest import SHARED_DATA

SPLITS = {"train__cat": 20, "train__dog": 20, "val__cat": 4, "val__dog": 4}
CLOTHING = SHARED_DATA / "clothing10_side128"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write_photos(tmp_path / "photos", **SPLITS)


def test_a_correct_data_set_has_no_findings(photos: Path, tmp_path: Path) -> None:
    assert check(write_config(tmp_path)) == []


def test_the_same_file_in_two_splits(photos: Path, tmp_path: Path) -> None:
    shutil.copy(photos / "train" / "cat" / "3.png", photos / "val" / "cat" / "copy.png")
    (found,) = check(write_config(tmp_path))
    assert (found.kind, found.severity, found.hint) == (
        "two_splits",
        "error",
        "remove them from train",
    )
    assert found.message == (
        "1 image of val is also in train (11.1 % of val): results look better than they are"
    )
    assert found.files == (str(photos / "train/cat/3.png"), str(photos / "val/cat/copy.png"))


@pytest.mark.parametrize("how", ["jpeg", "scaled", "lighter"])
def test_a_near_duplicate_in_two_splits(how: str, photos: Path, tmp_path: Path) -> None:
    image = Image.open(photos / "train" / "cat" / "3.png")
    if how == "scaled":
        image = image.resize((150, 120), Image.Resampling.BICUBIC)
    if how == "lighter":
        image = Image.blend(image, ImageEnhance.Brightness(image).enhance(1.1), 0.5)
    image.save(photos / "val" / "cat" / "copy.jpg", quality=85)
    (found,) = check(write_config(tmp_path))
    assert (found.kind, found.severity) == ("two_splits", "warning")
    assert found.message.startswith("1 image of val has a near duplicate in train")
    assert found.files == (str(photos / "train/cat/3.png"), str(photos / "val/cat/copy.jpg"))


def test_a_pair_is_reported_once(photos: Path, tmp_path: Path) -> None:
    """An exact copy of a training image is not also reported as a near duplicate."""
    train, val = photos / "train" / "cat", photos / "val" / "cat"
    shutil.copy(train / "3.png", val / "copy.png")
    photo(3).save(val / "near.jpg", quality=85)
    exact, near = check(write_config(tmp_path))
    assert exact.message.startswith("1 image of val is also in train")
    assert exact.files == (str(train / "3.png"), str(val / "copy.png"))
    assert near.message.startswith("1 image of val has a near duplicate in train")
    assert near.files == (str(train / "3.png"), str(val / "near.jpg"))
    (val / "near.jpg").rename(train / "near.jpg")  # now near both the copy and the original
    exact, near = check(write_config(tmp_path))
    assert exact.files == (str(train / "3.png"), str(val / "copy.png"))
    assert near.files == (str(train / "near.jpg"), str(val / "copy.png"))
    (val / "copy.png").rename(train / "copy.png")
    exact, near = check(write_config(tmp_path))
    assert exact.message.endswith("(the same bytes)")
    assert exact.files == (str(train / "3.png"), str(train / "copy.png"))
    assert near.message.startswith("1 image duplicates another one of the same split and class")
    assert near.files == (str(train / "3.png"), str(train / "near.jpg"))


def test_one_image_with_two_labels(photos: Path, tmp_path: Path) -> None:
    shutil.copy(photos / "train" / "cat" / "3.png", photos / "train" / "dog" / "copy.png")
    photo(3).save(photos / "train" / "dog" / "near.jpg", quality=85)
    found = check(write_config(tmp_path))
    assert set(kinds(found)) == {("two_labels", "warning")}
    assert found[0].message.startswith("1 image occurs with two labels")
    folder = photos / "train"
    assert set(found[0].files) == {
        str(folder / name) for name in ("cat/3.png", "dog/copy.png", "dog/near.jpg")
    }
    assert len(found[0].files) == 3


def test_copies_within_a_class_are_a_note(photos: Path, tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        shutil.copy(photos / "train" / "cat" / "3.png", photos / "train" / "cat" / name)
    (found,) = check(write_config(tmp_path))
    assert (found.kind, found.severity) == ("duplicates", "note")
    assert (
        found.message
        == "2 images duplicate another one of the same split and class (the same bytes)"
    )


def test_images_that_only_look_alike_are_not_copies(tmp_path: Path) -> None:
    """Single colours, and the same shape in several colours: their hashes are equal."""
    root = write_photos(tmp_path / "photos", **SPLITS)
    for number, name in enumerate(("red", "blue", "#800000", "#000080")):
        Image.new("RGB", (40, 40), name).save(root / "train" / "cat" / f"flat{number}.png")
        image = Image.new("RGB", (40, 40), "#404040")
        image.paste(name, (10, 10, 30, 30))
        image.save(root / "train" / "dog" / f"square{number}.png")
    assert check(write_config(tmp_path)) == []


def test_images_of_a_single_colour_are_not_compared() -> None:
    thumbnail = np.full((16, 16, 3), (200, 40, 40), np.uint8)
    bits = np.zeros(256, bool)
    flat = [
        inspection.InspectedImage(
            Path(f"{n}.png"),
            "train",
            "red",
            inspection.ImageProperties(str(n), (40, 40), False, thumbnail, bits),
        )
        for n in range(3)
    ]
    assert duplicates.near_groups(flat) == []


def test_many_pictures_of_one_scene_form_one_group() -> None:
    random = np.random.default_rng(0)
    scene, bits = random.integers(0, 256, (16, 16, 3), np.uint8), random.random(256) < 0.5
    other = random.integers(0, 256, (16, 16, 3), np.uint8)
    frames = [
        inspection.InspectedImage(
            Path(f"{n}.png"),
            "train",
            "cat",
            inspection.ImageProperties(
                bytes([n // 256, n % 256, 1]), (40, 40), False, other if n == 1500 else scene, bits
            ),
        )
        for n in range(3000)
    ]
    (group,) = duplicates.near_groups(frames)  # of 4.5 million pairs
    assert [copy.name for copy in group] == [f"{n}.png" for n in range(3000) if n != 1500]


def test_without_imagehash(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photo(3).save(photos / "val" / "cat" / "near.jpg")
    shutil.copy(photos / "train" / "cat" / "4.png", photos / "val" / "cat" / "copy.png")
    monkeypatch.setattr(inspection, "imagehash", None)
    note, exact = check(write_config(tmp_path))
    assert note.message == "near duplicates were not searched for"
    assert note.hint == "to find them, pip install 'sepcnn[check]'"
    assert exact.kind == "two_splits"
    assert str(photos / "val/cat/copy.png") in exact.files


def test_arrays(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (60, 32, 32, 3), dtype=np.uint8)
    images[7] = images[6]
    test = images[:10].copy()
    test[1:] //= 2
    labels = np.arange(60) % 2
    arrays = {"x_train": images, "y_train": labels, "x_test": test, "y_test": labels[:10]}
    arrays |= {"x_val": images[:20] // 3, "y_val": labels[:20]}
    np.savez(tmp_path / "a.npz", **arrays)
    found = check(write_config(tmp_path, "{Arrays: a.npz}"))
    files = {one.kind: one.files for one in found}
    assert files["two_splits"] == ("train[0]", "test[0]")
    assert files["two_labels"][:2] == ("train[6]", "train[7]")


@pytest.mark.exhaustive
@pytest.mark.skipif(not CLOTHING.exists(), reason="needs ../shared/data/clothing10_side128")
def test_real_photographs(tmp_path: Path) -> None:
    """One picture occurs twice, with two labels; there are no other copies."""
    found = check(write_config(tmp_path, f"{{Folder: {CLOTHING}}}"))
    assert {one.kind for one in found} <= {"two_labels", "imbalance", "cut_images"}
    (copies,) = [one for one in found if one.kind == "two_labels"]
    assert [Path(file).relative_to(CLOTHING).as_posix() for file in copies.files] == [
        "train/shorts/6075b4a5-5b1a-4ce0-aea0-9dbfbca7c35c.jpg",
        "train/skirt/637a56e4-7fa6-4f75-8859-0f8902461554.jpg",
    ]
