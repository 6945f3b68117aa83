"""Arrays: accepted files, and refusals with their full messages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from sepcnn.data.dataset import Dataset
from sepcnn.data.sources.arrays import Arrays
from sepcnn.data.sources.base import Request
from sepcnn.errors import ConfigError, DataError
from sepcnn.language.spec import Context, read_spec, to_plain
from sepcnn.language.yaml_reader import parse
from tests.conftest import SHARED_DATA

SHAPE = (4, 5, 3)
CIFAR10 = SHARED_DATA / "cifar10" / "cifar10_original_order_103_jpeg_test.npz"
READABLE = "\n   write it with numpy.savez; pickled objects are not read"

Loaded = NDArray[Any]


def images(count: int = 12, shape: tuple[int, ...] = SHAPE, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(256, size=(count, *shape), dtype=np.uint8)


def labels(count: int = 12, classes: int = 3) -> NDArray[np.int64]:
    return np.arange(count) % classes


def npz(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


def npy(path: Path, array: Loaded) -> Path:
    np.save(path, array)
    return path


def arrays(**fields: Any) -> Arrays:
    return Arrays.model_validate({name: to_plain(value) for name, value in fields.items()})


def opened(
    source: Arrays,
    shape: tuple[int, int, int] = SHAPE,
    validation: float = 0.25,
    split_seed: int = 0,
) -> Dataset:
    return source.open(Request(shape, validation, split_seed))


def content(dataset: Dataset, split: str) -> tuple[Loaded, Loaded]:
    part = dataset.split(split)
    batch = part.read(torch.arange(len(part)))
    pixels, numbers = batch.images, batch.labels
    assert (pixels.dtype, numbers.dtype) == (torch.uint8, torch.int64)
    return pixels.numpy(), numbers.numpy()


def assert_holds(dataset: Dataset, split: str, x: Loaded, y: Loaded) -> None:
    pixels, numbers = content(dataset, split)
    np.testing.assert_array_equal(pixels, x)
    np.testing.assert_array_equal(numbers, y)


def complaint(source: Arrays, shape: tuple[int, int, int] = SHAPE) -> str:
    with pytest.raises(DataError) as caught:
        opened(source, shape)
    return str(caught.value)


# ── accepted files ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("x_name", "y_name"),
    [("x_train", "y_train"), ("x", "y"), ("images", "labels"), ("x_train", "labels")],
)
def test_one_file_with_training_images(tmp_path: Path, x_name: str, y_name: str) -> None:
    path = npz(tmp_path / "a.npz", **{x_name: images(), y_name: labels()})
    for source in (arrays(path=path), arrays(train=path)):
        assert_holds(opened(source, validation=0.0), "train", images(), labels())


@pytest.mark.parametrize("val", ["val", "valid", "validation"])
def test_one_file_with_all_splits(tmp_path: Path, val: str) -> None:
    parts = {name: images(6, seed=seed) for seed, name in enumerate(("train", val, "test"))}
    stored = {f"x_{name}": x for name, x in parts.items()}
    stored |= {f"y_{name}": labels(6) for name in parts}
    dataset = opened(arrays(path=npz(tmp_path / "all.npz", **stored)))
    assert list(dataset.splits()) == ["train", "val", "test"]
    for split, x in zip(("train", "val", "test"), parts.values(), strict=True):
        assert_holds(dataset, split, x, labels(6))


def test_one_file_per_split(tmp_path: Path) -> None:
    parts = {name: images(6, seed=seed) for seed, name in enumerate(("train", "val", "test"))}
    files = {name: npz(tmp_path / f"{name}.npz", x=x, y=labels(6)) for name, x in parts.items()}
    dataset = opened(arrays(**files))
    for split, x in parts.items():
        assert_holds(dataset, split, x, labels(6))


def test_a_pair_of_npy_files(tmp_path: Path) -> None:
    pair = [npy(tmp_path / "x.npy", images()), npy(tmp_path / "y.npy", labels())]
    dataset = opened(arrays(train=pair, test=pair), validation=0.0)
    assert_holds(dataset, "train", images(), labels())
    assert_holds(dataset, "test", images(), labels())


def test_a_compressed_file(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", x=images(), y=labels())
    dataset = opened(arrays(path=tmp_path / "a.npz"), validation=0.0)
    assert_holds(dataset, "train", images(), labels())


def test_grey_images_need_no_channel_axis(tmp_path: Path) -> None:
    path = npz(tmp_path / "grey.npz", x=images(shape=(4, 5)), y=labels())
    dataset = opened(arrays(path=path), (4, 5, 1), validation=0.0)
    assert_holds(dataset, "train", images(shape=(4, 5))[..., None], labels())


@pytest.mark.parametrize(
    "stored",
    [labels()[:, None], labels().astype(np.uint8), labels().astype(">i4"), labels().astype("u8")],
    ids=["column", "uint8", "big-endian", "uint64"],
)
def test_accepted_labels(tmp_path: Path, stored: Loaded) -> None:
    dataset = opened(arrays(path=npz(tmp_path / "a.npz", x=images(), y=stored)), validation=0.0)
    assert_holds(dataset, "train", images(), labels())


@pytest.mark.parametrize("key", ["class_names", "classes", "label_names"])
@pytest.mark.parametrize("kind", ["U", "S"], ids=["text", "bytes"])
def test_class_names_are_read(tmp_path: Path, key: str, kind: str) -> None:
    names = np.array(["cat", "dog", "cow"], dtype=kind)
    path = npz(tmp_path / "a.npz", x=images(), y=labels(), **{key: names})
    assert opened(arrays(path=path)).class_names == ("cat", "dog", "cow")


def test_a_class_may_have_a_name_and_no_images(tmp_path: Path) -> None:
    path = npz(tmp_path / "a.npz", x=images(), y=labels(), classes=["a", "b", "c", "d"])
    assert opened(arrays(path=path)).class_names == ("a", "b", "c", "d")


def test_a_class_without_training_images_is_refused(tmp_path: Path) -> None:
    train = npz(tmp_path / "train.npz", x=images(), y=labels())
    test = npz(tmp_path / "test.npz", x=images(), y=labels(classes=5))
    assert complaint(arrays(train=train, test=test)) == (
        "train lacks classes: test has 3, 4\n"
        "   add training images, or remove those of the other split"
    )


def test_labels_counted_from_1_are_noted(tmp_path: Path) -> None:
    dataset = opened(arrays(path=npz(tmp_path / "a.npz", x=images(), y=labels() + 1)))
    assert dataset.notes == (
        "train has no images of 0: if labels are counted from 1, save labels - 1",
    )
    named = npz(tmp_path / "b.npz", x=images(), y=labels() + 1, class_names=["a", "b", "c"])
    assert complaint(arrays(path=named)).endswith(
        "\n   if labels are counted from 1, save labels - 1"
    )


def test_missing_classes_and_black_images_are_noted(tmp_path: Path) -> None:
    path = npz(tmp_path / "a.npz", x=images() // 255, y=labels() * 2)
    assert opened(arrays(path=path)).notes == (
        "train has no images of 1, 3: the model cannot learn them",
        "train: pixels are only 0 and 1, which is nearly black; if 1 is white, save images * 255",
    )


def test_other_arrays_are_ignored(tmp_path: Path) -> None:
    path = npz(tmp_path / "a.npz", x=images(), y=labels(), classes=np.float64(3), notes=["a", "b"])
    assert opened(arrays(path=path)).class_names == ("0", "1", "2")


def test_a_resolved_config_reads_back(tmp_path: Path) -> None:
    source = arrays(
        train=npz(tmp_path / "a.npz", x=images(), y=labels()),
        test=[tmp_path / "x.npy", tmp_path / "y.npy"],
    )
    assert Arrays.model_validate(to_plain(source)["Arrays"]) == source


# ── the validation split ──────────────────────────────────────────────────────────────────────


@pytest.fixture
def unsplit(tmp_path: Path) -> Arrays:
    return arrays(path=npz(tmp_path / "a.npz", x=images(120), y=labels(120)))


def test_validation_is_held_out_of_every_class(unsplit: Arrays) -> None:
    dataset = opened(unsplit, validation=0.25)
    (train_x, train_y), (val_x, val_y) = content(dataset, "train"), content(dataset, "val")
    assert np.bincount(train_y).tolist() == [30, 30, 30]
    assert np.bincount(val_y).tolist() == [10, 10, 10]
    found = sorted(image.tobytes() for image in np.concatenate([train_x, val_x]))
    assert found == sorted(image.tobytes() for image in images(120))


def test_the_split_seed_alone_decides_what_is_held_out(unsplit: Arrays) -> None:
    first, again, other = (opened(unsplit, split_seed=seed).summary() for seed in (0, 0, 1))
    assert first == again
    assert first["counts"] == other["counts"] == {"train": 90, "val": 30}
    assert first["fingerprint"] != other["fingerprint"]


def test_nothing_is_held_out_if_a_validation_split_exists(tmp_path: Path) -> None:
    stored = {"x_train": images(), "y_train": labels(), "x_val": images(6), "y_val": labels(6)}
    dataset = opened(arrays(path=npz(tmp_path / "a.npz", **stored)))
    assert dataset.summary()["counts"] == {"train": 12, "val": 6}


# ── refusals of files ─────────────────────────────────────────────────────────────────────────


def test_a_missing_file(tmp_path: Path) -> None:
    path = tmp_path / "none.npz"
    assert complaint(arrays(path=path)) == f"there is no file {path}\n   check the path"


def test_a_missing_file_of_a_pair(tmp_path: Path) -> None:
    pair = [npy(tmp_path / "x.npy", images()), tmp_path / "y.npy"]
    assert complaint(arrays(train=pair)) == f"there is no file {pair[1]}\n   check the path"


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", "empty (0 bytes); download or copy it again"),
        (b"x,y\n1,2\n", "text, 'x,y'"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer; run git lfs pull"),
    ],
    ids=["empty", "text", "lfs"],
)
def test_a_file_that_is_not_a_numpy_file(tmp_path: Path, content: bytes, kind: str) -> None:
    path = tmp_path / "table.npz"
    path.write_bytes(content)
    assert complaint(arrays(path=path)) == f"{path}: not a NumPy file: it is {kind}{READABLE}"


def test_a_folder(tmp_path: Path) -> None:
    reason = f"[Errno 21] Is a directory: '{tmp_path}'"
    expected = f"{tmp_path}: not a readable NumPy file ({reason}){READABLE}"
    assert complaint(arrays(path=tmp_path)) == expected


def test_a_truncated_file(tmp_path: Path) -> None:
    path = npz(tmp_path / "a.npz", x=images(), y=labels())
    path.write_bytes(path.read_bytes()[:-40])
    expected = f"{path}: not a readable NumPy file (File is not a zip file){READABLE}"
    assert complaint(arrays(path=path)) == expected


def test_a_damaged_byte(tmp_path: Path) -> None:
    path = npz(tmp_path / "a.npz", x=images(), y=labels())
    content = bytearray(path.read_bytes())
    content[content.index(images().tobytes()) + 100] ^= 1
    path.write_bytes(content)
    reason = "Bad CRC-32 for file 'x.npy'"
    expected = f"{path}: not a readable NumPy file ({reason}){READABLE}"
    assert complaint(arrays(path=path)) == expected


def test_any_damage_of_a_compressed_file_is_a_data_error(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez_compressed(path, x=images(), y=labels())
    whole = path.read_bytes()
    numbers = np.random.default_rng(0)
    refused = 0
    for place in numbers.integers(len(whole), size=200):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        try:
            opened(arrays(path=path))
        except DataError:
            refused += 1
    # The others hit bytes that are not read, such as the time in the directory of the zip file.
    assert refused > 150


def test_pickled_objects(tmp_path: Path) -> None:
    path = npz(tmp_path / "a.npz", x=np.array([images(1), "text"], dtype=object), y=labels(2))
    reason = "Object arrays cannot be loaded when allow_pickle=False"
    expected = f"{path}: not a readable NumPy file ({reason}){READABLE}"
    assert complaint(arrays(path=path)) == expected


def test_a_single_npy_file(tmp_path: Path) -> None:
    path = npy(tmp_path / "x.npy", images())
    assert complaint(arrays(train=path)) == (
        f"{path}: a .npy file has images or labels, not both\n   give the pair [x.npy, LABELS.npy]"
    )


def test_a_pair_of_npz_files(tmp_path: Path) -> None:
    pair = [npz(tmp_path / f"{name}.npz", x=images(), y=labels()) for name in "ab"]
    assert complaint(arrays(train=pair)) == (
        f"{pair[0]}: a .npz file cannot be part of a pair\n"
        "   give a single .npz file, or the pair [images.npy, labels.npy]"
    )


# ── refusals of arrays ────────────────────────────────────────────────────────────────────────

WRONG_IMAGES = "images must be uint8 N×H×W×C or N×H×W, found"
WRONG_LABELS = "labels must be integers of shape N, found"
ONE_HOT = "\n   these are one-hot labels: save labels.argmax(axis=1)"
FROM_0 = "\n   labels start at 0"


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        pytest.param(
            images() / 255,
            labels(),
            f"{WRONG_IMAGES} float64 of shape 12×4×5×3\n   pixels are 0 … 1: "
            "save (images * 255).round().astype('uint8')",
            id="float-images",
        ),
        pytest.param(
            images().reshape(12, -1),
            labels(),
            f"{WRONG_IMAGES} uint8 of shape 12×60\n   save images.reshape(-1, 4, 5, 3)",
            id="flat-images",
        ),
        pytest.param(
            np.uint8(3),
            labels(),
            f"{WRONG_IMAGES} a single uint8\n   save one array of images of one size, N×H×W×C",
            id="no-images-but-one",
        ),
        pytest.param(
            images(),
            np.eye(3)[labels()],
            f"{WRONG_LABELS} float64 of shape 12×3{ONE_HOT}",
            id="one-hot",
        ),
        pytest.param(
            images(),
            labels().astype(np.float32),
            f"{WRONG_LABELS} float32 of shape 12\n   save labels.astype('int64')",
            id="float-labels",
        ),
        pytest.param(
            images(),
            np.array(["cat"] * 12),
            f"{WRONG_LABELS} <U3 of shape 12\n   save class_names, y = np.unique(labels, "
            "return_inverse=True), as two arrays",
            id="text-labels",
        ),
        pytest.param(
            images(),
            labels() == 1,
            f"{WRONG_LABELS} bool of shape 12\n"
            "   save labels.astype('uint8'): False is class 0, True is class 1",
            id="bool-labels",
        ),
        pytest.param(
            images(),
            np.ones((12, 3), int),
            f"{WRONG_LABELS} int64 of shape 12×3\n"
            "   some images have several labels or none: save one class number per image",
            id="several-labels",
        ),
        pytest.param(
            labels(),
            images(),
            "images are int64 of shape 12, and labels are uint8 of shape 12×4×5×3\n"
            "   swap them: images come first",
            id="swapped",
        ),
        pytest.param(
            images(shape=(3, 4, 5)) / np.float32(127.5) - 1,
            labels(),
            f"{WRONG_IMAGES} float32 of shape 12×3×4×5\n   pixels are -1 … 1: save "
            "((images.transpose(0, 2, 3, 1) + 1) * 127.5).round().astype('uint8')",
            id="channels-first-floats",
        ),
        pytest.param(
            images(),
            labels(11),
            "12 images, but 11 labels\n   save one class number per image",
            id="lengths",
        ),
        pytest.param(images(0), labels(0), "there are no images", id="none"),
        pytest.param(
            images(),
            labels() - 1,
            f"a label is -1{FROM_0}; if -1 is no label (4 labels), "
            "keep the images with labels >= 0",
            id="negative",
        ),
        pytest.param(
            images(),
            labels() + 3_000_000_000,
            "a label is 3000000002, but at most 1000000 classes are allowed\n"
            "   labels are class numbers from 0: save np.unique(labels, return_inverse=True)[1]",
            id="too-many-classes",
        ),
        pytest.param(
            images(shape=(5, 4, 3)),
            labels(),
            "images are 5, 4, 3, but model.input_shape is [4, 5, 3]\n"
            "   write input_shape: [5, 4, 3]",
            id="shape",
        ),
    ],
)
def test_invalid_arrays_are_refused(tmp_path: Path, x: Loaded, y: Loaded, message: str) -> None:
    path = npz(tmp_path / "a.npz", x=x, y=y)
    assert complaint(arrays(path=path)) == f"{path}: {message}"


def test_images_without_labels(tmp_path: Path) -> None:
    path = npz(tmp_path / "a.npz", x_train=images(), z=labels())
    assert complaint(arrays(train=path)) == (
        f"{path}: no labels for train\n   expected one of y_train, y, labels; found x_train, z"
    )


def test_a_file_without_its_split(tmp_path: Path) -> None:
    train = npz(tmp_path / "a.npz", x=images(), y=labels())
    val = npz(tmp_path / "b.npz", x_train=images(), y_train=labels())
    assert complaint(arrays(train=train, val=val)) == (
        f"{val}: no images for val\n"
        "   expected one of x_val, x_valid, x_validation, x, images; found x_train, y_train"
    )


def test_one_file_without_training_images(tmp_path: Path) -> None:
    path = npz(tmp_path / "a.npz", x_test=images(), y_test=labels())
    expected = f"{path}: there are no training images\n   store x_train and y_train"
    assert complaint(arrays(path=path)) == expected


def test_a_label_without_a_name(tmp_path: Path) -> None:
    path = npz(tmp_path / "a.npz", x=images(), y=labels(), class_names=["cat", "dog"])
    expected = f"{path}: label 2 has no name: the file has 2 class names{FROM_0}"
    assert complaint(arrays(path=path)) == expected


def test_a_single_class(tmp_path: Path) -> None:
    path = npz(tmp_path / "a.npz", x=images(), y=labels(classes=1))
    expected = f"{path}: there is only one class, '0'\n   a classifier needs at least two"
    assert complaint(arrays(path=path)) == expected
    assert complaint(arrays(train=path)) == expected


def test_a_repeated_class_name(tmp_path: Path) -> None:
    path = npz(tmp_path / "a.npz", x=images(), y=labels(), classes=["cat", "dog", "cat"])
    assert complaint(arrays(path=path)) == f"{path}: classes has the same name twice"


@pytest.mark.parametrize("name", [b"caf\xe9", "caf\udce9"], ids=["bytes", "text"])
def test_names_that_are_not_utf_8(tmp_path: Path, name: str | bytes) -> None:
    names = np.array([name, type(name)(), name + name])
    path = npz(tmp_path / "a.npz", x=images(), y=labels(), class_names=names)
    expected = (
        f"{path}: class_names are not UTF-8\n"
        "   save them as text, for example np.array(['cat', 'dog'])"
    )
    assert complaint(arrays(path=path)) == expected


def test_files_with_class_names_in_another_order(tmp_path: Path) -> None:
    train, test = (
        npz(tmp_path / f"{split}.npz", x=images(), y=labels(), class_names=names)
        for split, names in (("train", ["a", "b", "c"]), ("test", ["a", "c", "b"]))
    )
    expected = (
        f"{test}: the class names differ from those of {train}\n"
        "   give all files the same names in the same order"
    )
    assert complaint(arrays(train=train, test=test)) == expected


# ── refusals of the config ────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "give either 'path' or 'train'"),
        ("{path: a.npz, train: b.npz}", "give either 'path' or 'train'"),
        ("{path: a.npz, test: b.npz}", "with 'path', all splits are read from that file"),
        ("{train: []}", "expected a file, or [images.npy, labels.npy], found []"),
        ("{train: [a, b, c]}", "expected a file, or [images.npy, labels.npy], found [a, b, c]"),
        ("{train: 3}", "expected a path, found 3"),
    ],
    ids=["neither", "both", "path-and-test", "no-file", "three-files", "number"],
)
def test_invalid_fields_are_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_spec(Arrays, parse(text, "c.yaml"), Context(Path()))
    assert [problem.message for problem in caught.value.problems] == [message]


def test_paths_are_relative_to_the_config(tmp_path: Path) -> None:
    source = read_spec(Arrays, parse("{train: [x.npy, data/y.npy]}", "c.yaml"), Context(tmp_path))
    assert source.train == (tmp_path / "x.npy", tmp_path / "data" / "y.npy")


# ── real data ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.skipif(not CIFAR10.exists(), reason=f"there is no {CIFAR10}")
def test_cifar_10(tmp_path: Path) -> None:
    with np.load(CIFAR10) as file:
        x, y = file["x_test"], file["y_test"]
    train = npz(tmp_path / "train.npz", x_train=x[:1000], y_train=y[:1000])
    dataset = opened(arrays(train=train, test=CIFAR10), (32, 32, 3), validation=0.1)
    assert dataset.class_names == (
        *("airplane", "automobile", "bird", "cat", "deer"),
        *("dog", "frog", "horse", "ship", "truck"),
    )
    assert_holds(dataset, "test", x, y)
    assert dataset.split("test").labels.bincount().tolist() == [1000] * 10
    assert len(dataset.split("train")) + len(dataset.split("val")) == 1000


def test_channels_first_images_have_a_hint(tmp_path: Path) -> None:
    path = tmp_path / "first.npz"
    np.savez(path, x=np.zeros((4, 3, 32, 32), np.uint8), y=np.arange(4) % 2)
    source = Arrays.model_validate({"train": str(path)}, context=Context(folder=tmp_path))
    with pytest.raises(DataError) as caught:
        source.open(Request((32, 32, 3), 0.0, 0))
    assert str(caught.value) == (
        f"{path}: images are 3, 32, 32, but model.input_shape is [32, 32, 3]\n"
        "   channels must come last: save images.transpose(0, 2, 3, 1)"
    )
