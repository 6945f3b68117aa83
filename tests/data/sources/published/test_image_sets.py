"""Published data sets of image files, downloaded from a local server and unpacked."""

from __future__ import annotations

import hashlib
import io
import json
import re
import tarfile
import zipfile
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from sepcnn.data.dataset import Dataset
from sepcnn.data.sources.base import Request
from sepcnn.data.sources.published.download import PublishedFile
from sepcnn.data.sources.published.image_catalogue import (
    FLOWER_NAMES,
    IMAGE_FOLDER_SETS,
    IMAGENETTE,
)
from sepcnn.data.sources.published.image_sets import ImageFolderSet
from sepcnn.data.sources.torchvision_sets import Torchvision
from sepcnn.errors import DataError
from tests.mirror import Mirror, closed_address

SHAPE = (8, 8, 3)
NUMBERS = (
    "01440764 02102040 02979186 03000684 03028079 03394916 03417042 03425413 03445777 03888257"
)
WNIDS = [f"n{number}" for number in re.findall("[0-9]+", NUMBERS)]


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def picture(shade: int) -> bytes:
    written = io.BytesIO()
    Image.new("RGB", (10, 8), (shade, shade, shade)).save(written, "PNG")
    return written.getvalue()


def tar(files: dict[str, bytes]) -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w:gz") as archive:
        for name, one in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(one)
            archive.addfile(member, io.BytesIO(one))
    return written.getvalue()


def zipped(files: dict[str, bytes]) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for name, one in files.items():
            archive.writestr(name, one)
    return written.getvalue()


def eurosat() -> list[bytes]:
    names = IMAGE_FOLDER_SETS["EuroSAT"].class_names
    files = {
        f"2750/{c}/{c}_{n}.jpg": picture(10 * k) for k, c in enumerate(names) for n in range(5)
    }
    return [zipped(files)]


def imagenette(name: str = "imagenette2") -> list[bytes]:
    return [
        tar(
            {
                f"{name}/{split}/{wnid}/{n}.JPEG": picture(10 * k)
                for split in ("train", "val")
                for k, wnid in enumerate(WNIDS)
                for n in range(2)
            }
        )
    ]


def food() -> list[bytes]:
    classes = ("apple_pie", "ramen")
    listed = {
        split: {c: [f"{c}/{n}" for n in numbers] for c in classes}
        for split, numbers in (("train", (1, 3)), ("test", (2,)))
    }
    files = {
        f"food-101/images/{c}/{n}.jpg": picture(k) for k, c in enumerate(classes) for n in (1, 2, 3)
    }
    files |= {f"food-101/meta/{s}.json": json.dumps(d).encode() for s, d in listed.items()}
    return [tar(files)]


def pets() -> list[bytes]:
    breeds = {"Abyssinian": 1, "american_bulldog": 2}
    names = [f"{breed}_{n}" for breed in breeds for n in (1, 2, 3)]
    lines = [f"{n} {breeds[n.rpartition('_')[0]]} 1 1" for n in names]
    lists = {"trainval.txt": [ln for ln in lines if "_3 " not in ln], "test.txt": lines[2::3]}
    annotations = {f"annotations/{f}": "\n".join(one).encode() for f, one in lists.items()}
    images = {f"images/{n}.jpg": picture(breeds[n.rpartition("_")[0]] - 1) for n in names}
    return [tar(images), tar({**annotations, "annotations/trimaps/._a.png": b"?"})]


def flowers() -> list[bytes]:
    matlab = pytest.importorskip("scipy.io")
    labels = np.array([[77, 1, 77, 1, 77, 1]], np.uint8)  # passion flower, pink primrose
    places = {"trnid": [[1, 2]], "valid": [[3, 4]], "tstid": [[5, 6]]}
    files = [tar({f"jpg/image_{n:05d}.jpg": picture(n % 2 == 0) for n in range(1, 7)})]
    for arrays in ({"labels": labels}, {k: np.array(v, np.uint16) for k, v in places.items()}):
        written = io.BytesIO()
        matlab.savemat(written, arrays)
        files.append(written.getvalue())
    return files


def publish(
    table: dict[str, ImageFolderSet], name: str, files: list[bytes], patch: pytest.MonkeyPatch
) -> Mirror:
    known = table[name]
    served = {remote.path: file for remote, file in zip(known.files, files, strict=True)}
    mirror = Mirror(served)
    remotes = tuple(
        PublishedFile(path, hashlib.md5(file).hexdigest(), len(file), (mirror.address + path,))
        for path, file in served.items()
    )
    patch.setitem(table, name, replace(known, files=remotes))
    return mirror


def ask(root: Path, validation: float = 0.0, **fields: Any) -> Dataset:
    return Torchvision(root=root, **fields).open(Request(SHAPE, validation, 0))


def by_split(dataset: Dataset) -> dict[str, dict[str, int]]:
    return {
        name: dict(Counter(dataset.class_names[n] for n in split.labels.tolist()))
        for name, split in dataset.splits().items()
    }


def assert_shades(dataset: Dataset, factor: int) -> None:
    """Each image has the shade of its class."""
    for split in dataset.splits().values():
        batch = split.read(torch.arange(len(split)))
        expected = batch.labels[:, None, None, None].expand(batch.images.shape) * factor
        assert torch.equal(batch.images.long(), expected)


