"""Torchvision: each file format, downloaded from a local server or added by hand, and refusals."""

from __future__ import annotations

import gzip
import hashlib
import io
import struct
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sepcnn.data.dataset import Dataset, InMemorySplit
from sepcnn.data.sources.base import Request
from sepcnn.data.sources.published import array_catalogue
from sepcnn.data.sources.published.array_catalogue import ARRAY_SETS, EMNIST
from sepcnn.data.sources.published.array_sets import ArraySet, CifarSet
from sepcnn.data.sources.published.download import PublishedFile, md5_of
from sepcnn.data.sources.torchvision_sets import Torchvision
from sepcnn.errors import DataError
from tests.conftest import SHARED_DATA
from tests.mirror import Mirror, closed_address

TRAIN, TEST = 40, 20
Content = dict[str, tuple[np.ndarray, np.ndarray]]


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


# ── small sets in the published formats ───────────────────────────────────────────────────────


def content(shape: tuple[int, int, int], classes: int) -> Content:
    random = np.random.default_rng(0)
    return {
        split: (
            random.integers(256, size=(count, *shape), dtype=np.uint8),
            np.arange(count, dtype=np.int64) % classes,
        )
        for split, count in (("train", TRAIN), ("test", TEST))
    }


def idx(array: np.ndarray) -> bytes:
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(np.uint8).tobytes()


def idx_files(found: Content) -> list[bytes]:
    return [idx(a) for images, labels in found.values() for a in (images[..., 0], labels)]


def mnist_files(found: Content) -> list[bytes]:
    return [gzip.compress(file, mtime=0) for file in idx_files(found)]


def emnist_files(found: Content, part: str, first: int) -> list[bytes]:
    stored = {s: (images.swapaxes(1, 2), labels + first) for s, (images, labels) in found.items()}
    kinds = ("images-idx3", "labels-idx1")
    names = [f"gzip/emnist-{part}-{s}-{kind}-ubyte.gz" for s in found for kind in kinds]
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for name, file in zip(names, mnist_files(stored), strict=True):
            archive.writestr(name, file)
    return [written.getvalue()]


def tar(files: dict[str, bytes]) -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w:gz") as archive:
        for name, one in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(one)
            archive.addfile(member, io.BytesIO(one))
    return written.getvalue()


def planes(images: np.ndarray) -> np.ndarray:
    return images.transpose(0, 3, 1, 2).reshape(len(images), -1)


def cifar_files(found: Content, known: CifarSet) -> list[bytes]:
    files = {}
    for split, names in known.members.items():
        images, labels = (np.array_split(array, len(names)) for array in found[split])
        for name, some, numbers in zip(names, images, labels, strict=True):
            coarse = [numbers * 0 + 7] * (known.label_bytes - 1)
            records = np.column_stack([*coarse, numbers, planes(some)]).astype(np.uint8)
            files[f"{known.folder}/{name}"] = records.tobytes()
    return [tar(files)]


def stl_files(found: Content) -> list[bytes]:
    files = {"stl10_binary/unlabeled_X.bin": b"not wanted"}
    for split, (images, labels) in found.items():
        by_columns = images.transpose(0, 3, 2, 1)
        files[f"stl10_binary/{split}_X.bin"] = by_columns.tobytes()
        files[f"stl10_binary/{split}_y.bin"] = (labels + 1).astype(np.uint8).tobytes()
    return [tar(files)]


def svhn_files(found: Content) -> list[bytes]:
    io_matlab = pytest.importorskip("scipy.io")
    files = []
    for images, labels in found.values():
        written = io.BytesIO()
        tens = np.where(labels == 0, 10, labels).astype(np.uint8)[:, None]
        arrays = {"X": images.transpose(1, 2, 3, 0), "y": tens}
        io_matlab.savemat(written, arrays, do_compression=True)
        files.append(written.getvalue())
    return files


def files_of(name: str, split: str | None, found: Content) -> list[bytes]:
    known = EMNIST[split] if split else ARRAY_SETS[name]
    if isinstance(known, CifarSet):
        return cifar_files(found, known)
    if split:
        return emnist_files(found, split, 1 if split == "letters" else 0)
    return {"STL10": stl_files, "SVHN": svhn_files}.get(name, mnist_files)(found)


SMALL = [(name, None) for name in ARRAY_SETS if name != "EMNIST"] + [
    ("EMNIST", part) for part in EMNIST
]


