"""12-bit images from check to predict: the range of the training images governs later commands."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import sepcnn
from sepcnn.training import checkpoint
from tests.cli.conftest import Invoke

CONFIG = """\
model:
  input_shape: [8, 8, 1]
  layers:
    - Rescaling: 1/255
    - Flatten
    - Dense: {units: auto, activation: softmax}
data:
  source:
    Folder: {path: scans}
train: {epochs: 4, batch_size: 4, device: cpu, optimizer: {Adam: 0.1}}
"""


def write_scans(root: Path, top: int) -> None:
    """Bright above or below, from 0 to ``top``."""
    random = np.random.default_rng(0)
    for number, name in enumerate(("above", "below")):
        folder = root / name
        folder.mkdir(parents=True)
        for index in range(12):
            values = random.integers(0, top // 2, (8, 8))
            values[4 * number : 4 * number + 4] += top // 2
            values[0, 0], values[7, 7] = 0, top
            Image.fromarray(values.astype(np.uint16)).save(folder / f"{index}.png")


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write_scans(tmp_path / "scans", 4095)
    path = tmp_path / "scans.yaml"
    path.write_text(CONFIG)
    return path


AUTO = "data.source.Folder.value_range=auto"


def test_check_and_train_say_what_they_suspect(config: Path, invoke: Invoke) -> None:
    _, out, _ = invoke("check", config, "--json")
    kinds = {finding["kind"]: finding for finding in json.loads(out)["findings"]}
    expected = "24 images of 16 bits have only values from 0 to 4,095, read as 0 to 16 of 255"
    assert kinds["pixel_values"]["message"].startswith(expected)
    assert "pixel values" not in kinds.get("data", {"message": ""})["message"]
    _, _, err = invoke("train", config, "--run-dir", config.parent / "run")
    assert "note: pixel values: " in err
    assert "probably 12-bit data: set value_range in data.source.Folder: [0, 4095]" in err
    _, out, _ = invoke("check", config, "--set", AUTO, "--json")
    assert "pixel_values" not in out


def test_the_range_of_training_governs_later_commands(config: Path, invoke: Invoke) -> None:
    run = config.parent / "run"
    code, _, err = invoke("train", config, "--run-dir", run, "--set", AUTO)
    assert (code, "value_range: auto is [0, 4095]" in err) == (0, True)
    stored = checkpoint.read(run / "last.safetensors")
    assert stored.facts["value_range"] == [0, 4095]
    assert stored.config.data.source.value_range == (0, 4095)  # type: ignore[attr-defined]

    others = config.parent / "others"  # other values: measuring them would hide the difference
    write_scans(others, 1000)
    file = others / "below" / "0.png"
    source = stored.config.data.source
    assert source.read_image(file, (8, 8, 1)).max() == 62
    from_python = sepcnn.load(run).predict(file)
    _, out, _ = invoke("predict", run, file, "--top", "2", "--json")
    shown = {guess["name"]: guess["probability"] for guess in json.loads(out)[0]["predictions"]}
    assert shown["above"] == pytest.approx(float(from_python[0]))

    losses = []
    for override in (f"data.source.Folder.path={others}", f"data.source={{Folder: {others}}}"):
        code, out, err = invoke("eval", run, "--split", "all", "--set", override, "--json")
        assert code == 0, err
        losses.append(json.loads(out)["loss"])
    assert losses[0] == losses[1]
    for value in ("[0, 4095]", "auto", "[0, 1000]"):
        override = f"data.source.Folder.value_range={value}"
        arguments = ("--split", "all", "--set", f"data.source.Folder.path={others}")
        _, out, _ = invoke("eval", run, *arguments, "--set", override, "--json")
        assert (json.loads(out)["loss"] == losses[0]) == (value != "[0, 1000]")


def test_a_run_with_a_measured_range_resumes(config: Path, invoke: Invoke) -> None:
    run = config.parent / "run"
    invoke("train", config, "--run-dir", run, "--set", AUTO, "--set", "train.epochs=2")
    code, _, err = invoke("train", "--resume", run, "--set", "train.epochs=4")
    assert (code, "auto is" in err) == (0, False)
    whole = config.parent / "whole"
    invoke("train", config, "--run-dir", whole, "--set", AUTO)
    parts = [checkpoint.read(folder / "last.safetensors") for folder in (run, whole)]
    for name, tensor in parts[0].tensors.items():
        assert tensor.equal(parts[1].tensors[name])
    assert parts[0].facts == parts[1].facts


def test_an_older_checkpoint_has_the_full_range(config: Path, invoke: Invoke) -> None:
    run = config.parent / "run"
    invoke("train", config, "--run-dir", run)
    stored = checkpoint.read(run / "last.safetensors")
    resolved = stored.config.resolved()
    del resolved["data"]["source"]["Folder"]["value_range"]
    del resolved["data"]["source"]["Folder"]["max_megapixels"]
    older = type(stored.config).from_resolved(resolved)
    found = older.data.source.read_image(config.parent / "scans/above/0.png", (8, 8, 1))
    assert found.max() == 16
