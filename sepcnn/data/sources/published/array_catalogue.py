"""Published data sets of arrays: addresses, sizes and MD5 of their files.

MD5 and paths are from ``torchvision.datasets`` 0.29; for the binary archives of CIFAR they are from
the page of the authors, https://www.cs.toronto.edu/~kriz/cifar.html.
"""

from __future__ import annotations

import string

from sepcnn.data.sources.published.array_sets import (
    TEST,
    TRAIN,
    ArraySet,
    CifarSet,
    EmnistSet,
    IdxSet,
    StlSet,
    SvhnSet,
)
from sepcnn.data.sources.published.download import PublishedFile

DIGITS = tuple(string.digits)
GREY, COLOUR = (28, 28, 1), (32, 32, 3)
IDX_KINDS = ("images-idx3", "labels-idx1")


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _idx_set(
    folder: str, class_names: tuple[str, ...], mirrors: tuple[str, ...], *files: tuple[str, int]
) -> IdxSet:
    names = [f"{part}-{kind}-ubyte.gz" for part in ("train", "t10k") for kind in IDX_KINDS]
    remotes = tuple(
        PublishedFile(f"{folder}/raw/{name}", md5, size, tuple(mirror + name for mirror in mirrors))
        for name, (md5, size) in zip(names, files, strict=True)
    )
    counts = {TRAIN: 60_000, TEST: 10_000}
    return IdxSet(shape=GREY, class_names=class_names, counts=counts, files=remotes)


MNIST = _idx_set(
    "MNIST",
    DIGITS,
    (
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
        "http://yann.lecun.com/exdb/mnist/",
    ),
    ("f68b3c2dcbeaaa9fbdd348bbdeb94873", 9_912_422),
    ("d53e105ee54ea40749a09fcbcd1e9432", 28_881),
    ("9fb629c4189551a2d022fa330f9573f3", 1_648_877),
    ("ec29112dd5afa0611ce80d1b7f02629c", 4_542),
)
FASHION_MNIST = _idx_set(
    "FashionMNIST",
    (
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ),
    (
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    ),
    ("8d4fb7e6c68d591d4c3dfef9ec88bf0d", 26_421_880),
    ("25c81989df183df01b3e8a0aad5dffbe", 29_515),
    ("bef4ecab320f06d8554ea6380940ec79", 4_422_102),
    ("bb300cfdad3c16e7a12a480ee83cd310", 5_148),
)
KMNIST = _idx_set(
    "KMNIST",
    ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
    ("http://codh.rois.ac.jp/kmnist/dataset/kmnist/",),
    ("bdb82020997e1d708af4cf47b453dcf7", 18_165_135),
    ("e144d726b3acfaa3e44228e80efcd344", 29_497),
    ("5c965bf0a639b31b8f53240b1b52f4d7", 3_041_136),
    ("7320c461ea6c1c855c0b718fb2a4b134", 5_120),
)

# Lower-case letters that look like their capitals share the class of the capital.
_MERGED = tuple(sorted(set(string.digits + string.ascii_letters) - set("cijklmopsuvwxyz")))
_EMNIST_FILE = PublishedFile(
    "EMNIST/raw/gzip.zip",
    "58c8d27c78d21e728a6bc7b3cc06412e",
    561_753_746,
    (
        "https://biometrics.nist.gov/cs_links/EMNIST/gzip.zip",
        "https://www.itl.nist.gov/iaui/vip/cs_links/EMNIST/gzip.zip",
    ),
)


def _emnist(part: str, class_names: tuple[str, ...], train: int, test: int) -> EmnistSet:
    return EmnistSet(
        part=part,
        shape=GREY,
        class_names=class_names,
        counts={TRAIN: train, TEST: test},
        files=(_EMNIST_FILE,),
        first_label=1 if part == "letters" else 0,
    )


EMNIST: dict[str, EmnistSet] = {
    "balanced": _emnist("balanced", _MERGED, 112_800, 18_800),
    "byclass": _emnist(
        "byclass", tuple(sorted(string.digits + string.ascii_letters)), 697_932, 116_323
    ),
    "bymerge": _emnist("bymerge", _MERGED, 697_932, 116_323),
    "letters": _emnist("letters", tuple(string.ascii_lowercase), 124_800, 20_800),
    "digits": _emnist("digits", DIGITS, 240_000, 40_000),
    "mnist": _emnist("mnist", DIGITS, 60_000, 10_000),
}

