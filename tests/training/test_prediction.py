"""Prediction from files, images of Pillow and arrays."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from torch.nn import functional

from sepcnn.backends.folding import folded
from sepcnn.config.config import Config
from sepcnn.config.loading import load_config
from sepcnn.data import threads
from sepcnn.data.dataset import Dataset
from sepcnn.errors import DataError
from sepcnn.nn.model import Net, build
from sepcnn.training import evaluation
from sepcnn.training.prediction import Predictor
from tests.pictures import picture
from tests.runs import LAYERS, write_config

FOLDER = "{path: photos, resize: letterbox, stored_size: [16, 18]}"


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return load_config(write_config(tmp_path))


@pytest.fixture
def net(config: Config) -> Net:
    return build(config.graph(3), seed=1)


@pytest.fixture
def dataset(config: Config) -> Dataset:
    return config.open_data()


@pytest.fixture
def predictor(net: Net, config: Config) -> Predictor:
    return Predictor(net.eval(), ("red", "green", "blue"), config)


def of_photos(folder: Path, channels: int = 3) -> Predictor:
    """An untrained predictor for photos in a letterbox, stored larger than the input."""
    path = folder / "photos.yaml"
    path.write_text(
        f"model:\n  input_shape: [12, 12, {channels}]\n  layers:\n{LAYERS}"
        f"data:\n  source:\n    Folder: {FOLDER}\n"
        "train: {epochs: 1, batch_size: 8, device: cpu}\n"
    )
    config = load_config(path)
    return Predictor(build(config.graph(3), seed=1).eval(), ("a", "b", "c"), config)


def probabilities_of_pixels(predictor: Predictor, pixels: np.ndarray) -> np.ndarray:
    """The probabilities of uint8 [N, 12, 12, C], computed without the code that is tested."""
    with torch.no_grad():
        logits = predictor.model.logits(torch.tensor(pixels).permute(0, 3, 1, 2).float())
    found: np.ndarray = functional.softmax(logits, dim=1).numpy()
    return found


def test_predictor(net: Net, config: Config, dataset: Dataset) -> None:
    predictor = Predictor(net.eval(), dataset.class_names, config)
    images = dataset.train.read(torch.arange(5)).images.numpy()
    probabilities = predictor.predict(images)
    assert probabilities.shape == (5, 3)
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-6)
    assert predictor.predict(images[:0]).shape == (0, 3)
    mirrored = predictor.predict(images[..., ::-1])  # a view with negative strides, as of OpenCV
    np.testing.assert_array_equal(mirrored, predictor.predict(images[..., ::-1].copy()))


def test_predictor_of_a_folded_net(net: Net, config: Config, dataset: Dataset) -> None:
    images = dataset.train.read(torch.arange(64)).images
    for _ in range(20):  # which move the statistics
        net.train().logits(evaluation.to_input(images))
    predictor = Predictor(net.eval(), dataset.class_names, config)
    expected = predictor.predict(images.numpy())
    predictor.model = folded(net)
    assert "batch_normalization.weight" not in predictor.model.state_dict()
    np.testing.assert_allclose(predictor.predict(images.numpy()), expected, rtol=0, atol=1e-6)


def test_arrays_of_the_input_shape_are_used_unchanged(tmp_path: Path) -> None:
    predictor = of_photos(tmp_path)
    pixels = np.random.default_rng(0).integers(0, 256, (5, 12, 12, 3), dtype=np.uint8)
    expected = probabilities_of_pixels(predictor, pixels)
    np.testing.assert_array_equal(predictor.predict(pixels), expected)
    np.testing.assert_array_equal(predictor.predict(list(pixels)), expected)
    np.testing.assert_array_equal(predictor.predict(torch.from_numpy(pixels)), expected)  # type: ignore[arg-type]
    pixels.flags.writeable = False
    np.testing.assert_array_equal(predictor.predict(pixels), expected)


def test_batches_are_the_same_in_every_form(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation, "PIXELS_PER_BATCH", 3 * 12 * 12)
    predictor = of_photos(tmp_path)
    pixels = np.random.default_rng(0).integers(0, 256, (8, 12, 12, 3), dtype=np.uint8)
    parts = [probabilities_of_pixels(predictor, pixels[i : i + 3]) for i in (0, 3, 6)]
    for images in (pixels, list(pixels), iter(pixels)):
        np.testing.assert_array_equal(predictor.predict(images), np.concatenate(parts))


def save_photo(folder: Path, suffix: str, orientation: int) -> Path:
    """A photo that is large enough for a JPEG to be decoded at a fraction of its size."""
    path = folder / f"photo{suffix}"
    exif = Image.Exif()
    exif[0x0112] = orientation
    photo = picture("red", 3, (200, 120))
    photo.save(path, exif=exif, **({"lossless": True} if suffix == ".webp" else {}))
    return path


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_a_path_and_the_image_opened_from_it_give_the_same(
    tmp_path: Path, suffix: str, orientation: int
) -> None:
    predictor = of_photos(tmp_path)
    path = save_photo(tmp_path, suffix, orientation)
    source, shape = predictor.config.data.source, predictor.config.model.input_shape
    pixels = source.read_image(path, shape)
    (expected,) = probabilities_of_pixels(predictor, pixels[None])
    np.testing.assert_array_equal(predictor.predict(path), expected)
    np.testing.assert_array_equal(predictor.predict(str(path)), expected)
    with Image.open(path) as image:
        np.testing.assert_array_equal(predictor.predict(image), expected)
        np.testing.assert_array_equal(predictor.predict(image), expected)
        size = image.size
        image.load()  # still works, at the same size
        assert image.size == size
    from_bytes = Image.open(io.BytesIO(path.read_bytes()))
    np.testing.assert_array_equal(predictor.predict(from_bytes), expected)


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif"])
def test_a_decoded_image_and_an_upright_array_give_the_same(tmp_path: Path, suffix: str) -> None:
    predictor = of_photos(tmp_path)
    path = save_photo(tmp_path, suffix, 6)
    expected = predictor.predict(path)
    with Image.open(path) as image:
        upright = np.asarray(ImageOps.exif_transpose(image))
        decoded = image.copy()
    np.testing.assert_array_equal(predictor.predict(decoded), expected)
    np.testing.assert_array_equal(predictor.predict(upright), expected)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "HSV", "I;16"])
def test_images_of_every_mode_are_read_as_their_file(
    tmp_path: Path, mode: str, channels: int
) -> None:
    predictor = of_photos(tmp_path, channels)
    photo = picture("green", 2, (30, 20)).convert("RGBA")
    photo.putalpha(Image.linear_gradient("L").resize(photo.size))
    if mode == "I;16":
        image = Image.fromarray(np.arange(600, dtype=np.uint16).reshape(20, 30) * 100)
    else:
        image = (photo.convert("RGB") if mode in ("CMYK", "HSV") else photo).convert(mode)
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    (image.convert("RGB") if mode == "HSV" else image).save(path)
    np.testing.assert_array_equal(predictor.predict(image), predictor.predict(path))
    if mode in ("L", "LA", "RGB", "RGBA"):
        array = np.asarray(image)
        np.testing.assert_array_equal(predictor.predict(array), predictor.predict(path))


def test_one_image_gives_one_row_and_a_list_gives_rows(tmp_path: Path) -> None:
    predictor = of_photos(tmp_path)
    path = save_photo(tmp_path, ".png", 1)
    array = np.asarray(picture("blue", 1, (31, 17)))
    assert predictor.predict(path).shape == (3,)
    assert predictor.predict([path]).shape == (1, 3)
    assert predictor.predict(array).shape == (3,)
    assert predictor.predict(array[..., 0]).shape == (3,)
    assert predictor.predict(array[None]).shape == (1, 3)
    assert predictor.predict([]).shape == (0, 3)
    with Image.open(path) as image:
        mixed = predictor.predict([str(path), image, array, array[..., :1], path])
    assert mixed.shape == (5, 3)
    np.testing.assert_array_equal(mixed[0], mixed[1])
    np.testing.assert_allclose(mixed[2], predictor.predict(array), rtol=1e-5)
    np.testing.assert_array_equal(predictor.predict(tmp_path.glob("*.png")).shape, (1, 3))
    names = np.array([str(path), str(path)])
    assert predictor.predict(names).shape == (2, 3)  # type: ignore[arg-type]


def test_the_same_image_twice(tmp_path: Path) -> None:
    predictor = of_photos(tmp_path)
    with Image.open(save_photo(tmp_path, ".jpg", 6)) as image:
        rows = predictor.predict([image] * 40)
    np.testing.assert_allclose(rows, rows[:1].repeat(40, 0), rtol=1e-6)


def test_arrays_of_several_bands(tmp_path: Path) -> None:
    predictor = of_photos(tmp_path, channels=5)
    bands = np.random.default_rng(0).integers(0, 256, (20, 30, 5), dtype=np.uint8)
    first, *others = (Image.fromarray(band) for band in bands.transpose(2, 0, 1))
    first.save(tmp_path / "a.tif", save_all=True, append_images=others)
    expected = predictor.predict(tmp_path / "a.tif")
    np.testing.assert_array_equal(predictor.predict(bands), expected)
    with pytest.raises(ValueError, match=r"^expected uint8 H×W×5 or N×H×W×5, found uint8 20×30×3"):
        predictor.predict(bands[..., :3])


def zeros(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.uint8)


COLOURED = "expected uint8 H×W, H×W×C or N×H×W×C, found "


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (
            np.full((2, 12, 12, 3), 0.5, np.float32),
            f"{COLOURED}float32 2×12×12×3\n"
            "   values are from 0.5 to 0.5: use (images * 255).round().astype('uint8')",
        ),
        (
            np.full((12, 12, 3), 7.5),
            f"{COLOURED}float64 12×12×3\n"
            "   values are from 7.5 to 7.5: use .round().astype('uint8')",
        ),
        (
            np.full((12, 12), -1.5),
            f"{COLOURED}float64 12×12\n   values are from -1.5 to -1.5: "
            "give pixels from 0 to 255 as uint8, before any normalisation",
        ),
        (
            np.full((12, 12), 300),
            f"{COLOURED}int64 12×12\n   values are from 300 to 300: "
            "give pixels from 0 to 255 as uint8, before any normalisation",
        ),
        (
            np.full((12, 12), 30),
            f"{COLOURED}int64 12×12\n   values are from 30 to 30: use .astype('uint8')",
        ),
        (
            np.zeros((12, 12), bool),
            f"{COLOURED}bool 12×12\n   use .astype('uint8') * 255",
        ),
        (
            zeros(3, 12, 12),
            f"{COLOURED}uint8 3×12×12\n   channels come last: use .transpose(1, 2, 0)",
        ),
        (
            zeros(2, 3, 12, 12),
            f"{COLOURED}uint8 2×3×12×12\n   channels come last: use .transpose(0, 2, 3, 1)",
        ),
        (
            torch.zeros(2, 1, 12, 12),
            f"{COLOURED}float32 2×1×12×12\n   channels come last: use .permute(0, 2, 3, 1)\n"
            "   values are from 0 to 0: use (images * 255).round().to(torch.uint8)",
        ),
        (
            zeros(7, 12, 12),
            f"{COLOURED}uint8 7×12×12\n   for grey images N×H×W use images[..., None]",
        ),
        (zeros(12), f"{COLOURED}uint8 12"),
        (zeros(0, 12, 3), f"{COLOURED}uint8 0×12×3"),
        (np.uint8(3), f"{COLOURED}uint8 number"),
        ([zeros(12, 12, 3), zeros(2, 12, 12, 3)], "expected uint8 H×W or H×W×C, found uint8 2×12"),
        (torch.zeros(12, 12, requires_grad=True), "give tensors as .detach().cpu()"),
        (torch.zeros(12, 12, dtype=torch.bfloat16), "give tensors as .detach().cpu()"),
    ],
)
def test_arrays_that_are_no_images(predictor: Predictor, images: Any, message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        predictor.predict(images)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (b"abc", "expected an image, found bytes\n   open the bytes of a file with PIL.Image.open"),
        (io.BytesIO(), "expected an image, found BytesIO\n   open the file with PIL.Image.open"),
        (None, "expected an image, found NoneType\n   give a path, an image of Pillow or a"),
        ([None], "expected an image, found NoneType\n"),
        ({"a": 1}, "expected an image, found dict\n"),
        ([[1, 2], [3, 4]], "expected an image, found list\n   give one list of images"),
    ],
)
def test_other_types(predictor: Predictor, images: Any, message: str) -> None:
    with pytest.raises(TypeError) as caught:
        predictor.predict(images)
    assert str(caught.value).startswith(message)


def test_files_that_cannot_be_read(predictor: Predictor, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^there is no file none\.png"):
        predictor.predict(["none.png"])
    (tmp_path / "text.png").write_text("text")
    with pytest.raises(DataError, match=r"text\.png"):
        predictor.predict(tmp_path / "text.png")
    with pytest.raises(DataError, match="is a folder\n   give its files"):
        predictor.predict(tmp_path)
    with pytest.raises(DataError, match="file name too long"):
        predictor.predict("a" * 300)
    with pytest.raises(DataError, match="the image has no pixels"):
        predictor.predict(Image.new("RGB", (0, 5)))
    path = save_photo(tmp_path, ".jpg", 1)
    with Image.open(path) as image:
        pass
    with pytest.raises(DataError, match="closed before its pixels were read"):
        predictor.predict(image)
    cut = tmp_path / "cut.jpg"
    cut.write_bytes(path.read_bytes()[:900])
    with Image.open(cut) as image, pytest.raises(DataError, match=r"cut\.jpg: "):
        predictor.predict(image)


def test_results_keep_the_order_of_the_images(predictor: Predictor, tmp_path: Path) -> None:
    path = save_photo(tmp_path, ".png", 1)
    images = [path, "none.png", *[path] * 300, "none2.png"]
    rows = list(predictor.predict_each(images))
    assert len(rows) == 303
    wrong = [index for index, row in enumerate(rows) if isinstance(row, DataError)]
    assert wrong == [1, 302]


def test_images_are_read_while_results_are_used(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation, "PIXELS_PER_BATCH", 4 * 12 * 12)
    taken = 0

    def images() -> Any:
        nonlocal taken
        for _ in range(10_000):
            taken += 1
            yield zeros(12, 12, 3)

    results = predictor.predict_each(images())
    next(results)
    queued = threads.QUEUED_PER_THREAD * threads.processor_count()
    assert taken <= 4 + queued + 1
    results.close()  # type: ignore[attr-defined]
