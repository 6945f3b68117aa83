"""``sepcnn preview``: the picture, its labels, and its errors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sepcnn.config import loading
from sepcnn.preview import contact_sheet
from tests.cli.conftest import Invoke
from tests.runs import write_config


def test_a_picture_of_the_training_images(tmp_path: Path, invoke: Invoke) -> None:
    path, out = write_config(tmp_path), tmp_path / "seen.png"
    code, said, error = invoke("preview", path, "--out", out, "--count", 3)
    assert (code, said, error) == (0, f"{out}: 24 pictures of 127 train images\n", "")
    with Image.open(out) as picture:
        assert picture.format == "PNG"
        # Eight columns of 12 × 9 = 108 pixels, three rows.
        assert picture.width > 8 * 108
        assert 3 * 108 < picture.height < picture.width
        pixels = np.asarray(picture)
    again = tmp_path / "again.png"
    assert invoke("preview", path, "--out", again, "--count", 3)[0] == 0
    assert np.array_equal(np.asarray(Image.open(again)), pixels)


def test_each_row_shows_an_image_as_stored_and_augmented(tmp_path: Path) -> None:
    read = loading.load_config(write_config(tmp_path), ["data.augment=[RandomFlip: horizontal]"])
    dataset = read.open_data()
    rows = contact_sheet.augmented_views(read, dataset.train, dataset.class_names, 4)
    assert [len(row) for row in rows] == [8] * 4
    for stored, *seen in rows:
        ways = {view.pixels.tobytes() for view in seen}
        assert ways == {stored.pixels.tobytes(), stored.pixels[:, ::-1].tobytes()}
        assert {view.lines for view in seen} == {stored.lines}
        red, green, blue = stored.pixels.reshape(-1, 3).mean(0).tolist()
        names = {red: "red", green: "green", blue: "blue"}
        assert stored.lines == (names[max(red, green, blue)],)


def test_mixed_images_have_both_labels(tmp_path: Path) -> None:
    read = loading.load_config(write_config(tmp_path), ["data.augment=[MixUp: 1]"])
    dataset = read.open_data()
    rows = contact_sheet.augmented_views(read, dataset.train, dataset.class_names, 8)
    lines = [view.lines for row in rows for view in row[1:]]
    mixed = [pair for pair in lines if len(pair) == 2]
    assert len(mixed) > 20
    for first, second in mixed:
        (one, share), (other, rest) = (line.removesuffix(" %").split() for line in (first, second))
        assert one != other
        assert int(share) + int(rest) == 100
        assert int(share) >= int(rest)


def test_other_splits_are_not_augmented(tmp_path: Path, invoke: Invoke) -> None:
    path, out = write_config(tmp_path), tmp_path / "seen.png"
    code, said, _ = invoke("preview", path, "--out", out, "--count", 10, "--split", "test")
    assert (code, said) == (0, f"{out}: 10 pictures of 30 test images\n")
    read = loading.load_config(path)
    dataset = read.open_data()
    assert dataset.test is not None
    rows = contact_sheet.views(read, dataset.test, dataset.class_names, 10)
    assert [len(row) for row in rows] == [8, 2]
    stored = {image.numpy().tobytes() for image in dataset.test.read(torch.arange(30)).images}
    assert all(view.pixels.tobytes() in stored for row in rows for view in row)


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("size", [(5, 3), (300, 240)], ids=str)
def test_any_channels_and_sizes_are_drawn(channels: int, size: tuple[int, int]) -> None:
    pixels = np.full((*size, channels), 200, np.uint8)
    view = contact_sheet.View(pixels, ("a name that is much too long for the width of an image",))
    picture = contact_sheet.draw([[view, view], [view]], (), "title")
    assert picture.mode == "RGB"
    assert picture.width < 700


@pytest.mark.parametrize("count", [1, 3, 4, 5, 9, 300])
def test_each_class_is_shown_if_there_is_room(count: int) -> None:
    """A hundred images of one class, and one image of each other class."""
    labels = torch.tensor([2] * 100 + [0, 1, 3, 4])
    found = [contact_sheet.random_order(labels, count, seed) for seed in range(20)]
    for order in found:
        assert order.sort().values.tolist() == list(range(104))
        assert len(labels[order[:count]].unique()) == min(count, 5)
    assert len({tuple(order.tolist()) for order in found}) == 20


def test_the_output_must_be_a_png_file(tmp_path: Path, invoke: Invoke) -> None:
    code, _, error = invoke("preview", write_config(tmp_path), "--out", tmp_path / "x.txt")
    assert (code, error) == (
        2,
        f"error: --out {tmp_path / 'x.txt'} is not the name of a PNG file\n"
        "   use a name such as preview.png\n",
    )


def test_a_file_that_cannot_be_written(tmp_path: Path, invoke: Invoke) -> None:
    path, out = write_config(tmp_path), tmp_path / "absent" / "seen.png"
    code, _, error = invoke("preview", path, "--out", out)
    assert code == 1
    assert error == f"error: {out} could not be written: no such file or directory\n"


def test_a_missing_split(tmp_path: Path, invoke: Invoke) -> None:
    path = write_config(tmp_path)
    code, _, error = invoke("preview", path, "--split", "val", "--set", "data.validation=0")
    assert code != 0
    assert "the data set has no 'val' split, only train, test" in error
