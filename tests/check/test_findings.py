"""Each check of classes, files, layers, memory and training steps finds what it should."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sepcnn.check import CHECKS, findings, step
from sepcnn.config import loading
from sepcnn.data.inspection import upright_size
from tests.check.photos import NET, check, context_of, kinds, photo, write_config, write_photos
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


def test_no_validation_images(tmp_path: Path) -> None:
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
        ("error", "train has no images of fox: the model cannot learn it"),
        ("warning", "val has no images of fox: val metrics say nothing about it"),
        ("warning", "test has no images of dog, fox: test metrics say nothing about them"),
    ]


def test_classes_that_differ_between_splits(tmp_path: Path) -> None:
    write_photos(tmp_path / "photos", train__cat=2, train__dog=2, val__cat=2, val__fox=2)
    (found,) = check(write_config(tmp_path))
    assert (found.kind, found.severity) == ("data", "error")
    assert "train lacks classes: val has 'fox'" in found.message


def test_all_unreadable_images_are_listed(tmp_path: Path) -> None:
    root = write_photos(tmp_path / "photos", cat=30, dog=30)
    whole = (root / "cat" / "1.png").read_bytes()
    (root / "cat" / "1.png").write_bytes(whole[: len(whole) // 2])
    (root / "dog" / "2.png").write_text("no image")
    path = write_config(tmp_path)
    (found,) = check(path)
    assert (found.kind, found.severity) == ("unreadable", "error")
    reason = "the file is cut off; download or copy it again"
    assert found.message == f"2 images cannot be read (first error: {reason})"
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
        "1 of 54 images is smaller than the model's input of 30×36 and is enlarged "
        "(smallest side: 20 pixels)"
    )
    assert found["cut_images"].message == (
        "1 of 54 images loses more than half of its area in the crop to 30×36"
    )
    assert found["colour"].message == "1 of 54 images is grey, the others are in colour"
    assert found["small_images"].files == (str(root / "cat/small.png"),)
    assert found["cut_images"].files == (str(root / "cat/long.png"),)
    assert found["colour"].files == (str(root / "dog/grey.png"),)


def test_letterboxing_enlarges_only_images_with_both_sides_too_small(tmp_path: Path) -> None:
    root = write_photos(tmp_path / "photos", cat=25, dog=25)
    photo(100, (20, 20)).save(root / "cat" / "small.png")
    photo(101, (200, 20)).save(root / "cat" / "long.png")
    path = write_config(tmp_path, "{Folder: {path: photos, resize: letterbox}}")
    (found,) = check(path)
    assert (found.kind, found.files) == ("small_images", (str(root / "cat/small.png"),))


def test_unknown_exif_orientations_are_ignored(tmp_path: Path) -> None:
    image = photo(0, (40, 30))
    for orientation, size in ((1, (30, 40)), (3, (30, 40)), (6, (40, 30)), (9, (30, 40))):
        image.getexif()[0x0112] = orientation
        image.save(tmp_path / "a.jpg", exif=image.getexif())
        assert upright_size(tmp_path / "a.jpg") == size


def test_channels_that_do_not_suit_the_colours(tmp_path: Path) -> None:
    root = write_photos(tmp_path / "photos", cat=25, dog=25)
    (found,) = check(write_config(tmp_path, shape="[32, 32, 1]"))
    assert found.message == "the model takes grey images, but 50 images are in colour"
    for path in root.rglob("*.png"):
        Image.open(path).convert("L").save(path)
    (found,) = check(write_config(tmp_path))
    assert found.message == "all images are grey, but the model takes 3 channels"
    assert found.hint == "input_shape: [32, 32, 1] needs less computation"


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


def test_a_flattened_feature_map_has_no_receptive_field_finding(tmp_path: Path) -> None:
    layers = "    - Rescaling: 1/255\n" + LAYERS["receptive_field"]
    layers += HEAD.replace("GlobalAveragePooling2D", "Flatten")
    path = write_config(tmp_path, "{Shapes: {train: 200, val: 50, test: 50}}", layers=layers)
    assert "receptive_field" not in [one.kind for one in check(path)]


def test_class_weights_and_balanced_sampling_together(tmp_path: Path) -> None:
    write_photos(tmp_path / "photos", cat=30, dog=30)
    train = "batch_size: 8, device: cpu, class_weights: balanced, sampling: balanced"
    (found,) = check(write_config(tmp_path, train=train))
    assert (found.kind, found.severity) == ("imbalance", "warning")
    assert found.message.startswith("class_weights and sampling: balanced add up")


def test_the_trial_steps_use_the_full_image_size(tmp_path: Path) -> None:
    write_photos(tmp_path / "photos", cat=30, dog=30)
    growing = ["data.progressive_resizing={start: 1/2, until: 100%}"]
    settings = loading.load_config(write_config(tmp_path), growing)
    assert step.trial_config(settings).data.progressive_resizing is None
    *_, last = findings(context_of(settings))
    assert (last.kind, last.severity) == ("step", "note")
    assert " steps take at most " in last.hint


@pytest.mark.parametrize("name", ["keras_sequential", "xception_mini", "mobilenet"])
def test_shipped_models_suit_their_images(name: str) -> None:
    settings = loading.load_config(CONFIGS / f"{name}.yaml")
    context = context_of(
        loading.load_config(CONFIGS / "xception_mini.yaml", ["data.source.train=32"])
    )
    graph = settings.graph(settings.known_classes if name != "mobilenet" else 1000)
    context = replace(context, config=settings, graph=graph)
    for check_of_layers in ("stem", "single pixel", "receptive field"):
        assert list(CHECKS[check_of_layers](context)) == []


def test_a_batch_size_above_the_number_of_images(tmp_path: Path) -> None:
    write_photos(tmp_path / "photos", cat=30, dog=30)
    (found,) = check(write_config(tmp_path, train="batch_size: 100, device: cpu"))
    assert found.kind == "batch_size"
    assert found.message.startswith("batch_size 100 is larger than the training set of ")


def test_too_little_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_photos(tmp_path / "photos", cat=30, dog=30)
    context = context_of(loading.load_config(write_config(tmp_path)))
    needed = context.memory_needed
    for factor, expected in ((2, None), (1.1, "warning"), (0.5, "error")):
        monkeypatch.setattr(step, "free_memory", lambda _, f=factor: int(needed * f))
        found = [one.severity for one in step.memory(context)]
        assert found == ([expected] if expected else [])
        assert bool(list(step.training_steps(context))) == (expected != "error")


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
    assert found.message == "a training step fails: no layer has weights to train"


def test_outputs_that_do_not_match_the_classes(tmp_path: Path) -> None:
    write_photos(tmp_path / "photos", cat=30, dog=30)
    found, *_ = check(write_config(tmp_path, layers=NET.replace("units: auto", "units: 7")))
    assert found.severity == "error"
    assert found.message.endswith("the model has 7 outputs, but the data has 2 classes")


def test_the_step_finding_estimates_the_duration_of_the_run(tmp_path: Path) -> None:
    write_photos(tmp_path / "photos", cat=30, dog=30)
    *_, last = findings(context_of(loading.load_config(write_config(tmp_path))))
    assert (last.kind, last.severity) == ("step", "note")
    assert last.message.startswith("a training step on 8 images works: loss ")
    assert last.hint.startswith("2 epochs of ")
    short = loading.load_config(write_config(tmp_path), ["train.epochs=1", "train.batch_size=60"])
    *_, last = findings(context_of(short))
    assert last.hint.startswith("1 epoch of 1 step takes about ")
