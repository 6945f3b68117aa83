"""Models for two classes, most of them with one output, from training to prediction."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import sepcnn
from sepcnn.config.loading import load_config
from sepcnn.errors import ConfigError
from tests.cli.conftest import Invoke
from tests.runs import epochs, write_config

LAST = "model.layers[7]={Dense: {units: 1, activation: sigmoid}}"
LOSS = "train.loss=binary_crossentropy"


def write_two_colours(folder: Path) -> Path:
    """Write a config whose images are red or green, with twice as many red ones."""
    config = write_config(folder, epochs=8, optimizer="{Adam: 0.02}", precision="float32")
    random = np.random.default_rng(0)
    labels = np.arange(180) % 3 % 2
    images = random.integers(0, 160, (180, 12, 12, 3))
    images[np.arange(180), :, :, labels] += 60
    x, y = images.astype(np.uint8), labels
    arrays = {"x_train": x[:150], "y_train": y[:150], "x_test": x[150:], "y_test": y[150:]}
    np.savez(folder / "colours.npz", class_names=np.array(["red", "green"]), **arrays)
    return config


def images_of(folder: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    with np.load(folder / "colours.npz") as arrays:
        return arrays["x_test"], arrays["y_test"]


def accuracy_of(run: Path, folder: Path) -> float:
    images, labels = images_of(folder)
    probabilities = sepcnn.load(run).predict(images)
    assert probabilities.shape == (len(images), 2)
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-6)
    return float((probabilities.argmax(1) == labels).mean())


def test_a_model_with_one_output_from_end_to_end(tmp_path: Path, invoke: Invoke) -> None:
    config, run = write_two_colours(tmp_path), tmp_path / "run"
    options = ["--set", LAST, "--set", LOSS]
    code, out, _ = invoke("summary", config, *options, "--json")
    last = json.loads(out)["layers"][-1]
    assert (code, last["output_shape"], last["params"]) == (0, [1], 8 + 1)

    assert invoke("train", config, *options, "--run-dir", run)[0] == 0
    longer = ["--set", "train.epochs=9"]
    assert invoke("train", "--resume", run, *longer)[0] == 0
    assert epochs(run)[-1]["val"]["accuracy"] > 0.9
    assert accuracy_of(run, tmp_path) > 0.9

    code, out, _ = invoke("eval", run, "--json")
    result = json.loads(out)
    assert code == 0
    assert result["accuracy"] == accuracy_of(run, tmp_path)
    assert [(entry["name"], entry["support"]) for entry in result["per_class"]] == [
        ("red", 20),
        ("green", 10),
    ]
    assert all(entry["f1"] > 0.9 for entry in result["per_class"])

    images, labels = images_of(tmp_path)
    for name in ("red", "green"):
        picture = images[labels == ["red", "green"].index(name)][0]
        Image.fromarray(picture).save(tmp_path / f"{name}.png")
    code, out, _ = invoke("predict", run, tmp_path / "red.png", tmp_path / "green.png", "--json")
    assert code == 0
    assert [entry["predictions"][0]["name"] for entry in json.loads(out)] == ["red", "green"]


@pytest.mark.parametrize(
    ("last", "loss"),
    [
        ("{Dense: 1}", "{binary_crossentropy: {from_logits: true}}"),
        ("{Dense: {units: 1, activation: sigmoid}}", "{binary_focal_crossentropy: {gamma: 1}}"),
        ("{Dense: {units: auto, activation: softmax}}", "binary_crossentropy"),
    ],
)
def test_other_output_layers_for_two_classes(
    tmp_path: Path, invoke: Invoke, last: str, loss: str
) -> None:
    config, run = write_two_colours(tmp_path), tmp_path / "run"
    options = ["--set", f"model.layers[7]={last}", "--set", f"train.loss={loss}"]
    assert invoke("train", config, *options, "--run-dir", run)[0] == 0
    assert accuracy_of(run, tmp_path) > 0.9


@pytest.mark.parametrize(
    ("overrides", "path", "message"),
    [
        (
            (LAST, LOSS),
            "model.layers[7].Dense",
            "a model with one output is for two classes, but the data has 3",
        ),
        (
            (LOSS,),
            "train.loss.binary_crossentropy",
            "this loss is for two classes, but the model has 3",
        ),
        (
            ("train.loss={categorical_focal_crossentropy: [1, 2]}",),
            "train.loss.categorical_focal_crossentropy",
            "alpha has 2 values, but there are 3 classes",
        ),
    ],
)
def test_classes_that_are_known_only_from_the_data(
    tmp_path: Path, invoke: Invoke, overrides: tuple[str, ...], path: str, message: str
) -> None:
    config = write_config(tmp_path)
    with pytest.raises(ConfigError) as caught:
        load_config(config, overrides).graph(3)
    (problem,) = caught.value.problems
    assert (problem.path, problem.message) == (path, message)
    assert problem.location
    assert problem.hint
    options = [part for override in overrides for part in ("--set", override)]
    code, _, err = invoke("train", config, *options, "--run-dir", tmp_path / "r")
    assert code == 2
    assert f"{path}: {message}" in err
    assert not (tmp_path / "r").exists()
