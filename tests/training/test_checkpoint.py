"""One file holds everything; damage, strangers and newer formats are told apart."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from sepcnn.backends import machine
from sepcnn.config.config import Config
from sepcnn.config.loading import load_config
from sepcnn.errors import CheckpointError, DivergedError, StorageError
from sepcnn.training import checkpoint
from sepcnn.training.checkpoint import HEADER
from sepcnn.training.records import Scores
from sepcnn.training.state import State, new_state
from tests.runs import write_config

FACTS = {"class_names": ["red", "green", "blue"], "counts": {"train": 127}, "fingerprint": "f"}


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return load_config(write_config(tmp_path), ["train.epochs=4"])


@pytest.fixture
def state(config: Config) -> State:
    return new_state(config, config.graph(3), torch.device("cpu"))


@pytest.fixture
def file(tmp_path: Path, config: Config, state: State) -> Path:
    path = tmp_path / "last.safetensors"
    checkpoint.save(path, config, FACTS, machine.choose_machine("cpu").facts(), state)
    return path


def test_round_trip(file: Path, config: Config, state: State) -> None:
    stored = checkpoint.read(file)
    assert stored.config.resolved() == config.resolved()
    assert stored.class_names == ("red", "green", "blue")
    restored = stored.state(stored.config, torch.device("cpu")).tensors()
    assert restored.keys() == state.tensors().keys()
    assert all(torch.equal(tensor, restored[name]) for name, tensor in state.tensors().items())


def test_what_the_file_says_of_itself(file: Path) -> None:
    with safe_open(file, "pt") as opened:
        header = json.loads(opened.metadata()[HEADER])
        names = set(opened.keys())
    assert header["format"] == 1
    assert header["config"]["overrides"] == ["train.epochs=4"]
    assert "# made by the test" in header["config"]["text"]
    assert header["resolved"]["train"]["schedule"] == {"Constant": {"warmup": "0 steps"}}
    assert "model/separable_conv2d.depthwise.weight" in names
    assert "optimizer/square/dense.weight" in names


def test_the_text_and_the_resolved_config_mean_the_same(file: Path) -> None:
    stored = checkpoint.read(file)
    again = file.parent / "again.yaml"
    assert stored.config.origin is not None
    again.write_text(stored.config.origin.text)
    assert load_config(again).resolved() == stored.config.resolved()


def rewritten(file: Path, **changes: object) -> Path:
    """The same file with parts of its header changed."""
    with safe_open(file, "pt") as opened:
        header = json.loads(opened.metadata()[HEADER]) | changes
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    if "hash" not in changes:
        header["hash"] = checkpoint.content_hash(header, tensors)
    save_file(tensors, file, {HEADER: json.dumps(header)})
    return file


def test_a_file_from_before_macro_metrics_and_class_weights(file: Path) -> None:
    with safe_open(file, "pt") as opened:
        resolved = json.loads(opened.metadata()[HEADER])["resolved"]
    for key in ("class_weights", "sampling", "best"):
        del resolved["train"][key]
    scores = {"loss": 0.5, "accuracy": 0.75}
    epoch = {"event": "epoch", "epoch": 1, "step": 8, "train": scores, "val": scores}
    epoch |= {"learning_rate": 0.1, "seconds": 1.0, "images_per_second": 9.0}
    stored = checkpoint.read(rewritten(file, resolved=resolved, epochs=[epoch]))
    state = stored.state(stored.config, torch.device("cpu"))
    assert stored.config.train.class_weights is None
    assert stored.config.train.sampling == "shuffle"
    assert state.best_by == "accuracy"
    assert state.best is not None
    assert state.best.val == Scores(0.5, 0.75)


def message(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        checkpoint.read(path)
    return str(caught.value).replace(f"{path}: ", "")


def test_a_newer_format(file: Path) -> None:
    expected = "format 2, but this sepcnn reads up to format 1\n   update sepcnn"
    assert message(rewritten(file, format=2)) == expected


def test_a_wrong_checksum(file: Path) -> None:
    expected = (
        "damaged, the content does not match the checksum\n   use another checkpoint of the run"
    )
    assert message(rewritten(file, hash="0" * 32)) == expected


def test_one_changed_letter_of_the_header(file: Path) -> None:
    content = file.read_bytes()
    assert content.count(b"green") == 1
    file.write_bytes(content.replace(b"green", b"grown"))
    assert message(file).startswith("damaged, the content does not match the checksum")


def test_one_changed_bit_of_a_weight(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-5] ^= 1
    file.write_bytes(content)
    assert message(file).startswith("damaged, the content does not match the checksum")


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99], ids=str)
def test_a_file_that_is_cut_off(file: Path, share: float) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * share)])
    start = "not a complete checkpoint (" if share else "not a checkpoint: it is empty (0 bytes)"
    assert message(file).startswith(start)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"model:\n  - a", "text, 'model:'"),
        (b"PK\x03\x04" + bytes(100), "a zip archive; unpack it"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer; run git lfs pull"),
        (b"\x89HDF\r\n\x1a\n\0", "an HDF5 file, as of Keras"),
        (pickle.dumps({}), "a pickled Python object; sepcnn reads no pickled files"),
    ],
)
def test_another_kind_of_file(tmp_path: Path, content: bytes, kind: str) -> None:
    path = tmp_path / "other"
    path.write_bytes(content)
    first, hint = message(path).split("\n")
    assert first == f"not a checkpoint: it is {kind}"
    assert hint == "   give a run folder or a .safetensors file of a run"


def test_a_link_to_a_checkpoint_that_is_elsewhere(tmp_path: Path) -> None:
    path = tmp_path / "last.safetensors"
    path.symlink_to(".git/annex/objects/a/b")
    assert message(path).endswith("\n   its content is not here; run git annex get")


def test_a_foreign_safetensors_file(tmp_path: Path) -> None:
    path = tmp_path / "foreign.safetensors"
    save_file({"weight": torch.zeros(3)}, path)
    assert message(path) == (
        "a safetensors file, but not written by sepcnn\n"
        "   give a checkpoint such as last.safetensors of a run"
    )


@pytest.mark.parametrize("key", ["resolved", "data", "machine", "epochs", "config"])
def test_a_header_with_nonsense(file: Path, key: str) -> None:
    assert message(rewritten(file, **{key: 3})).startswith("the header is not valid")


def test_a_weight_of_another_shape(file: Path) -> None:
    with safe_open(file, "pt") as opened:
        header = json.loads(opened.metadata()[HEADER])
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    tensors["model/dense.weight"] = torch.zeros(3, 4)
    header["hash"] = checkpoint.content_hash(header, tensors)
    save_file(tensors, file, {HEADER: json.dumps(header)})
    with pytest.raises(CheckpointError) as caught:
        checkpoint.read(file).net()
    assert str(caught.value) == (
        f"{file}: the weight 'dense.weight' is missing or of another shape\n"
        "   the file was not written for this config"
    )


def test_bad_weights_are_never_saved(file: Path, config: Config, state: State) -> None:
    before = file.read_bytes()
    with torch.no_grad():
        state.model.get_parameter("dense.weight")[0, 0] = float("inf")
    with pytest.raises(DivergedError, match=r"^'dense.weight' was no longer finite at step 0$"):
        checkpoint.save(file, config, FACTS, {}, state)
    assert file.read_bytes() == before


def test_a_folder_that_is_gone(tmp_path: Path, config: Config, state: State) -> None:
    path = tmp_path / "gone" / "last.safetensors"
    with pytest.raises(StorageError) as caught:
        checkpoint.save(path, config, FACTS, {}, state)
    assert str(caught.value) == f"{path} could not be written: no such file or directory"


def test_locate(tmp_path: Path) -> None:
    for name in ("last.safetensors", "best.safetensors"):
        (tmp_path / name).touch()
        assert checkpoint.locate(tmp_path) == tmp_path / name
        assert checkpoint.locate(tmp_path / name) == tmp_path / name
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(CheckpointError) as caught:
        checkpoint.locate(empty)
    assert str(caught.value) == (
        f"{empty} holds no checkpoint\n   give a run folder or a .safetensors file"
    )


def test_a_file_that_is_replaced_meanwhile(
    file: Path, config: Config, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by a run that saves: tensors and header come from the same file."""
    load = checkpoint.from_safetensors

    def replace_and_load(content: bytes) -> dict[str, torch.Tensor]:
        state.step = 5
        checkpoint.save(file, config, FACTS, machine.choose_machine("cpu").facts(), state)
        return load(content)

    monkeypatch.setattr(checkpoint, "from_safetensors", replace_and_load)
    assert checkpoint.read(file).step == 0
    assert checkpoint.read(file).step == 5
