"""`train.cuda_graphs`: in a run, when it resumes, and on machines without them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from sepcnn.backends import cuda_graph, machine
from tests.cli.conftest import Invoke
from tests.runs import records, write_config
from tests.tape import Tape


@pytest.fixture
def _a_pretended_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "supports_cuda_graphs", lambda device: True)
    monkeypatch.setattr(cuda_graph, "CudaRecorder", Tape)


def config_of(folder: Path, epochs: int = 1) -> Path:
    given = {"precision": "float32", "fused": "false", "cuda_graphs": "true"}
    return write_config(folder, epochs=epochs, **given)


@pytest.mark.usefixtures("_a_pretended_gpu")
def test_a_run_with_graphs_keeps_them(tmp_path: Path, invoke: Invoke) -> None:
    run = tmp_path / "run"
    code, _, err = invoke("train", config_of(tmp_path), "--run-dir", run)
    assert code == 0, err
    assert err.splitlines()[0].endswith("float32, channels_last, CUDA graphs")
    assert json.loads((run / "environment.json").read_text())["machine"]["graphs"] is True
    code, _, err = invoke("train", "--resume", run, "--set", "train.epochs=2")
    assert code == 0, err
    assert err.splitlines()[0].endswith("float32, channels_last, CUDA graphs")
    assert [line["event"] for line in records(run)].count("epoch") == 2


@pytest.mark.usefixtures("_a_pretended_gpu")
def test_a_run_continues_if_graphs_fail(
    tmp_path: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(self: Tape, *_: object) -> object:
        raise RuntimeError("operation not permitted")

    monkeypatch.setattr(Tape, "record", failing)
    code, _, err = invoke("train", config_of(tmp_path, epochs=2), "--run-dir", tmp_path / "run")
    assert code == 0
    note = "note: training continues without CUDA graphs, which failed: operation not permitted"
    assert err.splitlines().count(note) == 1


@pytest.mark.usefixtures("_a_pretended_gpu")
def test_a_run_resumes_without_graphs_on_another_machine(
    tmp_path: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    assert invoke("train", config_of(tmp_path), "--run-dir", run)[0] == 0
    monkeypatch.setattr(machine, "supports_cuda_graphs", lambda device: False)
    code, _, err = invoke("train", "--resume", run, "--set", "train.epochs=2")
    assert code == 0, err
    assert err.splitlines()[0].endswith("float32, channels_last")


@pytest.mark.skipif(torch.cuda.is_available(), reason="device: auto is a GPU here")
def test_a_machine_without_graphs(tmp_path: Path, invoke: Invoke) -> None:
    config = config_of(tmp_path)
    code, out, err = invoke("train", config, "--run-dir", tmp_path / "run")
    assert (code, out) == (2, "")
    lines = err.splitlines()
    assert lines[0] == f"{config}:23:16: train.cuda_graphs: there are no CUDA graphs on cpu"
    assert lines[-1] == "   they are for CUDA GPUs: say false, or leave it out"