CIFAR10 = CifarSet(
    shape=COLOUR,
    class_names=_names("airplane automobile bird cat deer dog frog horse ship truck"),
    counts={TRAIN: 50_000, TEST: 10_000},
    files=(
        PublishedFile(
            "cifar-10-binary.tar.gz",
            "c32a1d4ab5d03f1284b67883e8d87530",
            170_052_171,
            ("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",),
        ),
    ),
    folder="cifar-10-batches-bin",
    members={
        TRAIN: tuple(f"data_batch_{number}.bin" for number in range(1, 6)),
        TEST: ("test_batch.bin",),
    },
    label_bytes=1,
    pickled_folder="cifar-10-batches-py",
    pickled={
        TRAIN: (
            ("data_batch_1", "c99cafc152244af753f735de768cd75f"),
            ("data_batch_2", "d4bba439e000b95fd0a9bffe97cbabec"),
            ("data_batch_3", "54ebc095f3ab1f0389bbae665268c751"),
            ("data_batch_4", "634d18415352ddfa80567beed471001a"),
            ("data_batch_5", "482c414d41f54cd18b22e5b47cb7c3cb"),
        ),
        TEST: (("test_batch", "40351d587109b95175f43aff81a1287e"),),
    },
    label_key="labels",
)
CIFAR100 = CifarSet(
    shape=COLOUR,
    class_names=_names(
        """
        apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus
        butterfly camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch
        crab crocodile cup dinosaur dolphin elephant flatfish forest fox girl hamster house kangaroo
        keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle mountain
        mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain
        plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk
        skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone
        television tiger tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm
        """
    ),
    counts={TRAIN: 50_000, TEST: 10_000},
    files=(
        PublishedFile(
            "cifar-100-binary.tar.gz",
            "03b5dce01913d631647c71ecec9e9cb8",
            168_513_733,
            ("https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",),
        ),
    ),
    folder="cifar-100-binary",
    members={TRAIN: ("train.bin",), TEST: ("test.bin",)},
    label_bytes=2,
    pickled_folder="cifar-100-python",
    pickled={
        TRAIN: (("train", "16019d7e3df5f24257cddd939b257f8d"),),
        TEST: (("test", "f0ef6b0ae62326f3e7ffdfab6717acfc"),),
    },
    label_key="fine_labels",
)
SVHN = SvhnSet(
    shape=COLOUR,
    class_names=DIGITS,
    counts={TRAIN: 73_257, TEST: 26_032},
    files=tuple(
        PublishedFile(name, md5, size, (f"http://ufldl.stanford.edu/housenumbers/{name}",))
        for name, md5, size in (
            ("train_32x32.mat", "e26dedcc434d2e4c54c9b2d4a06d8373", 182_040_794),
            ("test_32x32.mat", "eb5a983be6a315427106f1b164d9cef3", 64_275_384),
        )
    ),
)
STL10 = StlSet(
    shape=(96, 96, 3),
    class_names=_names("airplane bird car cat deer dog horse monkey ship truck"),
    counts={TRAIN: 5_000, TEST: 8_000},
    files=(
        PublishedFile(
            "stl10_binary.tar.gz",
            "91f7769df0f17e558f3565bffb0c7dfb",
            2_640_397_119,
            (
                "http://ai.stanford.edu/~acoates/stl10/stl10_binary.tar.gz",
                "https://cs.stanford.edu/~acoates/stl10/stl10_binary.tar.gz",
            ),
        ),
    ),
    folder="stl10_binary",
    members={TRAIN: ("train_X.bin", "train_y.bin"), TEST: ("test_X.bin", "test_y.bin")},
)

ARRAY_SETS: dict[str, ArraySet] = {
    "CIFAR10": CIFAR10,
    "CIFAR100": CIFAR100,
    "MNIST": MNIST,
    "FashionMNIST": FASHION_MNIST,
    "KMNIST": KMNIST,
    "EMNIST": EMNIST["balanced"],
    "SVHN": SVHN,
    "STL10": STL10,
}