class Published:
    """A small data set with its own hashes in the catalogue, and its files on a mirror."""

    def __init__(self, name: str, split: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
        self.name, self.split, self.monkeypatch = name, split, monkeypatch
        self.known: ArraySet = EMNIST[split] if split else ARRAY_SETS[name]
        self.content = content(self.known.shape, len(self.known.class_names))
        written = files_of(name, split, self.content)
        self.files = {
            remote.path: file for remote, file in zip(self.known.files, written, strict=True)
        }

    def at(self, *addresses: str) -> None:
        """Publish it at these mirrors."""
        remotes = tuple(
            PublishedFile(
                path, hashlib.md5(file).hexdigest(), len(file), tuple(a + path for a in addresses)
            )
            for path, file in self.files.items()
        )
        known = replace(self.known, files=remotes, counts={"train": TRAIN, "test": TEST})
        table: dict[str, Any] = EMNIST if self.split else ARRAY_SETS
        self.monkeypatch.setitem(table, self.split or self.name, known)

    def put(self, root: Path) -> None:
        """The files, put there by hand."""
        for path, file in self.files.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(file)

    def source(self, root: Path | None, **fields: Any) -> Torchvision:
        fields |= {"split": self.split} if self.split else {}
        return Torchvision.model_validate({"name": self.name, "root": root, **fields})

    def assert_read(self, dataset: Dataset) -> None:
        assert dataset.class_names == self.known.class_names
        assert dataset.val is None
        for split in ("train", "test"):
            part = dataset.split(split)
            batch = part.read(torch.arange(len(part)))
            np.testing.assert_array_equal(batch.images.numpy(), self.content[split][0])
            np.testing.assert_array_equal(batch.labels.numpy(), self.content[split][1])


def ask(source: Torchvision, shape: tuple[int, int, int], validation: float = 0.0) -> Dataset:
    return source.open(Request(shape, validation, 0))


def complaint(action: Callable[[], object]) -> str:
    with pytest.raises(DataError) as caught:
        action()
    return str(caught.value)


@pytest.fixture
def mnist(monkeypatch: pytest.MonkeyPatch) -> Published:
    return Published("MNIST", None, monkeypatch)


@pytest.fixture
def cifar10(monkeypatch: pytest.MonkeyPatch) -> Published:
    return Published("CIFAR10", None, monkeypatch)


@pytest.mark.parametrize(("name", "split"), SMALL)
def test_a_set_is_downloaded_once_and_read(
    name: str, split: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = Published(name, split, monkeypatch)
    with Mirror(small.files) as mirror:
        small.at(mirror.address)
        small.assert_read(ask(small.source(tmp_path), small.known.shape))
    assert sorted(path for path, _ in mirror.requests) == sorted(small.files)
    again = ask(small.source(tmp_path, download=False), small.known.shape)
    small.assert_read(again)


@pytest.mark.parametrize(("name", "split"), SMALL)
def test_files_added_by_hand(
    name: str, split: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = Published(name, split, monkeypatch)
    small.at(closed_address())
    small.put(tmp_path)
    small.assert_read(ask(small.source(tmp_path), small.known.shape))


def test_files_are_in_the_cache_folder_by_default(
    mnist: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with Mirror(mnist.files) as mirror:
        mnist.at(mirror.address)
        mnist.assert_read(ask(mnist.source(None), (28, 28, 1)))
    assert (tmp_path / "sepcnn" / "datasets" / "MNIST" / "raw").is_dir()


def test_progress_is_reported_in_images(mnist: Published, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    with Mirror(mnist.files) as mirror:
        mnist.at(mirror.address)
        request = Request((28, 28, 1), 0.0, 0, lambda done, total: seen.append((done, total)))
        mnist.source(tmp_path).open(request)
    assert seen == sorted(seen)
    assert seen[-1] == (TRAIN + TEST, TRAIN + TEST)


def test_validation_is_held_out_of_each_class(mnist: Published, tmp_path: Path) -> None:
    mnist.at(closed_address())
    mnist.put(tmp_path)
    dataset = ask(mnist.source(tmp_path), (28, 28, 1), validation=0.25)
    assert {name: len(split) for name, split in dataset.splits().items()} == {
        "train": 30,
        "val": 10,
        "test": 20,
    }
    assert dataset.val is not None
    assert dataset.val.labels.bincount().tolist() == [1] * 10


def test_other_sizes_and_channels(mnist: Published, tmp_path: Path) -> None:
    mnist.at(closed_address())
    mnist.put(tmp_path)
    dataset = ask(mnist.source(tmp_path, resize="letterbox"), (56, 100, 3), validation=0.25)
    for split in dataset.splits().values():
        images = split.read(torch.arange(5)).images
        assert images.shape == (5, 56, 100, 3)
        assert not images[:, :, :22].any()
        assert torch.equal(images[..., 0], images[..., 2])


# ── folders of torchvision ────────────────────────────────────────────────────────────────────


def test_mnist_unpacked_by_torchvision(mnist: Published, tmp_path: Path) -> None:
    mnist.at(closed_address())
    for path, file in zip(mnist.files, idx_files(mnist.content), strict=True):
        unpacked = (tmp_path / path).with_suffix("")
        unpacked.parent.mkdir(parents=True, exist_ok=True)
        unpacked.write_bytes(file)
    mnist.assert_read(ask(mnist.source(tmp_path), (28, 28, 1)))


def test_emnist_unpacked_by_torchvision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = Published("EMNIST", "letters", monkeypatch)
    small.at(closed_address())
    (tmp_path / "EMNIST" / "raw").mkdir(parents=True)
    with zipfile.ZipFile(io.BytesIO(small.files["EMNIST/raw/gzip.zip"])) as archive:
        for name in archive.namelist():
            unpacked = tmp_path / "EMNIST" / "raw" / Path(name).stem
            unpacked.write_bytes(gzip.decompress(archive.read(name)))
    small.assert_read(ask(small.source(tmp_path), (28, 28, 1)))


def python2_pickle(images: np.ndarray, labels: np.ndarray, key: str) -> bytes:
    """A batch as written by cPickle of Python 2 with protocol 2, as in the files of CIFAR."""

    def text(value: bytes) -> bytes:
        short = len(value) < 256
        return (
            b"U" + bytes([len(value)]) if short else b"T" + struct.pack("<i", len(value))
        ) + value

    def number(value: int) -> bytes:
        return b"K" + bytes([value]) if value < 256 else b"M" + struct.pack("<H", value)

    array = b"".join(
        [
            b"cnumpy.core.multiarray\n_reconstruct\nq\x05cnumpy\nndarray\nq\x06",
            number(0) + b"\x85" + text(b"b") + b"\x87Rq\x07(" + number(1),
            number(len(images)) + number(planes(images).shape[1]) + b"\x86q\x08",
            b"cnumpy\ndtype\nq\x09" + text(b"u1") + number(0) + number(1) + b"\x87Rq\x0a(",
            number(3)
            + text(b"|")
            + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xff"
            + number(0)
            + b"tb\x89",
            text(planes(images).tobytes()) + b"tb",
        ]
    )
    listed = b"]q\x0b(" + b"".join(map(number, labels.tolist())) + b"e"
    names = b"]q\x0c(" + b"".join(text(b"%05d.png" % n) for n in range(len(images))) + b"e"
    coarse = b"]q\x0d(" + b"".join(number(9) for _ in labels) + b"e"
    return b"".join(
        [
            b"\x80\x02}q\x01(" + text(b"batch_label") + text(b"training batch 1 of 5"),
            text(key.encode()) + b"q\x04" + listed + text(b"coarse_labels") + coarse,
            text(b"data") + array + text(b"filenames") + names + b"u.",
        ]
    )


@pytest.mark.parametrize("name", ["CIFAR10", "CIFAR100"])
def test_pickled_cifar_files_are_read_without_unpickling(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = Published(name, None, monkeypatch)
    known = small.known
    assert isinstance(known, CifarSet)
    folder = tmp_path / known.pickled_folder
    folder.mkdir()
    pickled = {}
    for split, files in known.pickled.items():
        parts = (np.array_split(array, len(files)) for array in small.content[split])
        for (file, _), images, labels in zip(files, *parts, strict=True):
            (folder / file).write_bytes(python2_pickle(images, labels, known.label_key))
        pickled[split] = tuple((file, md5_of(folder / file)) for file, _ in files)
    small.known = replace(known, pickled=pickled)
    small.at(closed_address())
    small.assert_read(ask(small.source(tmp_path), (32, 32, 3)))
    path = folder / known.pickled["test"][0][0]
    path.write_bytes(b"cos\nsystem\n(S'echo bad'\ntR.")
    message = complaint(lambda: ask(small.source(tmp_path), (32, 32, 3)))
    assert message == (
        f"{path}: not the published file: its md5 is {md5_of(path)}, "
        f"not {pickled['test'][0][1]}; it is text, 'cos'\n"
        "   delete it to download it again with download: true"
    )


def test_the_written_pickle_can_be_unpickled() -> None:
    """The pickle module reads the same content."""
    import pickle

    random = np.random.default_rng(0)
    images = random.integers(256, size=(3, 32, 32, 3), dtype=np.uint8)
    found = pickle.loads(python2_pickle(images, np.arange(3), "labels"), encoding="latin1")
    np.testing.assert_array_equal(found["data"], planes(images))
    assert found["labels"] == [0, 1, 2]
    assert found["filenames"] == ["00000.png", "00001.png", "00002.png"]


# ── refusals ──────────────────────────────────────────────────────────────────────────────────


def test_without_a_network_the_hint_lists_the_files(cifar10: Published, tmp_path: Path) -> None:
    address = closed_address()
    cifar10.at(address)
    md5 = hashlib.md5(cifar10.files["cifar-10-binary.tar.gz"]).hexdigest()
    assert complaint(lambda: ask(cifar10.source(tmp_path), (32, 32, 3))) == (
        "cifar-10-binary.tar.gz could not be downloaded\n"
        f"   {address}cifar-10-binary.tar.gz: connection refused\n"
        "   without a network, add these files by hand\n"
        f"   {tmp_path}/cifar-10-binary.tar.gz  (md5 {md5})"
    )


def test_with_download_false_the_hint_lists_the_files(mnist: Published, tmp_path: Path) -> None:
    mnist.at(closed_address())
    mnist.put(tmp_path)
    lost = tmp_path / "MNIST" / "raw" / "t10k-labels-idx1-ubyte.gz"
    md5 = md5_of(lost)
    lost.unlink()
    assert complaint(lambda: ask(mnist.source(tmp_path, download=False), (28, 28, 1))) == (
        f"{tmp_path}: files of MNIST are missing\n"
        "   set download: true, or root to their folder; or add these files by hand\n"
        f"   {lost}  (md5 {md5})"
    )


@pytest.mark.parametrize("name", ["MNIST", "EMNIST", "CIFAR10", "OxfordIIITPet", "ImageNet"])
def test_a_root_that_cannot_be_read(name: str, tmp_path: Path) -> None:
    root = tmp_path / ("x" * 300)
    source = Torchvision(name=name, root=root)
    assert complaint(lambda: ask(source, (28, 28, 1))) == f"{root}: file name too long"


def test_a_damaged_file_is_refused(mnist: Published, tmp_path: Path) -> None:
    mnist.at(closed_address())
    mnist.put(tmp_path)
    path = tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte.gz"
    published_md5 = md5_of(path)
    path.write_bytes(path.read_bytes()[:-1])
    message = complaint(lambda: ask(mnist.source(tmp_path), (28, 28, 1)))
    assert message == (
        f"{path}: not the published file: its md5 is {md5_of(path)}, not {published_md5}; "
        "it is a gzip archive\n"
        "   delete it to download it again with download: true"
    )


@pytest.mark.parametrize(
    ("damaged", "message"),
    [
        (b"", "not an IDX file of uint8 values"),
        (bytes([0, 0, 13, 3]) + bytes(12), "not an IDX file of uint8 values"),
        (idx(np.zeros((2, 28, 28)))[:-1], "found 1567 values, expected 2×28×28"),
    ],
)
def test_unpacked_files_that_are_damaged(
    mnist: Published, tmp_path: Path, damaged: bytes, message: str
) -> None:
    mnist.at(closed_address())
    mnist.put(tmp_path)
    path = tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte"
    path.with_suffix(".gz").unlink()
    path.write_bytes(damaged)
    assert complaint(lambda: ask(mnist.source(tmp_path), (28, 28, 1))) == f"{path}: {message}"


def test_unpacked_files_of_another_set(mnist: Published, tmp_path: Path) -> None:
    mnist.at(closed_address())
    mnist.put(tmp_path)
    path = tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte"
    path.with_suffix(".gz").unlink()
    path.write_bytes(idx(np.zeros((2, 28, 28))))
    assert complaint(lambda: ask(mnist.source(tmp_path), (28, 28, 1))) == (
        f"{tmp_path}: the train images are 2×28×28×1, with 40 labels\n"
        "   expected 40×28×28×1: delete the files to download them again"
    )


@pytest.mark.parametrize("kept", [0, -1, -3073], ids=["empty", "a-byte", "an-image"])
def test_a_truncated_unpacked_file(cifar10: Published, tmp_path: Path, kept: int) -> None:
    cifar10.at(closed_address())
    cifar10.put(tmp_path)
    ask(cifar10.source(tmp_path), (32, 32, 3))
    path = tmp_path / "cifar-10-batches-bin" / "data_batch_5.bin"
    path.write_bytes(path.read_bytes()[:kept])
    message = complaint(lambda: ask(cifar10.source(tmp_path), (32, 32, 3)))
    if kept == -3073:
        assert message == (
            f"{tmp_path}: the train images are {TRAIN - 1}×32×32×3, with {TRAIN - 1} labels\n"
            f"   expected {TRAIN}×32×32×3: delete the files to download them again"
        )
    else:
        size = path.stat().st_size
        assert message == f"{path}: {size} bytes are not a multiple of 3073, the size of a record"


def test_missing_scipy_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    source = Torchvision(name="SVHN", root=tmp_path, download=False)
    assert complaint(lambda: ask(source, (32, 32, 3))) == (
        "SVHN is published as MATLAB files, which need scipy\n   pip install 'sepcnn[datasets]'"
    )


def test_two_channels_are_refused() -> None:
    assert complaint(lambda: Torchvision(name="MNIST").check((28, 28, 4))) == (
        "expected 1 or 3 channels for MNIST, but model.input_shape has 4\n"
        "   write input_shape: [28, 28, 1]"
    )


# ── the catalogue and real files ──────────────────────────────────────────────────────────────


def test_the_catalogue_agrees_with_torchvision() -> None:
    sets = pytest.importorskip("torchvision.datasets")
    for name in ("MNIST", "FashionMNIST", "KMNIST"):
        assert [(Path(file.path).name, file.md5) for file in ARRAY_SETS[name].files] == getattr(
            sets, name
        ).resources
    assert EMNIST["balanced"].files[0].md5 == sets.EMNIST.md5
    for part, known in EMNIST.items():
        theirs = sets.EMNIST.classes_split_dict[part]
        assert [name for name in theirs if name != "N/A"] == list(known.class_names)
    assert [(f.path, f.md5) for f in ARRAY_SETS["SVHN"].files] == [
        tuple(sets.SVHN.split_list[split][1:]) for split in ("train", "test")
    ]
    assert ARRAY_SETS["STL10"].files[0].md5 == sets.STL10.tgz_md5
    for known in (array_catalogue.CIFAR10, array_catalogue.CIFAR100):
        theirs = getattr(sets, "CIFAR10" if known is array_catalogue.CIFAR10 else "CIFAR100")
        assert known.pickled_folder == theirs.base_folder
        assert [list(file) for file in known.pickled["train"]] == theirs.train_list
        assert [list(file) for file in known.pickled["test"]] == theirs.test_list
        assert known.label_key in (theirs.meta["key"].replace("_label_names", "_labels"), "labels")


def test_the_catalogue_is_complete() -> None:
    for known in (*ARRAY_SETS.values(), *EMNIST.values()):
        assert len(set(known.class_names)) == len(known.class_names)
        assert all(len(file.md5) == 32 and file.addresses for file in known.files)
    assert [len(known.class_names) for known in ARRAY_SETS.values()] == [
        10,
        100,
        10,
        10,
        10,
        47,
        10,
        10,
    ]
    assert list(array_catalogue.CIFAR100.class_names) == sorted(
        array_catalogue.CIFAR100.class_names
    )


@pytest.mark.parametrize(
    ("name", "mean", "std"), [("MNIST", 0.1307, 0.3081), ("FashionMNIST", 0.2860, 0.3530)]
)
def test_the_real_files(name: str, mean: float, std: float) -> None:
    if not (SHARED_DATA / name / "raw").is_dir():
        pytest.skip(f"the files of {name} are not in {SHARED_DATA}")
    dataset = ask(Torchvision(name=name, root=SHARED_DATA, download=False), (28, 28, 1))
    assert isinstance(dataset.train, InMemorySplit)
    assert dataset.test is not None
    assert (len(dataset.train), len(dataset.test)) == (60_000, 10_000)
    pixels = dataset.train.images.double() / 255
    assert (round(pixels.mean().item(), 4), round(pixels.std().item(), 4)) == (mean, std)
    assert (
        dataset.test.labels[:5].tolist() == [7, 2, 1, 0, 4] if name == "MNIST" else [9, 2, 1, 1, 6]
    )
