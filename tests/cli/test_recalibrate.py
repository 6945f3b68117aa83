"""A run whose moving statistics stay cold, from its first note to a recalibrated checkpoint."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch

from sepcnn.cli.main import run
from sepcnn.training import checkpoint
from tests.cli.conftest import Invoke
from tests.cold import write_cold_config

HINT = (
    r"note: validation stays at chance: the accuracy on the same 192 training images is \d\d\.\d % "
    r"with the statistics of each batch, but +\d+\.\d % with the moving statistics of "
    r"BatchNormalization, which evaluation uses; .* sepcnn eval .*run/last.safetensors "
    r"--recalibrate re-estimates them"
)


@pytest.fixture(scope="module")
def cold(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cold")
    config = write_cold_config(folder)
    assert run(["train", str(config), "--run-dir", str(folder / "run")]) == 0
    return folder


def test_training_warns_before_and_hints_once(tmp_path: Path, invoke: Invoke) -> None:
    config = write_cold_config(tmp_path)
    code, _, err = invoke("train", config, "--run-dir", tmp_path / "run")
    assert code == 0
    assert "note: after 120 steps the moving statistics of 'batch_normalization' " in err
    hints = [line for line in err.splitlines() if "at chance" in line]
    assert len(hints) == 1
    assert re.fullmatch(HINT, hints[0])
    # The hint changes nothing, and a resumed run does not repeat it.
    code, _, err = invoke("train", "--resume", tmp_path / "run", "--set", "train.epochs=11")
    assert code == 0
    assert "at chance" not in err
    warm = write_cold_config(tmp_path, "{momentum: 0.8}", epochs=2)
    code, _, err = invoke("train", warm, "--run-dir", tmp_path / "warm")
    assert (code, "statistics" in err, "at chance" in err) == (0, False, False)


def test_the_hint_changes_no_bit_of_the_run(
    tmp_path: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = write_cold_config(tmp_path)
    assert "at chance" in invoke("train", config, "--run-dir", tmp_path / "with")[2]
    monkeypatch.setattr("sepcnn.cli.training_run.chance_level", lambda dataset: None)
    assert "at chance" not in invoke("train", config, "--run-dir", tmp_path / "without")[2]
    ours, theirs = (checkpoint.read(tmp_path / n / checkpoint.LAST) for n in ("with", "without"))
    for name, tensor in ours.tensors.items():
        assert torch.equal(tensor, theirs.tensors[name]), name


def test_without_batch_normalization_the_images_are_suspected(
    tmp_path: Path, invoke: Invoke
) -> None:
    """Validation labels that do not belong to their images."""
    import numpy as np

    config = write_cold_config(tmp_path)
    layers = "model.layers=[Rescaling: 1/255, Flatten, Dense: {units: auto, activation: softmax}]"
    arrays = dict(np.load(tmp_path / "prototypes.npz"))
    arrays["y_val"] = (arrays["y_val"] + 5) % 10
    np.savez(tmp_path / "prototypes.npz", **arrays)
    code, _, err = invoke("train", config, "--set", layers, "--run-dir", tmp_path / "run")
    assert code == 0
    assert re.search(
        r"note: validation stays at chance, but evaluation of 192 training images gives an "
        r"accuracy of \d\d.\d %: compare the validation images and their labels with the "
        r"training images\n",
        err,
    )


def test_recalibration_only_reports(cold: Path, invoke: Invoke) -> None:
    before = {path: path.read_bytes() for path in (cold / "run").iterdir()}
    code, out, err = invoke("eval", cold / "run", "--split", "val", "--recalibrate")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    # The last checkpoint: cold statistics cannot decide which epoch is the best.
    assert lines[0] == f"{cold}/run/last.safetensors on val: 100 of 292 images"
    own = re.fullmatch(r"with its own statistics: loss [\d.]+  accuracy (.*) %", lines[1])
    assert lines[2] == "recalibrated on 192 training images:"
    new = re.fullmatch(r"loss [\d.]+  accuracy (.*) %", lines[3])
    assert own
    assert float(own[1]) < 20
    assert new
    assert float(new[1]) > 60
    assert lines[-1] == (
        "no file was changed; --out FILE writes a checkpoint with these statistics"
    )
    assert {path: path.read_bytes() for path in (cold / "run").iterdir()} == before


def test_a_recalibrated_checkpoint_is_written(cold: Path, tmp_path: Path, invoke: Invoke) -> None:
    path = tmp_path / "warm.safetensors"
    arguments = ["eval", cold / "run", "--split", "val", "--recalibrate", "--out", path, "--json"]
    code, out, _ = invoke(*arguments)
    assert code == 0
    report = json.loads(out)
    assert report["accuracy"] > 0.6
    assert report["recalibrated"]["before"]["accuracy"] < 0.2
    assert report["recalibrated"]["images"] == 192
    code, out, err = invoke("eval", path, "--split", "val", "--json")
    assert code == 0
    assert json.loads(out)["accuracy"] == report["accuracy"]
    assert err == "note: the moving statistics were re-estimated from 192 training images\n"
    stored, original = checkpoint.read(path), checkpoint.read(cold / "run" / checkpoint.LAST)
    assert stored.facts["recalibrated"]["images"] == 192
    changed = [k for k, t in stored.tensors.items() if not torch.equal(t, original.tensors[k])]
    assert changed
    assert all(name.rpartition(".")[2].startswith("moving_") for name in changed)
    assert (stored.step, stored.epochs) == (original.step, original.epochs)


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("old.safetensors", "error: FOLDER/old.safetensors exists already\n   choose another file"),
        ("gone/a.safetensors", "error: there is no folder FOLDER/gone\n   make it first"),
        (
            "a.pt",
            "error: FOLDER/a.pt is not the name of a checkpoint\n   end it in .safetensors",
        ),
    ],
)
def test_a_file_that_cannot_be_written_is_refused_first(
    cold: Path, tmp_path: Path, invoke: Invoke, out: str, message: str
) -> None:
    (tmp_path / "old.safetensors").write_text("mine")
    code, shown, err = invoke("eval", cold / "run", "--recalibrate", "--out", tmp_path / out)
    assert (code, shown) == (2, "")
    assert err.replace(str(tmp_path), "FOLDER") == f"{message}\n"
    assert (tmp_path / "old.safetensors").read_text() == "mine"


def test_out_without_recalibrate_is_refused(cold: Path, tmp_path: Path, invoke: Invoke) -> None:
    code, _, err = invoke("eval", cold / "run", "--out", tmp_path / "a.safetensors")
    assert code == 2
    assert err.endswith("Error: --out needs --recalibrate\n")


def test_other_training_images_are_noted(cold: Path, tmp_path: Path, invoke: Invoke) -> None:
    from tests.cold import write_prototypes

    other = write_prototypes(tmp_path / "other.npz", count=150)
    source = f"data.source.Arrays.path={other}"
    code, _, err = invoke("eval", cold / "run", "--split", "val", "--recalibrate", "--set", source)
    assert code == 0
    assert "note: the train and val images differ from those of the run (292 then, 250 now)" in err


def test_there_is_nothing_to_recalibrate(trained: Path, invoke: Invoke) -> None:
    code, _, err = invoke("eval", trained / "run", "--recalibrate")
    assert code == 2
    assert err == (
        "error: there is nothing to recalibrate: no layer is a BatchNormalization that trains\n"
        "   batch renormalization trains with its moving statistics: evaluation uses the same\n"
    )
