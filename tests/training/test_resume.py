"""Runs that are stopped, killed and continued, as real processes."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from pathlib import Path

import pytest
import torch

from sepcnn.config.loading import load_config
from sepcnn.nn.schedules import Progress
from sepcnn.training import checkpoint
from tests.runs import (
    command,
    environment,
    epochs,
    keep_few,
    records,
    sepcnn,
    write_config,
)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("resume")
    # Checkpoints after nearly every step, so that kills land within epochs and within saving.
    write_config(folder, epochs=12, checkpoint_minutes=0.0002)
    return folder


@pytest.fixture(scope="module")
def never_stopped(workplace: Path) -> Path:
    result = sepcnn("train", "colours.yaml", "--run-dir", "whole", cwd=workplace)
    assert result.returncode == 0, result.stderr
    return workplace / "whole"


def assert_same_run(run: Path, reference: Path) -> None:
    """Weights, optimizer and epoch records are equal to the bit."""
    for name in ("last.safetensors", "best.safetensors"):
        ours, theirs = (checkpoint.read(folder / name) for folder in (run, reference))
        assert ours.step == theirs.step
        assert ours.tensors.keys() == theirs.tensors.keys()
        for key, tensor in ours.tensors.items():
            assert torch.equal(tensor, theirs.tensors[key]), key
    assert epochs(run) == epochs(reference)


def start(workplace: Path, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command("train", *arguments),
        cwd=workplace,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def wait_for(path: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert process.poll() is None, "the run ended before it wrote anything"
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.exhaustive
def test_killed_at_random_moments(workplace: Path, never_stopped: Path) -> None:
    moments = random.Random(7)
    arguments = ["colours.yaml", "--run-dir", "killed"]
    kills = 0
    while kills < 4:
        process = start(workplace, *arguments)
        wait_for(workplace / "killed" / "last.safetensors", process)
        # Later runs find the file at once: give them the seconds that starting takes.
        time.sleep(moments.uniform(0.0, 0.6) + (2.5 if kills else 0.0))
        if process.poll() is not None:
            break
        process.send_signal(signal.SIGKILL)
        process.wait()
        kills += 1
        arguments = ["--resume", "killed"]
    assert kills > 0
    result = sepcnn("train", "--resume", "killed", cwd=workplace)
    assert result.returncode == 0, result.stderr
    assert_same_run(workplace / "killed", never_stopped)


SIGNALS = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP]


@pytest.mark.covering("one")
@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_a_signal_saves_and_leaves_with_130(
    workplace: Path, never_stopped: Path, number: signal.Signals
) -> None:
    run = workplace / number.name
    before = signal.signal(number, signal.SIG_DFL)  # whoever runs the tests may ignore it
    try:
        process = start(workplace, "colours.yaml", "--run-dir", run.name)
    finally:
        signal.signal(number, before)
    wait_for(run / "metrics.jsonl", process)
    process.send_signal(number)
    assert process.wait(timeout=60) == 130
    stopped = checkpoint.read(run / "last.safetensors").step
    assert stopped < checkpoint.read(never_stopped / "last.safetensors").step
    assert sepcnn("train", "--resume", run.name, cwd=workplace).returncode == 0
    assert_same_run(run, never_stopped)


@pytest.mark.exhaustive
def test_an_ignored_signal_stops_nothing(workplace: Path) -> None:
    """nohup has a run ignore that its terminal is closed."""
    arguments = ["colours.yaml", "--set", "train.epochs=3", "--run-dir", "ignored"]
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        process = start(workplace, *arguments)
    finally:
        signal.signal(signal.SIGHUP, before)
    wait_for(workplace / "ignored" / "metrics.jsonl", process)
    process.send_signal(signal.SIGHUP)
    assert process.wait(timeout=60) == 0


@pytest.mark.exhaustive
def test_resuming_cuts_records_after_the_checkpoint(workplace: Path, never_stopped: Path) -> None:
    run = workplace / "cut"
    overrides = ["--set", "train.epochs=2", "--run-dir", "cut"]
    assert sepcnn("train", "colours.yaml", *overrides, cwd=workplace).returncode == 0
    line = (run / "metrics.jsonl").read_text().splitlines()[-1]
    after = line.replace('"epoch": 2', '"epoch": 3')
    with (run / "metrics.jsonl").open("ab") as file:
        file.write(f"{after}\n{line[: len(line) // 2]}".encode() + b"\xff\0")
    result = sepcnn("train", "--resume", "cut", "--set", "train.epochs=3", cwd=workplace)
    assert result.returncode == 0, result.stderr
    assert [record["epoch"] for record in epochs(run)] == [1, 2, 3]
    assert records(run)[-1]["event"] == "epoch"
    assert "epochs: 3" in (run / "config.yaml").read_text()
    # With a constant learning rate a longer run begins as the shorter one did.
    assert epochs(run) == epochs(never_stopped)[:3]


@pytest.mark.exhaustive
def test_a_resumed_run_refuses_other_settings(workplace: Path, never_stopped: Path) -> None:
    result = sepcnn("train", "--resume", "whole", "--set", "train.seed=3", cwd=workplace)
    assert result.returncode == 2
    assert result.stderr == (
        "error: --set train.seed=3: a resumed run cannot change train.seed\n"
        "   only train.epochs, train.early_stopping, train.early_stopping.patience, train.device, "
        "train.checkpoint_minutes and the location of the images; start a new run instead\n"
    )


@pytest.mark.exhaustive
def test_a_run_goes_on_where_the_same_arrays_lie_elsewhere(tmp_path: Path) -> None:
    write_config(tmp_path, epochs=1)
    assert sepcnn("train", "colours.yaml", "--run-dir", "run", cwd=tmp_path).returncode == 0
    (tmp_path / "colours.npz").rename(tmp_path / "moved.npz")
    options = ["--set", "train.epochs=2", "--set", "data.source.Arrays.path=moved.npz"]
    result = sepcnn("train", "--resume", "run", *options, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert [record["epoch"] for record in epochs(tmp_path / "run")] == [1, 2]


@pytest.mark.exhaustive
def test_balanced_sampling_and_weights_go_on_exactly(tmp_path: Path) -> None:
    """Stopped in the middle of an epoch, in which images of the rare class come several times."""
    settings = {"sampling": "balanced", "class_weights": "balanced", "best": "macro_recall"}
    write_config(tmp_path, epochs=12, checkpoint_minutes=0.0002, **settings)
    keep_few(tmp_path / "colours.npz")
    whole = sepcnn("train", "colours.yaml", "--run-dir", "whole", cwd=tmp_path)
    assert whole.returncode == 0, whole.stderr
    process = start(tmp_path, "colours.yaml", "--run-dir", "stopped")
    wait_for(tmp_path / "stopped" / "metrics.jsonl", process)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 130
    assert checkpoint.read(tmp_path / "stopped" / "last.safetensors").step < 72
    assert sepcnn("train", "--resume", "stopped", cwd=tmp_path).returncode == 0
    assert_same_run(tmp_path / "stopped", tmp_path / "whole")
    best = checkpoint.read(tmp_path / "whole" / "best.safetensors").epochs[-1].epoch
    recalls = [record["val"]["macro_recall"] for record in epochs(tmp_path / "whole")]
    assert recalls[best - 1] == max(recalls)
    assert f"macro recall {100 * max(recalls):.1f} % (accuracy " in whole.stdout


@pytest.mark.exhaustive
def test_killed_while_the_images_still_grow(tmp_path: Path) -> None:
    """The size of a step's images follows from the step: nothing of it is saved."""
    config = write_config(tmp_path, epochs=24, checkpoint_minutes=0.0002)
    grow = ["--set", "data.progressive_resizing={start: 1/2, until: 100%, multiple: 2}"]
    whole = sepcnn("train", "colours.yaml", *grow, "--run-dir", "whole", cwd=tmp_path)
    assert whole.returncode == 0, whole.stderr
    process = start(tmp_path, "colours.yaml", *grow, "--run-dir", "killed")
    try:
        wait_for(tmp_path / "killed" / "metrics.jsonl", process)
        while len(epochs(tmp_path / "killed")) < 5:
            assert process.poll() is None, "the run ended before it was killed"
            time.sleep(0.01)
    finally:
        process.kill()
        returncode = process.wait()
    assert returncode == -signal.SIGKILL
    resizing = load_config(config, grow[1:]).data.progressive_resizing
    assert resizing is not None
    at = Progress(checkpoint.read(tmp_path / "killed" / "last.safetensors").step, 8, 192)
    assert (6, 6) < resizing.size((12, 12), at) < (12, 12)
    result = sepcnn("train", "--resume", "killed", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert_same_run(tmp_path / "killed", tmp_path / "whole")


@pytest.mark.exhaustive
def test_a_folder_in_use_is_locked(workplace: Path) -> None:
    process = start(workplace, "colours.yaml", "--run-dir", "busy", "--set", "train.epochs=10000")
    wait_for(workplace / "busy" / "metrics.jsonl", process)
    try:
        result = sepcnn("train", "--resume", "busy", cwd=workplace)
    finally:
        process.kill()
        process.wait()
    assert result.returncode == 2
    assert result.stderr == (
        "error: the run folder busy is in use by another process\n"
        "   wait until it ends, or stop it\n"
    )


@pytest.mark.exhaustive
def test_changed_data_is_noticed(tmp_path: Path) -> None:
    from tests.runs import write_colours

    write_config(tmp_path, epochs=1)
    assert sepcnn("train", "colours.yaml", "--run-dir", "run", cwd=tmp_path).returncode == 0
    write_colours(tmp_path / "colours.npz", seed=1)
    extend = ["--set", "train.epochs=2"]
    result = sepcnn("train", "--resume", "run", *extend, cwd=tmp_path)
    assert result.returncode == 2
    assert result.stderr.splitlines()[-2:] == [
        "error: the data is not what run was trained on",
        "   bring back the old images, or start a new run",
    ]
