"""Each file of a run folder missing, empty, damaged, of another run, or replaced by a folder."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from sepcnn.cli.main import run
from sepcnn.training import checkpoint
from tests.runs import epochs, write_config

FILES = ["config.yaml", "environment.json", "metrics.jsonl", "last.safetensors", "best.safetensors"]
Resume = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two runs of 2 epochs, ``run`` and ``other``."""
    folder = tmp_path_factory.mktemp("finished")
    config = write_config(folder, epochs=2, precision="float32", optimizer="{Adam: 0.02}")
    for name, seed in (("run", 0), ("other", 1)):
        arguments = ["train", str(config), "--run-dir", str(folder / name)]
        assert run([*arguments, "--set", f"train.seed={seed}"]) == 0
    longer = ["--run-dir", str(folder / "long"), "--set", "train.epochs=3"]
    assert run(["train", str(config), *longer]) == 0
    return folder


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Path:
    return shutil.copytree(finished / "run", tmp_path / "run")


@pytest.fixture
def resume(folder: Path, capsys: pytest.CaptureFixture[str]) -> Resume:
    """Resume the run for a third epoch. Returns exit code, notes and errors."""

    def call(*options: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = run(["train", "--resume", str(folder), "--set", "train.epochs=3", *options])
        lines = capsys.readouterr().err.replace(f"{folder}", "RUN").splitlines(keepends=True)
        notes = "".join(line for line in lines if line.startswith("note: RUN/"))
        errors = "".join(line for line in lines if line.startswith(("error: ", "   ")))
        return code, notes, errors

    return call


def damage(path: Path, how: str, other: Path) -> None:
    if how in ("missing", "folder"):
        path.unlink()
    if how == "folder":
        path.mkdir()
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "damaged":
        content = bytearray(path.read_bytes())
        content[len(content) // 2 if path.suffix == ".safetensors" else 0] ^= 0xFF
        path.write_bytes(bytes(content))
    elif how == "of another run":
        shutil.copy(other / path.name, path)
    elif how == "read-only":
        path.chmod(0o444)


RESTORED = "2 epochs restored from the checkpoint\n"
CONFIG_NOTE = (
    "note: RUN/config.yaml is not the config of the checkpoint, which is used: it is now "
    "config.edited.yaml; use --set to change a value\n"
)
NOTES = {
    ("config.yaml", "empty"): CONFIG_NOTE,
    ("config.yaml", "damaged"): CONFIG_NOTE,
    ("config.yaml", "of another run"): CONFIG_NOTE,
    ("metrics.jsonl", "missing"): f"note: RUN/metrics.jsonl: the file was missing, {RESTORED}",
    ("metrics.jsonl", "empty"): f"note: RUN/metrics.jsonl: {RESTORED}",
    ("metrics.jsonl", "damaged"): (
        r"note: RUN/metrics.jsonl: 1 damaged line left out"
        r"(, 1 epoch restored from the checkpoint)?\n"
    ),
    ("metrics.jsonl", "of another run"): (
        "note: RUN/metrics.jsonl is of another run: replaced by the epochs of the checkpoint\n"
    ),
    ("best.safetensors", "missing"): "note: RUN/best.safetensors was missing: .*\n",
    ("best.safetensors", "empty"): "note: RUN/best.safetensors is damaged: .*\n",
    ("best.safetensors", "damaged"): "note: RUN/best.safetensors is damaged: .*\n",
    ("best.safetensors", "of another run"): (
        "note: RUN/best.safetensors is of another run or epoch: .*\n"
    ),
}


@pytest.mark.covering("values")
@pytest.mark.parametrize(
    "how", ["missing", "empty", "damaged", "of another run", "read-only", "folder"]
)
@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_not_as_the_run_left_it(
    finished: Path, folder: Path, resume: Resume, name: str, how: str
) -> None:
    damage(folder / name, how, finished / "other")
    before = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    code, notes, errors = resume()
    if how == "folder":
        assert code == 2
        assert errors == (
            f"error: RUN/{name} is a folder, but the run has a file of that name\n"
            "   move it away, then resume\n"
        )
    elif name == "last.safetensors" and how in ("missing", "empty", "damaged"):
        assert code == 2
        best = len(checkpoint.read(folder / "best.safetensors").epochs)
        assert errors.endswith(
            f"   to continue after epoch {best}, the best one: "
            "cp RUN/best.safetensors RUN/last.safetensors\n"
        )
        assert "last.safetensors" in errors
    elif name == "last.safetensors" and how == "of another run":
        assert code == 0  # it is a run of its own; the other files are those of another
        assert "metrics.jsonl is of another run" in notes
        return
    else:
        assert code == 0
        assert re.fullmatch(NOTES.get((name, how), ""), notes), notes
        assert [record["epoch"] for record in epochs(folder)] == [1, 2, 3]
        assert epochs(folder) == epochs(finished / "long")
        return
    # After an error nothing has changed.
    after = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    assert after == before


def test_the_command_of_the_hint_continues_the_run(
    finished: Path, folder: Path, resume: Resume
) -> None:
    (folder / "last.safetensors").unlink()
    assert resume()[0] == 2
    shutil.copy(folder / "best.safetensors", folder / "last.safetensors")
    assert resume()[0] == 0
    assert epochs(folder) == epochs(finished / "long")


def test_the_best_checkpoint_is_restored_from_the_last_if_they_are_equal(
    folder: Path, resume: Resume
) -> None:
    best = checkpoint.read(folder / "best.safetensors")
    shutil.copy(folder / "best.safetensors", folder / "last.safetensors")
    (folder / "best.safetensors").unlink()
    _, notes, _ = resume("--set", f"train.epochs={len(best.epochs)}")
    assert notes == "note: RUN/best.safetensors was missing: restored from last.safetensors\n"
    restored = checkpoint.read(folder / "best.safetensors")
    assert restored.epochs == best.epochs


def test_an_edited_config_is_kept_under_another_name(folder: Path, resume: Resume) -> None:
    text = (folder / "config.yaml").read_text()
    edited = text.replace("epochs: 2", "epochs: 7")
    assert edited != text
    (folder / "config.yaml").write_text(edited)
    code, notes, _ = resume()
    assert (code, notes) == (0, CONFIG_NOTE)
    assert (folder / "config.edited.yaml").read_text() == edited
    assert "epochs: 3" in (folder / "config.yaml").read_text()
    assert resume()[1] == ""
