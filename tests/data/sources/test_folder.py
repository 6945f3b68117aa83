"""Folder: splits, held-out images, unreadable images and refusals."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from sepcnn.config.loading import config_from_node, load_config
from sepcnn.data.dataset import Dataset, Split
from sepcnn.data.sources.base import Request
from sepcnn.data.sources.folder import Folder
from sepcnn.errors import ConfigError, DataError
from sepcnn.language.yaml_reader import parse
from sepcnn.randomness import key as random_key
from tests.conftest import SHARED_DATA
from tests.pictures import COLOURS, picture, write_folder

CLOTHING = SHARED_DATA / "clothing10_side128"
SHAPE = (12, 12, 3)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "sepcnn" / "images"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "photos")


def opened(path: Path, shape: tuple[int, int, int] = SHAPE, **fields: object) -> Dataset:
    validation = float(fields.pop("validation", 0.25))  # type: ignore[arg-type]
    seed = int(fields.pop("split_seed", 0))  # type: ignore[call-overload]
    return Folder(path=path, **fields).open(Request(shape, validation, seed))  # type: ignore[arg-type]


def names(split: Split | None) -> set[str]:
    return set(split.names) if split else set()  # type: ignore[attr-defined]


def everything(split: Split) -> torch.Tensor:
    return split.read(torch.arange(len(split))).images


def complaint(path: Path, **fields: object) -> str:
    with pytest.raises(DataError) as caught:
        opened(path, **fields)
    return str(caught.value).replace(str(path), "ROOT")


# ── reading ───────────────────────────────────────────────────────────────────────────────────


def test_images_and_labels_belong_together(root: Path) -> None:
    data = opened(root, validation=0)
    assert data.class_names == COLOURS
    assert (data.val, data.test, data.notes) == (None, None, ())
    batch = data.train.read(torch.tensor([30, 0, 13]))
    assert batch.labels.tolist() == [2, 0, 1]
    assert (batch.images.dtype, batch.images.shape) == (torch.uint8, (3, *SHAPE))
    means = batch.images.float().mean((1, 2))
    assert means.argmax(dim=1).tolist() == [0, 2, 1]  # red, blue, green


def test_pixels_equal_those_of_a_single_file(root: Path) -> None:
    data = opened(root, validation=0, resize="letterbox")
    source = Folder(path=root, resize="letterbox")
    single = source.read_image(root / "green" / "003.jpg", SHAPE)
    np.testing.assert_array_equal(everything(data.train)[15].numpy(), single)


def test_a_larger_stored_size_is_centre_cropped_for_prediction(root: Path) -> None:
    source = Folder(path=root, stored_size=(14, 16))
    stored = everything(source.open(Request(SHAPE, 0, 0)).train)
    assert stored.shape == (36, 14, 16, 3)
    single = source.read_image(root / "blue" / "000.jpg", SHAPE)
    np.testing.assert_array_equal(stored[0, 1:13, 2:14].numpy(), single)


def test_only_train_opened_is_all_of_train(tmp_path: Path) -> None:
    rows = ["path,label,split"]
    for index in range(40):
        Image.new("RGB", (8, 8), (index, 0, 0)).save(tmp_path / f"{index}.png")
        rows.append(f"{index}.png,{'ab'[index % 2]},{'train' if index < 36 else 'val'}")
    table = tmp_path / "labels.csv"
    table.write_text("\n".join(rows))
    data = Folder(path=tmp_path, labels=table).open(Request(SHAPE, 0.5, 0, split="train"))
    assert len(data.train) == 36


def test_split_folders_are_used(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "photos", count=2, splits=("train", "valid", "test"))
    data = opened(root)
    assert {name: len(split) for name, split in data.splits().items()} == {
        "train": 6,
        "val": 6,
        "test": 6,
    }
    assert not torch.equal(everything(data.splits()["train"]), everything(data.splits()["val"]))


def test_images_of_a_csv(root: Path) -> None:
    rows = [f"{colour}/00{i}.jpg,{'warm' if colour == 'red' else 'cold'}" for colour in COLOURS
            for i in range(3)]  # fmt: skip
    table = root / "labels.csv"
    table.write_text("\n".join(["path,label", *rows]))
    data = opened(root, labels=table, validation=0)
    assert data.class_names == ("cold", "warm")
    assert data.train.labels.tolist() == [0] * 6 + [1] * 3


def test_grey_images_and_pages(tmp_path: Path) -> None:
    for name, value in (("a", 50), ("b", 200)):
        (tmp_path / "photos" / name).mkdir(parents=True)
        first, *others = [Image.new("L", (8, 8), value + page) for page in range(5)]
        first.save(tmp_path / "photos" / name / "1.tif", save_all=True, append_images=others)
    assert everything(opened(tmp_path / "photos", (8, 8, 1), validation=0).train).flatten(
        1
    ).float().mean(1).tolist() == [50, 200]
    pages = everything(opened(tmp_path / "photos", (8, 8, 5), validation=0).train)
    assert pages[1, 0, 0].tolist() == [200, 201, 202, 203, 204]


def test_images_without_a_class_are_reported(root: Path) -> None:
    for name in ("x.jpg", "y.jpg"):
        picture("red").save(root / name)
    data = opened(root)
    assert data.notes == (f"left out, not in the folder of a class: {root / 'x.jpg'} and 1 more",)


# ── validation ────────────────────────────────────────────────────────────────────────────────


def test_the_same_share_of_every_class_is_held_out(tmp_path: Path) -> None:
    data = opened(write_folder(tmp_path / "photos", count=60))
    assert data.val is not None
    counts = data.val.labels.bincount().tolist()
    assert all(5 <= count <= 25 for count in counts)
    assert not names(data.train) & names(data.val)
    assert len(data.train) + len(data.val) == 180


def test_adding_and_removing_images_moves_no_other(root: Path) -> None:
    held = names(opened(root).val)
    everyone = held | names(opened(root).train)
    for seed in range(40):
        picture("green", seed).save(root / "green" / f"new {seed}.png")
    (root / "red" / "004.jpg").unlink()
    now = opened(root)
    assert names(now.val) & everyone == held - {"red/004.jpg"}
    assert names(now.val) - everyone


def test_the_content_decides_and_not_the_name(root: Path) -> None:
    before = {root / name: (root / name).read_bytes() for name in names(opened(root).val)}
    for path in list(root.rglob("*.jpg")):
        path.rename(path.with_name(f"other {path.name}"))
    after = {root / name: (root / name).read_bytes() for name in names(opened(root).val)}
    assert sorted(before.values()) == sorted(after.values())


def test_identical_files_are_in_one_split(root: Path) -> None:
    for path in list(root.rglob("*.jpg")):
        shutil.copy(path, path.with_name(f"copy of {path.name}"))
        if path.parent.name == "red":
            shutil.copy(path, root / "blue" / f"red {path.name}")
    data = opened(root)
    assert data.val is not None
    train, val = (
        {(root / name).read_bytes() for name in names(part)} for part in (data.train, data.val)
    )
    assert val
    assert not train & val


def test_the_split_of_an_older_run_is_by_names(root: Path) -> None:
    rule = {"split_rule": "names"}
    request = Request(SHAPE, 0.25, 0, **rule)  # type: ignore[arg-type]
    found = names(Folder(path=root).open(request).val)
    keys = sorted(path.name for path in (root / "red").iterdir())
    below = {name for name in keys if random_key(0, "validation", name) < 2**61}
    assert found == {f"{colour}/{name}" for colour in COLOURS for name in below}


def test_the_split_seed_decides_what_is_held_out(root: Path) -> None:
    assert names(opened(root, split_seed=1).val) == names(opened(root, split_seed=1).val)
    assert names(opened(root, split_seed=1).val) != names(opened(root, split_seed=2).val)


def test_every_class_keeps_an_image_for_training(root: Path) -> None:
    data = opened(root, validation=0.999)
    assert sorted(data.train.labels.tolist()) == [0, 1, 2]


def test_names_that_are_not_utf_8(root: Path) -> None:
    name = os.fsdecode(b"caf\xe9.jpg")
    try:
        (root / "red" / "000.jpg").rename(root / "red" / name)
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    data = opened(root)
    assert f"red/{name}" in names(data.train) | names(data.val)
    assert data.summary() == opened(root).summary()


# ── fingerprint ───────────────────────────────────────────────────────────────────────────────


def test_the_fingerprint_does_not_depend_on_the_folder(root: Path, tmp_path: Path) -> None:
    facts = opened(root).summary()
    shutil.copytree(root, tmp_path / "elsewhere")
    assert opened(tmp_path / "elsewhere").summary() == facts
    shutil.rmtree(tmp_path / "cache")
    assert opened(root).summary() == facts


def test_the_fingerprint_depends_on_pixels_and_labels(root: Path) -> None:
    found = [opened(root).summary()["fingerprint"]]
    picture("red", 77).save(root / "red" / "000.jpg", quality=95)
    found.append(opened(root).summary()["fingerprint"])
    (root / "red" / "000.jpg").rename(root / "blue" / "012.jpg")
    found.append(opened(root).summary()["fingerprint"])
    found.append(opened(root, resize="stretch").summary()["fingerprint"])
    assert len(set(found)) == 4


# ── bad images ────────────────────────────────────────────────────────────────────────────────


def damage(root: Path) -> None:
    (root / "blue" / "000.jpg").write_bytes(b"no image")
    (root / "green" / "013.png").symlink_to(root / "gone.png")
    content = (root / "red" / "001.jpg").read_bytes()
    (root / "red" / "001.jpg").write_bytes(content[: len(content) // 2])


def test_each_pair_of_folder_and_csv_has_its_own_cache(
    root: Path, tmp_path: Path, home: Path
) -> None:
    other = write_folder(tmp_path / "others")
    tables = [tmp_path / "all.csv", tmp_path / "few.csv"]
    for table, count in zip(tables, (12, 4), strict=True):
        rows = [f"{c}/{number:03}.jpg,{c}" for c in COLOURS for number in range(count)]
        table.write_text("\n".join(["path,label", *rows]))
    reads: list[tuple[int, int]] = []

    def open_all() -> None:
        for folder in (root, other):
            for labels in (None, *tables):
                request = Request(SHAPE, 0, 0, lambda *counts: reads.append(counts))
                Folder(path=folder, labels=labels).open(request)

    open_all()
    assert len(list(home.glob("*.rows"))) == 6
    before = len(reads)
    open_all()
    assert len(reads) == before


def test_all_unreadable_images_are_named(root: Path) -> None:
    damage(root)
    for _ in range(2):  # the second time from the cache
        first, second, third, fourth, hint = complaint(root).split("\n")
        assert first == "3 of 37 images cannot be read:"
        assert second == "   ROOT/blue/000.jpg: not an image file: it is text, 'no image'"
        assert (
            third
            == f"   ROOT/green/013.png: no such file: it is a link to {root}/gone.png".replace(
                str(root), "ROOT"
            )
        )
        assert fourth.startswith("   ROOT/red/001.jpg: cannot be read (")
        assert hint == "   fix or remove them, or set skip_unreadable: true"


def test_skip_unreadable_leaves_out_unreadable_images(root: Path) -> None:
    damage(root)
    for _ in range(2):
        data = opened(root, skip_unreadable=True, validation=0)
        assert len(data.train) == 34
        (note,) = data.notes
        assert note.startswith("3 of 37 images cannot be read:\n")
        means = everything(data.train).float().mean((1, 2)).argmax(dim=1)
        assert torch.equal(means, 2 - data.train.labels)


def test_at_most_ten_files_are_listed(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "photos", count=5)
    for file in root.rglob("*.jpg"):
        if file.name != "000.jpg":
            file.write_bytes(b"")
    lines = complaint(root).split("\n")
    assert lines[0] == "12 of 15 images cannot be read:"
    assert len(lines) == 12
    assert lines[10].endswith(
        ": not an image file: it is empty (0 bytes); download or copy it again and 2 more"
    )


def test_a_class_without_a_readable_image_is_refused(root: Path) -> None:
    for file in (root / "red").iterdir():
        file.write_bytes(b"")
    expected = "no image of class 'red' can be read"
    assert complaint(root, skip_unreadable=True) == expected


def test_a_decompression_bomb_is_reported(root: Path) -> None:
    Image.new("1", (20_000, 20_000)).save(root / "red" / "large.png")
    assert "ROOT/red/large.png: 20,000×20,000 pixels: 400 megapixels" in complaint(root)


def test_nothing_is_decoded_twice(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened(root)
    picture("red", 50).save(root / "red" / "000.jpg")
    read: list[Path] = []
    from sepcnn.data.cache import file_reading

    def count(path: Path, *arguments: Any, **options: Any) -> np.ndarray:
        read.append(path)
        return original(path, *arguments, **options)

    original = file_reading.read_image
    monkeypatch.setattr(file_reading, "read_image", count)
    opened(root)
    assert read == [root / "red" / "000.jpg"]
    opened(root, validation=0.5)
    assert len(read) == 1


# ── in a config ───────────────────────────────────────────────────────────────────────────────

MODEL = (
    "model: {input_shape: [12, 12, 3], "
    "layers: [Flatten, Dense: {units: auto, activation: softmax}]}\n"
)


@pytest.mark.parametrize("source", ["Folder: photos", "Folder: {path: photos, resize: stretch}"])
def test_a_config_with_a_folder(root: Path, source: str) -> None:
    config = root.parent / "a.yaml"
    config.write_text(f"{MODEL}data: {{source: {{{source}}}}}\n")
    settings = load_config(config)
    assert len(settings.open_data().train) > 20
    assert type(settings).from_resolved(settings.resolved()).data == settings.data


def test_a_stored_size_below_the_input_is_refused_before_reading() -> None:
    text = f"{MODEL}data:\n  source:\n    Folder: {{path: none, stored_size: [12, 11]}}\n"
    with pytest.raises(ConfigError) as caught:
        config_from_node(text, parse(text, "a.yaml"), "a.yaml", Path())
    first, *_, hint = str(caught.value).split("\n")
    assert first == (
        "a.yaml:4:5: data.source.Folder: stored_size 12×11 is smaller than the input, 12×12"
    )
    assert hint == "   use stored_size: [12, 12] or larger"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_without_read_permission_is_reported(root: Path) -> None:
    (root / "red" / "000.jpg").chmod(0)
    assert "   ROOT/red/000.jpg: " in complaint(root)


@pytest.mark.skipif(not CLOTHING.exists(), reason=f"{CLOTHING} is not here")
def test_real_photos(home: Path) -> None:
    data = opened(CLOTHING, (32, 32, 3))
    assert {name: len(split) for name, split in data.splits().items()} == {
        "train": 3068,
        "val": 341,
        "test": 372,
    }
    assert everything(data.train).float().mean() > 100