def test_eurosat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with publish(IMAGE_FOLDER_SETS, "EuroSAT", eurosat(), monkeypatch):
        dataset = ask(tmp_path, name="EuroSAT")
    assert dataset.class_names == IMAGE_FOLDER_SETS["EuroSAT"].class_names
    assert by_split(dataset) == {"train": dict.fromkeys(dataset.class_names, 5)}
    assert_shades(dataset, 10)
    assert len(ask(tmp_path, name="EuroSAT", download=False).train) == 50
    request = Request(SHAPE, 0.5, 0, split_rule="names")  # the images of a class are equal here
    assert Torchvision(root=tmp_path, name="EuroSAT").open(request).val is not None


@pytest.mark.parametrize("size", [None, "160px"])
def test_imagenette(size: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table, name = (IMAGENETTE, size) if size else (IMAGE_FOLDER_SETS, "Imagenette")
    files = imagenette(table[name].images)
    with publish(table, name, files, monkeypatch):
        dataset = ask(tmp_path, name="Imagenette", **({"size": size} if size else {}))
    names = ("tench", "English springer", "cassette player", "chain saw", "church")
    assert dataset.class_names[:5] == names
    assert {s: len(split) for s, split in dataset.splits().items()} == {"train": 20, "val": 20}
    assert_shades(dataset, 10)


def test_food101(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with publish(IMAGE_FOLDER_SETS, "Food101", food(), monkeypatch):
        dataset = ask(tmp_path, name="Food101")
    assert by_split(dataset) == {
        "train": {"apple_pie": 2, "ramen": 2},
        "test": {"apple_pie": 1, "ramen": 1},
    }
    assert_shades(dataset, 1)


def test_pets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with publish(IMAGE_FOLDER_SETS, "OxfordIIITPet", pets(), monkeypatch):
        dataset = ask(tmp_path, name="OxfordIIITPet")
    assert by_split(dataset) == {
        "train": {"Abyssinian": 2, "American Bulldog": 2},
        "test": {"Abyssinian": 1, "American Bulldog": 1},
    }
    assert_shades(dataset, 1)


def test_flowers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with publish(IMAGE_FOLDER_SETS, "Flowers102", flowers(), monkeypatch):
        dataset = ask(tmp_path, name="Flowers102")
    each = {"passion flower": 1, "pink primrose": 1}
    assert by_split(dataset) == {"train": each, "val": each, "test": each}
    assert_shades(dataset, 1)


def test_imagenet_in_folders(tmp_path: Path) -> None:
    for split in ("train", "val"):
        for k, wnid in enumerate(WNIDS[:2]):
            (tmp_path / split / wnid).mkdir(parents=True)
            (tmp_path / split / wnid / "a.JPEG").write_bytes(picture(k))
    dataset = ask(tmp_path, name="ImageNet")
    assert dataset.class_names == tuple(WNIDS[:2])
    assert_shades(dataset, 1)


def test_imagenet_cannot_be_downloaded(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        ask(tmp_path, name="ImageNet")
    assert str(caught.value) == (
        f"{tmp_path}: ImageNet is missing, and cannot be downloaded\n"
        "   set root to the folder of train and val, which have folders n01440764 …"
    )


def test_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = IMAGE_FOLDER_SETS["Food101"]
    address = f"{closed_address()}food-101.tar.gz"
    file = replace(known.files[0], addresses=(address,))
    monkeypatch.setitem(IMAGE_FOLDER_SETS, "Food101", replace(known, files=(file,)))
    with pytest.raises(DataError) as caught:
        ask(tmp_path, name="Food101")
    assert str(caught.value) == (
        "food-101.tar.gz could not be downloaded\n"
        f"   {address}: connection refused\n"
        "   without a network, add these files by hand\n"
        f"   {tmp_path}/food-101.tar.gz  (md5 {file.md5})"
    )


def test_a_damaged_list(tmp_path: Path) -> None:
    (tmp_path / "food-101" / "images").mkdir(parents=True)
    (tmp_path / "food-101" / "meta").mkdir()
    path = tmp_path / "food-101" / "meta" / "train.json"
    path.write_text("[1, 2]")
    with pytest.raises(DataError) as caught:
        ask(tmp_path, name="Food101")
    assert str(caught.value) == (
        f"{path}: damaged ('list' object has no attribute 'items')\n"
        "   delete it and run the command again"
    )


def test_the_catalogue_agrees_with_torchvision() -> None:
    sets = pytest.importorskip("torchvision.datasets")
    assert list(FLOWER_NAMES) == sets.Flowers102.classes
    assert {
        (f.path.rpartition("/")[2], f.md5) for f in IMAGE_FOLDER_SETS["Flowers102"].files
    } == set(sets.Flowers102._file_dict.values())
    for size, known in IMAGENETTE.items():
        assert (known.files[0].addresses[0], known.files[0].md5) == sets.Imagenette._ARCHIVES[size]
        assert list(known.class_names) == [
            sets.Imagenette._WNID_TO_CLASS[wnid][0] for wnid in sorted(WNIDS)
        ]
    food = IMAGE_FOLDER_SETS["Food101"].files[0]
    assert (food.addresses[0], food.md5) == (sets.Food101._URL, sets.Food101._MD5)
    assert [(f.addresses[0], f.md5) for f in IMAGE_FOLDER_SETS["OxfordIIITPet"].files] == list(
        sets.OxfordIIITPet._RESOURCES
    )
