"""Shapes: drawn once, cached, and drawn again if the cache is damaged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from sepcnn.data.dataset import Dataset, InMemorySplit
from sepcnn.data.sources.base import Request
from sepcnn.data.sources.shape_drawing import CLASS_NAMES, VERSION, draw
from sepcnn.data.sources.shapes import Shapes
from sepcnn.errors import DataError

SIZE = 32
SMALL = Shapes(train=30, val=20, test=10, seed=3)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "sepcnn" / "shapes"


def open_shapes(source: Shapes = SMALL, size: int = SIZE) -> Dataset:
    return source.open(Request((size, size, 3), 0.5, 0))


def train(dataset: Dataset) -> InMemorySplit:
    assert isinstance(dataset.train, InMemorySplit)
    return dataset.train


def cached(folder: Path, split: str) -> Path:
    count = getattr(SMALL, split)
    return folder / VERSION / f"{SMALL.seed}-{split}-{count}-{SIZE}.npz"


def test_splits_contain_the_drawn_images(cache: Path) -> None:
    dataset = open_shapes()
    assert dataset.class_names == SMALL.known_class_names() == CLASS_NAMES
    for name, count in (("train", 30), ("val", 20), ("test", 10)):
        images, labels = draw(3, name, count, SIZE)
        batch = dataset.split(name).read(torch.arange(count))
        found_images, found_labels = batch.images, batch.labels
        np.testing.assert_array_equal(found_images, images)
        np.testing.assert_array_equal(found_labels, labels)


def test_opening_twice_gives_the_same_data(cache: Path) -> None:
    assert open_shapes().summary() == open_shapes().summary()


def test_the_cache_is_used(cache: Path) -> None:
    open_shapes()
    assert sorted(p for p in cache.rglob("*") if p.is_file()) == sorted(
        cached(cache, split) for split in ("train", "val", "test")
    )
    path = cached(cache, "train")
    labels = np.zeros(30, dtype=np.int64)
    np.savez(path, images=np.full((30, SIZE, SIZE, 3), 7, dtype=np.uint8), labels=labels)
    assert train(open_shapes()).images.eq(7).all()


def changed(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 255]) + content[place + 1 :]


def unknown_compression(content: bytes) -> bytes:
    """Change the compression method, at byte 10 of an entry of the zip directory."""
    return changed(content, content.index(b"PK\1\2") + 10)


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda content: content[: len(content) // 2], id="cut-off"),
        pytest.param(lambda content: b"", id="empty"),
        pytest.param(lambda content: b"text", id="text"),
        pytest.param(lambda content: changed(content, len(content) // 2), id="one-byte"),
        pytest.param(unknown_compression, id="compression"),
    ],
)
def test_a_damaged_file_is_replaced(cache: Path, damage: Callable[[bytes], bytes]) -> None:
    facts = open_shapes().summary()
    path = cached(cache, "train")
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    assert open_shapes().summary() == facts
    assert path.read_bytes() == whole


@pytest.mark.parametrize(
    "arrays",
    [
        {"images": np.zeros((29, SIZE, SIZE, 3), np.uint8), "labels": np.zeros(29, np.int64)},
        {"images": np.zeros((30, SIZE, SIZE, 3), np.uint8)},
        {"x": np.zeros(3)},
    ],
    ids=["other-count", "no-labels", "other-names"],
)
def test_a_file_of_other_arrays_is_replaced(cache: Path, arrays: dict[str, np.ndarray]) -> None:
    facts = open_shapes().summary()
    np.savez(cached(cache, "train"), **arrays)
    assert open_shapes().summary() == facts


def test_a_cache_that_cannot_be_written_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Below a file: also root cannot write there.
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert open_shapes().summary()["counts"] == {"train": 30, "val": 20, "test": 10}


def test_seeds_and_sizes_have_their_own_files(cache: Path) -> None:
    first = open_shapes()
    other = open_shapes(SMALL.model_copy(update={"seed": 4}))
    larger = open_shapes(size=36)
    assert other.summary()["fingerprint"] != first.summary()["fingerprint"]
    assert train(larger).images.shape == (30, 36, 36, 3)
    assert len(list(cache.rglob("*.npz"))) == 9


@pytest.mark.parametrize(
    "shape", [(32, 48, 3), (32, 32, 1), (31, 31, 3)], ids=["not-square", "grey", "tiny"]
)
def test_other_input_shapes_are_refused(shape: tuple[int, int, int]) -> None:
    with pytest.raises(DataError) as caught:
        SMALL.open(Request(shape, 0.5, 0))
    found = "×".join(map(str, shape))
    assert str(caught.value) == (
        f"Shapes are square colour images of at least 32×32, found {found}\n"
        "   use for example input_shape: [64, 64, 3]"
    )
