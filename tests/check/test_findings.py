"""What is found of classes, files, layers, memory and the step, one by one."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sepcnn.check import CHECKS, findings, step
from sepcnn.config import loading
from sepcnn.data.files.inspection import upright_size
from tests.check.photos import NET, check, kinds, photo, subject_of, write_config, write_photos
from tests.conftest import CONFIGS

HEAD = """\
    - GlobalAveragePooling2D
    - Dense: {units: auto, activation: softmax}
"""


def test_uneven_and_small_classes(tmp_path: Path) -> None:
    write_photos(tmp_path / "photos", train__cat=30, train__dog=3, val__cat=3, val__dog=3)
    few, uneven = check(write_config(tmp_path))
    assert (few.kind, few.severity) == ("few_images", "warning")
    assert few.message == "dog (3) has fewer than 20 training images"
    assert (uneven.kind, uneven.severity) == ("imbalance", "warning")
    assert uneven.message == "cat has 10.0 × as many training images as dog (30 and 3)"


def test_nothing_to_validate_on(tmp_path: Path) -> None:
    write_photos(tmp_path / "photos", cat=30, dog=30)
    path = write_config(tmp_path)
    path.write_text(path.read_text().replace("data: {", "data: {validation: 0, "))
    (found,) = check(path)
    assert (found.kind, found.severity) == ("no_validation", "warning")
    assert found.message.startswith("there are no validation images")


def test_missing_classes(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (60, 32, 32, 3), dtype=np.uint8)
    labels = np.arange(60) % 2
    names = np.array(["cat", "dog", "fox"])
    arrays = {"x_test": images[:9] // 2, "y_test": np.zeros(9, int), "class_names": names}
    np.savez(tmp_path / "a.npz", x_train=images, y_train=labels, **arrays)
    found = check(write_config(tmp_path, "{Arrays: a.npz}"))
    missing = [(one.severity, one.message) for one in found if one.kind == "missing_classes"]
    assert missing == [
        ("error", "train has no images of fox: they cannot be learnt"),
        ("warning", "val has no images of fox: nothing is measured of them"),
        ("warning", "test has no images of dog, fox: nothing is measured of them"),
    ]


def test_classes_that_differ_between_splits(tmp_path: Path) -> None:
    write_photos(tmp_path / "photos", train__cat=2, train__dog=2, val__cat=2)
    (found,) = check(write_config(tmp_path))
    assert (found.kind, found.severity) == ("data", "error")
    assert "val has no 'dog'" in found.message


def test_images_that_cannot_be_read_are_all_named(tmp_path: Path) -> None:
    root = write_photos(tmp_path / "photos", cat=30, dog=30)
    whole = (root / "cat" / "1.png").read_bytes()
    (root / "cat" / "1.png").write_bytes(whole[: len(whole) // 2])
    (root / "dog" / "2.png").write_text("no image")
    path = write_config(tmp_path)
    (found,) = check(path)
    assert (found.kind, found.severity) == ("unreadable", "error")
    assert re.fullmatch(
        r"2 images cannot be read; of the first: image file is truncated( \(.*\))?", found.message
    )
    assert set(found.files) == {str(root / "cat/1.png"), str(root / "dog/2.png")}
    path = write_config(tmp_path, "{Folder: {path: photos, skip_unreadable: true}}")
    assert kinds(check(path)) == [("unreadable", "warning")]


def test_sizes_and_colours(tmp_path: Path) -> None:
    root = write_photos(tmp_path / "photos", cat=25, dog=25)
    photo(100, (20, 20)).save(root / "cat" / "small.png")
    photo(101, (200, 40)).save(root / "cat" / "long.png")
    photo(102, grey=True).save(root / "dog" / "grey.png")
    turned = photo(103, (30, 40))
    turned.getexif()[0x0112] = 6
    turned.save(root / "dog" / "turned.jpg", exif=turned.getexif())
    found = {one.kind: one for one in check(write_config(tmp_path, shape="[30, 36, 3]"))}
    assert {kind: one.severity for kind, one in found.items()} == {
        "colour": "note",
        "small_images": "note",
        "cut_images": "note",
    }
    assert found["small_images"].message == (
        "1 of 54 images is smaller than the net's 30×36 and is enlarged (the smallest side: 20)"
    )
    assert found["cut_images"].message == (
        "1 of 54 images loses more than half to the cut to 30×36: only its middle is seen"
    )
    assert found["colour"].message == "1 of 54 images is grey, the others have colour"
    assert found["small_images"].files == (str(root / "cat/small.png"),)
    assert found["cut_images"].files == (str(root / "cat/long.png"),)
    assert found["colour"].files == (str(root / "dog/grey.png"),)


def test_with_bars_only_images_that_are_small_both_ways_are_enlarged(tmp_path: Path) -> None:
    root = write_photos(tmp_path / "photos", cat=25, dog=25)
    photo(100, (20, 20)).save(root / "cat" / "small.png")
    photo(101, (200, 20)).save(root / "cat" / "long.png")
    path = write_config(tmp_path, "{Folder: {path: photos, resize: letterbox}}")
    (found,) = check(path)
    assert (found.kind, found.files) == ("small_images", (str(root / "cat/small.png"),))


def test_an_orientation_that_means_nothing_turns_nothing(tmp_path: Path) -> None:
    image = photo(0, (40, 30))
    for orientation, size in ((1, (30, 40)), (3, (30, 40)), (6, (40, 30)), (9, (30, 40))):
        image.getexif()[0x0112] = orientation
        image.save(tmp_path / "a.jpg", exif=image.getexif())
        assert upright_size(tmp_path / "a.jpg") == size


def test_a_channel_too_many_or_too_few(tmp_path: Path) -> None:
    root = write_photos(tmp_path / "photos", cat=25, dog=25)
    (found,) = check(write_config(tmp_path, shape="[32, 32, 1]"))
    assert found.message == "the net takes grey images, but 50 images have colour"
    for path in root.rglob("*.png"):
        Image.open(path).convert("L").save(path)
    (found,) = check(write_config(tmp_path))
    assert found.message == "all images are grey, but the net takes 3 channels"
    assert found.hint == "input_shape: [32, 32, 1] does with less"


LAYERS = {
    "stem": "    - Conv2D: {filters: 4, kernel_size: 7, strides: 2, padding: same}\n"
    "    - MaxPooling2D: {pool_size: 3, strides: 2, padding: same}\n"
    "    - Conv2D: {filters: 4, kernel_size: 5, padding: same}\n",
    "receptive_field": "    - Conv2D: {filters: 4, kernel_size: 3, strides: 2, padding: same}\n"
    "    - Conv2D: {filters: 4, kernel_size: 3, padding: same}\n",
    "used_up": "    - Conv2D: {filters: 4, kernel_size: 3, padding: same}\n"
    + "    - MaxPooling2D: 2\n    - Conv2D: {filters: 4, kernel_size: 3, padding: same}\n" * 5,
}


@pytest.mark.parametrize("kind", LAYERS)
def test_layers_that_do_not_suit_the_images(kind: str, tmp_path: Path) -> None:
    layers = "    - Rescaling: 1/255\n" + LAYERS[kind] + HEAD
    path = write_config(tmp_path, "{Shapes: {train: 200, val: 50, test: 50}}", layers=layers)
    assert [one for one in kinds(check(path)) if one[0] == kind] == [(kind, "warning")]


def test_a_flattened_map_is_seen_as_a_whole(tmp_path: Path) -> None:
    layers = "    - Rescaling: 1/255\n" + LAYERS["receptive_field"]
    layers += HEAD.replace("GlobalAveragePooling2D", "Flatten")
    path = write_config(tmp_path, "{Shapes: {train: 200, val: 50, test: 50}}", layers=layers)
    assert "receptive_field" not in [one.kind for one in check(path)]


def test_weights_and_balanced_sampling_at_once(tmp_path: Path) -> None:
    write_photos(tmp_path / "photos", cat=30, dog=30)
    train = "batch_size: 8, device: cpu, class_weights: balanced, sampling: balanced"
    (found,) = check(write_config(tmp_path, train=train))
    assert (found.kind, found.severity) == ("imbalance", "warning")
    assert found.message.startswith("class_weights and sampling: balanced add up")


def test_the_step_is_tried_at_the_nets_own_size(tmp_path: Path) -> None:
    write_photos(tmp_path / "photos", cat=30, dog=30)
    growing = ["data.progressive_resizing={start: 1/2, until: 100%}"]
    settings = loading.load_config(write_config(tmp_path), growing)
    assert step.as_tried(settings).data.progressive_resizing is None
    *_, last = findings(subject_of(settings))
    assert (last.kind, last.severity) == ("step", "note")
    assert " steps take at most " in last.hint


@pytest.mark.parametrize("name", ["keras_sequential", "xception_mini", "mobilenet"])
def test_shipped_nets_suit_their_images(name: str) -> None:
    settings = loading.load_config(CONFIGS / f"{name}.yaml")
    subject = subject_of(
        loading.load_config(CONFIGS / "xception_mini.yaml", ["data.source.train=32"])
    )
    graph = settings.graph(settings.known_classes if name != "mobilenet" else 1000)
    subject = replace(subject, config=settings, graph=graph)
    for check_of_layers in ("stem", "used up", "receptive field"):
        assert list(CHECKS[check_of_layers](subject)) == []


def test_a_batch_of_everything(tmp_path: Path) -> None:
    write_photos(tmp_path / "photos", cat=30, dog=30)
    (found,) = check(write_config(tmp_path, train="batch_size: 100, device: cpu"))
    assert found.kind == "batch_size"
    assert found.message.startswith("batch_size 100 is more than the ")


def test_memory_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_photos(tmp_path / "photos", cat=30, dog=30)
    subject = subject_of(loading.load_config(write_config(tmp_path)))
    needed = step.memory_needed(subject)
    for factor, expected in ((2, None), (1.1, "warning"), (0.5, "error")):
        monkeypatch.setattr(step, "free_memory", lambda _, f=factor: int(needed * f))
        found = [one.severity for one in step.memory(subject)]
        assert found == ([expected] if expected else [])
        assert bool(list(step.one_step(subject))) == (expected != "error")


def test_a_step_that_diverges(tmp_path: Path) -> None:
    write_photos(tmp_path / "photos", cat=30, dog=30)
    train = "optimizer: {SGD: 1e30}, batch_size: 8, device: cpu, precision: float32"
    (found,) = check(write_config(tmp_path, train=train))
    assert (found.kind, found.severity) == ("step", "error")
    assert found.hint == "try a lower learning rate, and a Rescaling as first layer"


def test_a_net_without_weights(tmp_path: Path) -> None:
    write_photos(tmp_path / "photos", cat=30, dog=30)
    layers = NET.replace("kernel_size: 3,", "kernel_size: 3, trainable: false,")
    layers = layers.replace("units: auto,", "units: auto, trainable: false,")
    (found,) = check(write_config(tmp_path, layers=layers))
    assert found.message == "a step of training fails: no layer has weights to train"


def test_the_outputs_and_the_classes(tmp_path: Path) -> None:
    write_photos(tmp_path / "photos", cat=30, dog=30)
    found, *_ = check(write_config(tmp_path, layers=NET.replace("units: auto", "units: 7")))
    assert found.severity == "error"
    assert found.message.endswith("the net has 7 outputs, but the data has 2 classes")


def test_the_step_tells_how_long_a_run_takes(tmp_path: Path) -> None:
    write_photos(tmp_path / "photos", cat=30, dog=30)
    *_, last = findings(subject_of(loading.load_config(write_config(tmp_path))))
    assert (last.kind, last.severity) == ("step", "note")
    assert last.message.startswith("a step forward and back on 8 images works: loss ")
    assert last.hint.startswith("2 epochs of ")
    short = loading.load_config(write_config(tmp_path), ["train.epochs=1", "train.batch_size=60"])
    *_, last = findings(subject_of(short))
    assert last.hint.startswith("1 epoch of 1 step takes about ")
