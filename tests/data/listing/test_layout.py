"""Which folders are classes and which are splits, and layouts that are questions."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest

from sepcnn.data.listing.given_layout import LayoutError, is_layout
from sepcnn.data.listing.listing import Listing, list_images
from sepcnn.errors import DataError
from tests.data.listing.test_listing import fill

PETS = ("cats", "dogs")


def grid(*levels: tuple[str, ...]) -> list[str]:
    """An image in every folder of every level."""
    return [f"{'/'.join(names)}/1.jpg" for names in product(*levels)]


def doubled(*splits: str) -> list[str]:
    return [f"{split}/{split}/{pet}/1.jpg" for split in splits for pet in PETS]


def question(root: Path) -> str:
    with pytest.raises(LayoutError) as caught:
        list_images(root)
    return str(caught.value).replace(str(root), "ROOT")


def message_of(root: Path, layout: str) -> str:
    with pytest.raises(DataError) as caught:
        list_images(root, None, layout)
    return str(caught.value)


def classes(listing: Listing) -> tuple[tuple[str, ...], set[str | None]]:
    return listing.class_names, set(listing.counts())


@pytest.mark.parametrize(
    ("names", "layout", "splits"),
    [
        (grid(("training_set", "test_set"), PETS), "split/class", {"train", "test"}),
        (grid(("training_set", "test_set"), ("again",), PETS), "split/any/class",
         {"train", "test"}),
        (doubled("seg_train", "seg_test"), "split/any/class", {"train", "test"}),
        (grid(("Training", "Testing"), PETS), "split/class", {"train", "test"}),
        (grid(("train2017", "val2017"), PETS), "split/class", {"train", "val"}),
        (grid(("trainset", "validset", "testset"), PETS), "split/class", {"train", "val", "test"}),
        (grid(("TrainingData", "ValidationData"), PETS), "split/class", {"train", "val"}),
        (grid(("imagenet_train", "imagenet_val"), PETS), "split/class", {"train", "val"}),
        (grid(("x-train", "x-test"), PETS), "split/class", {"train", "test"}),
        (grid(("photos",), PETS), "any/class", {None}),
        (grid(("archive",), ("data",), ("train", "val"), PETS), "any/any/split/class",
         {"train", "val"}),
        (grid(("train",), PETS), "split/class", {"train"}),
        (doubled("training_set"), "split/any/class", {"train"}),
        (grid(PETS, ("train", "val", "test")), "class/split", {"train", "val", "test"}),
        (grid(PETS, ("training_set", "test_set")), "class/split", {"train", "test"}),
        (grid(("photos",), PETS, ("train", "val")), "any/class/split", {"train", "val"}),
    ],
)  # fmt: skip
def test_splits_and_wrappers_are_found(
    tmp_path: Path, names: list[str], layout: str, splits: set[str | None]
) -> None:
    listing = list_images(fill(tmp_path, *names))
    assert classes(listing) == (PETS, splits)
    assert listing.layout == layout
    assert len(listing.files) == len(names)
    assert list_images(tmp_path, None, layout).files == listing.files


@pytest.mark.parametrize(
    "names",
    [
        ("test_tube", "training shoes", "valley", "testudo", "value"),
        ("test_tube", "training shoes"),
        ("train", "ship", "car"),
        ("valid", "invalid"),
        ("test1", "test2", "test3"),
        ("test_positive", "test_negative"),
        ("trainers", "contest"),
        ("train station", "test track", "train"),
    ],
)
def test_classes_may_have_split_words_in_their_names(
    tmp_path: Path, names: tuple[str, ...]
) -> None:
    listing = list_images(fill(tmp_path, *grid(names)))
    assert classes(listing) == (tuple(sorted(names)), {None})


def test_classes_may_share_some_names_of_subfolders(tmp_path: Path) -> None:
    fill(tmp_path, *grid(("cats",), ("siamese", "other")), *grid(("dogs",), ("beagle", "other")))
    assert classes(list_images(tmp_path)) == (PETS, {None})


def test_classes_with_images_next_to_equal_subfolders(tmp_path: Path) -> None:
    fill(tmp_path, *grid(PETS, ("indoor", "outdoor")), *grid(PETS))
    assert classes(list_images(tmp_path)) == (PETS, {None})


QUESTIONS = {
    "subfolders": (
        grid(PETS, ("indoor", "outdoor")),
        "ROOT: the classes may be 'cats', 'dogs', or 'indoor', 'outdoor'\n"
        "   set layout: class for the former, any/class for the latter",
    ),
    "parts": (
        [*grid(("part1", "part2"), PETS), "part1/birds/1.jpg"],
        "ROOT: the classes may be 'part1', 'part2', or 'cats', 'dogs'\n"
        "   set layout: class for the former, any/class for the latter",
    ),
    "wrapped-parts": (
        grid(("all",), ("part1", "part2"), ("images",), PETS),
        "ROOT/all: the classes may be 'part1', 'part2', or 'cats', 'dogs'\n"
        "   set layout: any/class for the former, any/any/any/class for the latter",
    ),
    "parts-of-splits": (
        grid(("train", "test"), ("part1", "part2"), PETS),
        "ROOT/test: the classes may be 'part1', 'part2', or 'cats', 'dogs'\n"
        "   set layout: split/class for the former, split/any/class for the latter",
    ),
    "data-sets": (
        grid(("old", "new"), ("train", "test"), PETS),
        "ROOT: the classes may be 'new', 'old', or 'cats', 'dogs'\n"
        "   set layout: class/split for the former, any/split/class for the latter",
    ),
    "unclear-splits": (
        grid(("test_tube", "training shoes"), ("indoor", "outdoor")),
        "ROOT: the classes may be 'test_tube', 'training shoes', or 'indoor', 'outdoor'\n"
        "   set layout: class for the former, any/class for the latter",
    ),
    "joined-names": (
        grid(("train_cats", "train_dogs", "test_cats", "test_dogs")),
        "ROOT: 'test_cats', 'test_dogs', 'train_cats', 'train_dogs' may be splits, or classes\n"
        "   put each class into a folder of its split (train/…), or set layout: class",
    ),
    "unlabelled-images": (
        [*doubled("seg_train", "seg_test"), "seg_pred/seg_pred/1.jpg"],
        "ROOT: 'seg_pred' is next to 'seg_test' and 'seg_train': is it a class or a split?\n"
        "   move or rename it, exclude: seg_pred, or set layout: class if all of them are classes",
    ),
    "splits-of-one-class": (
        [*grid(("cats",), ("train", "test")), "dogs/1.jpg"],
        "ROOT/cats: 'test', 'train' may be splits of this class\n"
        "   set layout: class to use all images of each class, class/split if they are splits",
    ),
    "deep-splits": (
        grid(PETS, ("images",), ("train", "test")),
        "ROOT/cats/images: 'test', 'train' may be splits of this class\n"
        "   set layout: class to use all images of each class, class/any/split if they are splits",
    ),
    "a-copy": (
        [*grid(PETS), *grid(("pets",), PETS)],
        "ROOT: 'pets' contains folders that are next to it, too: 'cats', 'dogs'\n"
        "   if it is a copy, exclude: pets; if it is a class, set layout: class",
    ),
    "one-split-twice": (
        grid(("train1", "train2", "test"), PETS),
        "ROOT: found both 'train1' and 'train2'\n"
        "   merge them into one folder train, or set layout: split/class to use both",
    ),
}


@pytest.mark.parametrize(("names", "expected"), QUESTIONS.values(), ids=QUESTIONS)
def test_layouts_that_are_questions(tmp_path: Path, names: list[str], expected: str) -> None:
    assert question(fill(tmp_path, *names)) == expected


@pytest.mark.parametrize(
    ("layout", "expected"),
    [
        ("class", (("new", "old"), {None})),
        ("any/any/class", (PETS, {None})),
        ("any/split/class", (PETS, {"train", "test"})),
        ("class/split", (("new", "old"), {"train", "test"})),
        ("any/class", (("test_set", "train_set"), {None})),
    ],
)
def test_the_layout_can_be_given(
    tmp_path: Path, layout: str, expected: tuple[tuple[str, ...], set[str | None]]
) -> None:
    fill(tmp_path, *grid(("old", "new"), ("train_set", "test_set"), PETS))
    listing = list_images(tmp_path, None, layout)
    assert classes(listing) == expected
    assert listing.layout == ""


def test_images_above_the_classes_of_a_layout_are_reported(tmp_path: Path) -> None:
    fill(tmp_path, *grid(("old", "new"), PETS), "1.jpg", "old/2.jpg")
    listing = list_images(tmp_path, None, "any/class")
    assert listing.unlabelled == (str(tmp_path / "1.jpg"), str(tmp_path / "old" / "2.jpg"))


def test_a_layout_that_does_not_fit(tmp_path: Path) -> None:
    fill(tmp_path, *grid(PETS))
    message = "there are no images in folders of the layout any/class"
    assert message in message_of(tmp_path, "any/class")
    assert "'cats' is not the name of a split (split/class)" in message_of(tmp_path, "split/class")


def test_a_class_without_readable_files_is_not_a_wrapper(tmp_path: Path) -> None:
    fill(tmp_path, *grid(("cats",), ("indoor", "outdoor")), "dogs/1.raw")
    assert "dogs: there are no images of this class" in message_of(tmp_path, "class")
    with pytest.raises(DataError, match=r"left out: 1 file: \.raw 1"):
        list_images(tmp_path)


@pytest.mark.parametrize("text", ["class", "split/class", "class/any/split", "any/any/class"])
def test_layouts(text: str) -> None:
    assert is_layout(text)


@pytest.mark.parametrize("text", ["", "split", "class/class", "split/class/split", "class/", "a"])
def test_texts_that_are_no_layouts(text: str) -> None:
    assert not is_layout(text)


@pytest.mark.parametrize(
    ("link", "target"),
    [("birds", "cats"), ("cats/more", "dogs"), ("cats/more", "dogs/old")],
)
def test_a_folder_of_two_classes_is_refused(tmp_path: Path, link: str, target: str) -> None:
    fill(tmp_path, *grid(PETS), "dogs/old/1.jpg")
    (tmp_path / link).symlink_to(tmp_path / target)
    assert "are the same folder, by a link" in message_of(tmp_path, "class")


def test_a_split_that_links_to_another_is_refused(tmp_path: Path) -> None:
    fill(tmp_path, *grid(("train",), PETS))
    (tmp_path / "val").symlink_to("train")
    with pytest.raises(DataError, match="are the same folder, by a link"):
        list_images(tmp_path)
