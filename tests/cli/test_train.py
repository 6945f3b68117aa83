"""`sepcnn train` from the command line."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Invoke
from tests.runs import command, environment, epochs, keep_few, records, sepcnn, write_config


def test_the_files_of_a_run_folder(trained: Path) -> None:
    run = trained / "run"
    names = {path.name for path in run.iterdir()}
    assert names == {
        ".lock",
        "config.yaml",
        "environment.json",
        "metrics.jsonl",
        "last.safetensors",
        "best.safetensors",
    }
    assert (run / "config.yaml").read_text() == (trained / "colours.yaml").read_text()
    environment = json.loads((run / "environment.json").read_text())
    assert environment["machine"]["precision"] == "float32"
    assert environment["data"]["class_names"] == ["red", "green", "blue"]
    assert environment["data"]["counts"] == {"train": 127, "val": 33, "test": 30}


def test_epoch_records_have_the_documented_keys(trained: Path) -> None:
    lines = (trained / "run" / "metrics.jsonl").read_text().splitlines()
    last = [json.loads(line) for line in lines if '"epoch"' in line][-1]
    assert set(last) == {
        "event",
        "epoch",
        "step",
        "train",
        "val",
        "learning_rate",
        "seconds",
        "images_per_second",
        "waiting",
    }
    assert last["event"] == "epoch"
    assert last["epoch"] == 8
    assert last["step"] == 64
    assert set(last["train"]) == {"loss", "accuracy"}
    assert set(last["val"]) == {"loss", "accuracy", "macro_recall", "macro_f1"}
    assert last["val"]["accuracy"] > 0.9
    assert last["learning_rate"] == 0.02
    assert last["images_per_second"] > 0
    assert 0 < last["waiting"] < 1


def test_printed_lines(tmp_path: Path, invoke: Invoke) -> None:
    config = write_config(tmp_path, epochs=2)
    code, out, err = invoke("train", config, "--run-dir", tmp_path / "run")
    assert code == 0
    scores = r"loss \d\.\d{{4}}  accuracy [ \d.]{{4}} %"
    epoch = rf"epoch {{}}/2  {scores}  val {scores}  .* images/s   0:0\d(  best)?"
    lines = out.splitlines()
    assert re.fullmatch(epoch.format(1), lines[0])
    assert re.fullmatch(epoch.format(2), lines[1])
    assert re.fullmatch(r"best validation accuracy \d+\.\d % in epoch [12]", lines[2])
    assert lines[3:] == [f"run folder {tmp_path}/run", f"next: sepcnn eval {tmp_path}/run"]
    assert re.match(r"sepcnn train .*colours.yaml on .*, channels_last(, fused)?\n", err)
    assert "epoch 1/2  step 1/8" in err


@pytest.mark.parametrize(
    ("settings", "shown", "closing"),
    [
        ({}, "macro recall", r"accuracy {n} \(macro recall {n}\)"),
        ({"best": "macro_f1"}, "macro F1", r"macro F1 {n} \(accuracy {n}\)"),
        ({"best": "loss"}, "macro recall", r"loss \d\.\d{{4}} \(accuracy {n}, macro recall {n}\)"),
    ],
    ids=str,
)
def test_printed_lines_for_uneven_classes(
    tmp_path: Path, invoke: Invoke, settings: dict[str, str], shown: str, closing: str
) -> None:
    config = write_config(tmp_path, epochs=1, **settings)
    keep_few(tmp_path / "colours.npz")
    code, out, _ = invoke("train", config, "--run-dir", tmp_path / "run")
    assert code == 0
    first, last, *_ = out.splitlines()
    n = r"\d+\.\d %"
    lined = r"[ \d.]{4} %"  # also matches ' 9.3' and ' 100'
    assert re.search(
        rf"  val loss \d\.\d{{4}}  accuracy {lined}  {shown} {lined}  .* images/s", first
    )
    assert re.fullmatch(rf"best validation {closing.format(n=n)} in epoch 1", last)


def test_the_printed_next_command_works(tmp_path: Path, invoke: Invoke) -> None:
    config = write_config(tmp_path, epochs=1)
    _, out, _ = invoke("train", config, "--run-dir", tmp_path / "my run")
    assert out.endswith(f"\nnext: sepcnn eval '{tmp_path}/my run'\n")
    config = config.rename(tmp_path / "my net.yaml")
    _, _, err = invoke("train", config, "--run-dir", tmp_path / "other")
    assert err.startswith(f"sepcnn train '{config}' on ")


def test_without_validation_there_are_no_macro_metrics(tmp_path: Path, invoke: Invoke) -> None:
    config = write_config(tmp_path, epochs=1)
    keep_few(tmp_path / "colours.npz")
    arguments = ["--set", "data.validation=0", "--run-dir", tmp_path / "run"]
    code, out, _ = invoke("train", config, *arguments)
    assert code == 0
    assert "macro" not in out
    assert re.search(r"^best training accuracy \d+\.\d % in epoch 1$", out, re.M)


def test_a_note_reports_classes_without_validation_images(tmp_path: Path, invoke: Invoke) -> None:
    config = write_config(tmp_path, epochs=1)
    keep_few(tmp_path / "colours.npz")
    lacking = "note: val has no images of blue: val metrics say nothing about them"
    for share, notes in (("0.2", 0), ("0.05", 1)):
        arguments = ["--set", f"data.validation={share}", "--run-dir", tmp_path / share]
        code, _, err = invoke("train", config, *arguments)
        assert (code, err.splitlines().count(lacking)) == (0, notes)
    code, _, err = invoke("train", "--resume", tmp_path / "0.05", "--set", "train.epochs=2")
    assert (code, err.splitlines().count(lacking)) == (0, 1)


def test_a_note_reports_too_few_validation_images(tmp_path: Path, invoke: Invoke) -> None:
    config = write_config(tmp_path, epochs=1)
    arguments = ["--set", "data.validation=0.005", "--run-dir", tmp_path / "run"]
    code, _, err = invoke("train", config, *arguments)
    assert code == 0
    assert err.splitlines()[1] == (
        "note: none of the 160 training images is held out for validation (validation: 0.005): "
        "the best epoch is chosen by training images"
    )


def test_runs_are_numbered(tmp_path: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    config = write_config(tmp_path, epochs=1)
    monkeypatch.chdir(tmp_path)
    for number in (1, 2):
        assert invoke("train", config)[0] == 0
        assert (tmp_path / "runs" / "colours" / str(number) / "last.safetensors").exists()
    assert records(tmp_path / "runs/colours/1") == records(tmp_path / "runs/colours/2")


def test_overrides_reach_the_run_and_its_config(tmp_path: Path, invoke: Invoke) -> None:
    config = write_config(tmp_path, epochs=1)
    overrides = ["--set", "train.optimizer.learning_rate=1/50", "--device", "cpu"]
    assert invoke("train", config, "--run-dir", tmp_path / "run", *overrides)[0] == 0
    assert epochs(tmp_path / "run")[0]["learning_rate"] == 0.02
    text = (tmp_path / "run" / "config.yaml").read_text()
    assert "optimizer: {Adam: {learning_rate: 1/50}}" in text
    assert "# made by the test" in text


def test_a_run_killed_at_its_start_can_be_repeated(tmp_path: Path, invoke: Invoke) -> None:
    config, folder = write_config(tmp_path, epochs=1), tmp_path / "run"
    folder.mkdir()
    for name in (".lock", ".last.safetensors.partial"):
        (folder / name).touch()
    assert invoke("train", config, "--run-dir", folder)[0] == 0


@pytest.mark.exhaustive
def test_a_closed_pipe_does_not_stop_training(tmp_path: Path) -> None:
    write_config(tmp_path, epochs=4)
    process = subprocess.Popen(
        command("train", "colours.yaml", "--run-dir", "run"),
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(timeout=60) == 0
    assert len(epochs(tmp_path / "run")) == 4


def test_a_net_without_weights(tmp_path: Path, invoke: Invoke) -> None:
    config = write_config(tmp_path)
    layers = "model.layers=[GlobalAveragePooling2D, Softmax]"
    code, _, err = invoke("train", config, "--set", layers, "--run-dir", tmp_path / "run")
    assert code == 2
    assert err.splitlines()[-2:] == [
        f"--set {layers}: model.layers: no layer has weights to train",
        "   add a Dense, or let a layer train that says trainable: false",
    ]
    assert "Arrays" not in err  # reported before the images are read
    assert not (tmp_path / "run").exists()
    assert invoke("summary", config, "--set", layers)[0] == 0


STOPPED_EARLY = (
    "stopped early after epoch 3: the validation accuracy has not improved for 2 epochs "
    "(train.early_stopping.patience: 2)\n"
    "   to continue: sepcnn train --resume FOLDER/run --set train.early_stopping.patience=4, "
    "or --set train.early_stopping=null\n"
)


@pytest.fixture
def stopped_early(tmp_path: Path, invoke: Invoke) -> Path:
    """A run without progress: epoch 1 is the best, and the run ends after epoch 3 of 30."""
    options = {"epochs": 30, "early_stopping": "{patience: 2}", "optimizer": "{SGD: 1e-30}"}
    layers = "model.layers=[Rescaling: 1/255, Flatten, Dense: {units: auto, activation: softmax}]"
    config = write_config(tmp_path, **options)
    code, _, err = invoke("train", config, "--set", layers, "--run-dir", tmp_path / "run")
    assert code == 0
    assert err.replace(str(tmp_path), "FOLDER").endswith(STOPPED_EARLY)
    assert len(epochs(tmp_path / "run")) == 3
    return tmp_path / "run"


@pytest.mark.parametrize("options", [[], ["--set", "train.epochs=40"]], ids=["resume", "epochs"])
def test_a_run_that_stopped_early_says_why_it_does_not_continue(
    stopped_early: Path, invoke: Invoke, options: list[str]
) -> None:
    code, _, err = invoke("train", "--resume", stopped_early, *options)
    assert code == 0
    assert err.replace(str(stopped_early.parent), "FOLDER").endswith(STOPPED_EARLY)
    assert len(epochs(stopped_early)) == 3


@pytest.mark.parametrize(
    ("change", "count"),
    [
        (["train.early_stopping.patience=4"], 5),
        (["train.early_stopping=null", "train.epochs=6"], 6),
        (["train.early_stopping={patience: 9}", "train.epochs=4"], 4),
    ],
    ids=["patience", "removed", "replaced"],
)
def test_a_run_that_stopped_early_continues_with_more_patience(
    stopped_early: Path, invoke: Invoke, change: list[str], count: int
) -> None:
    options = [part for setting in change for part in ("--set", setting)]
    assert invoke("train", "--resume", stopped_early, *options)[0] == 0
    assert len(epochs(stopped_early)) == count
    # The change is stored: the next resume keeps it.
    assert invoke("train", "--resume", stopped_early)[0] == 0
    assert len(epochs(stopped_early)) == count


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing.yaml"], "nothing.yaml: there is no such file\n   check the path\n"),
        (
            ["colours.yaml", "--set", "train.epoch=3"],
            "--set train.epoch=3: train: unknown key 'epoch'\n   did you mean 'epochs'?\n",
        ),
        (
            ["colours.yaml", "--set", "data.source.path=other.npz"],
            "--set data.source.path=other.npz: data.source.Arrays: "
            "there is no file FOLDER/other.npz\n   check the path\n",
        ),
        (
            ["colours.yaml", "--set", "model.input_shape=[10, 12, 3]"],
            "colours.yaml:13:20: data.source.Arrays: FOLDER/colours.npz: images are 12, 12, 3, but "
            "model.input_shape is [10, 12, 3]\n"
            "     13 |   source: {Arrays: colours.npz}  # made by the test\n"
            "        |                    ^^^^^^^^^^^\n"
            "   write input_shape: [12, 12, 3]\n",
        ),
        (
            ["colours.yaml", "--device", "cuda:7"],
            "--set train.device=cuda:7: train.device: there is no device cuda:7: "
            "0 CUDA GPUs found\n   use device: auto or cpu\n",
        ),
        (
            ["colours.yaml", "--run-dir", "full"],
            "error: the run folder full is not empty\n"
            "   choose another, or continue that run with --resume\n",
        ),
        (
            ["--resume", "missing"],
            "error: there is no run folder missing\n   give a folder such as runs/name/1\n",
        ),
        (
            ["--resume", "full"],
            "error: full holds no last.safetensors\n"
            "   the run was never started; start a new one\n",
        ),
    ],
)
def test_invalid_input_is_an_error_and_nothing_is_written(
    tmp_path: Path,
    invoke: Invoke,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    message: str,
) -> None:
    write_config(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    monkeypatch.chdir(tmp_path)
    before = sorted(path for path in tmp_path.rglob("*") if path.name != ".lock")
    code, out, err = invoke("train", *arguments)
    assert code == 2
    assert out == ""
    err = re.sub(r"^.*channels_last.*\n", "", err.replace(str(tmp_path), "FOLDER"))
    assert err == message
    assert sorted(path for path in tmp_path.rglob("*") if path.name != ".lock") == before


def test_an_unreadable_run_folder(tmp_path: Path, invoke: Invoke) -> None:
    config, folder = write_config(tmp_path), tmp_path / ("x" * 300)
    expected = f"error: {folder} could not be written: file name too long\n"
    assert invoke("train", config, "--run-dir", folder) == (1, "", expected)
    expected = f"error: there is no run folder {folder}\n   give a folder such as runs/name/1\n"
    assert invoke("train", "--resume", folder) == (2, "", expected)


@pytest.mark.parametrize("arguments", [[], ["a.yaml", "--resume", "b"]], ids=["neither", "both"])
def test_either_config_or_resume_is_required(invoke: Invoke, arguments: list[str]) -> None:
    code, _, err = invoke("train", *arguments)
    assert code == 2
    assert "Error: give either a CONFIG or --resume RUN_DIR" in err


def test_a_run_that_diverges_keeps_the_last_good_checkpoint(tmp_path: Path, invoke: Invoke) -> None:
    schedule = "{Step: {every: 3 steps, factor_each: 1e-9}}"
    config = write_config(tmp_path, optimizer="{SGD: 1e30}", precision="float32", schedule=schedule)
    code, _, err = invoke("train", config, "--run-dir", tmp_path / "run")
    assert code == 1
    last = err.splitlines()[-2:]
    # The learning rate of that step, not of the one at which it was noticed.
    where = r"at step \d+ \(learning rate 1e\+30\)"
    assert re.fullmatch(rf"error: .* was no longer (a )?finite( number)? {where}", last[0])
    good = f"   {tmp_path}/run/last.safetensors is good up to step 0; try a lower learning rate"
    assert last[1] == good


@pytest.mark.exhaustive
@pytest.mark.skipif(sys.platform == "win32", reason="limits of a process are POSIX")
def test_a_full_disk_ends_the_run_and_keeps_the_checkpoint(tmp_path: Path) -> None:
    import resource

    from sepcnn.training import checkpoint

    write_config(tmp_path, epochs=2)
    assert sepcnn("train", "colours.yaml", "--run-dir", "run", cwd=tmp_path).returncode == 0
    before = (tmp_path / "run" / "last.safetensors").read_bytes()

    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    result = sepcnn(
        "train",
        "--resume",
        "run",
        "--set",
        "train.epochs=4",
        cwd=tmp_path,
        preexec_fn=small_files,
    )
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1] == (
        "error: run/last.safetensors could not be written: file too large"
    )
    assert (tmp_path / "run" / "last.safetensors").read_bytes() == before
    assert checkpoint.read(tmp_path / "run" / "last.safetensors").step == 16
