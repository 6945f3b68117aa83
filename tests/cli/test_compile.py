"""`train.compile`: in a run, when it resumes, and on machines that do not support it."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest
import torch

from sepcnn.backends import machine
from sepcnn.backends.native import library
from tests.cli.conftest import Invoke
from tests.runs import records, write_config


@pytest.fixture(autouse=True)
def _without_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    torch._dynamo.reset()
    monkeypatch.setattr(machine, "supports_compile", lambda device: True)
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))


def test_a_compiled_run_stays_compiled(tmp_path: Path, invoke: Invoke) -> None:
    config = write_config(tmp_path, epochs=1, precision="float32", compile="true")
    run = tmp_path / "run"
    code, _, err = invoke("train", config, "--run-dir", run)
    assert code == 0, err
    assert err.splitlines()[0].endswith("float32, channels_last, compiled")
    assert json.loads((run / "environment.json").read_text())["machine"]["form"] == "compiled"
    code, _, err = invoke("train", "--resume", run, "--set", "train.epochs=2")
    assert code == 0, err
    assert err.splitlines()[0].endswith("float32, channels_last, compiled")
    assert [line["event"] for line in records(run)].count("epoch") == 2


def test_auto_compiles_long_runs_on_a_gpu(
    tmp_path: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run of 8 steps on a pretended GPU."""
    calls = []
    monkeypatch.setattr(
        machine, "compiling_pays", lambda device, steps: calls.append(steps) or True
    )
    config = write_config(tmp_path, epochs=1, precision="float32")
    code, _, err = invoke("train", config, "--run-dir", tmp_path / "run")
    assert (code, calls) == (0, [8])
    assert "compiled with torch.compile: the first step waits for it, about a minute\n" in err
    environment = json.loads((tmp_path / "run" / "environment.json").read_text())
    assert environment["machine"]["form"] == "compiled"
    config = write_config(tmp_path, epochs=1, precision="float32", compile="false")
    assert invoke("train", config, "--run-dir", tmp_path / "plain")[0] == 0
    assert calls == [8]


def test_a_machine_that_cannot_compile(
    tmp_path: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "supports_compile", lambda device: False)
    config = write_config(tmp_path, compile="true")
    code, out, err = invoke("train", config, "--run-dir", tmp_path / "run")
    assert (code, out) == (2, "")
    lines = err.splitlines()
    message = "train.compile: torch.compile does not work here on cpu"
    assert lines[0] == f"{config}:21:12: {message}"
    assert lines[-1] == (
        "   say compile: auto, or install what it needs: g++ on a CPU, gcc and Triton on a GPU"
    )


@pytest.mark.parametrize("value", ["yes", "1", "default"])
def test_other_values_are_errors(tmp_path: Path, invoke: Invoke, value: str) -> None:
    code, _, err = invoke("train", write_config(tmp_path, compile=value))
    assert code == 2
    found = value if value == "1" else f"'{value}'"
    lines = err.splitlines()
    assert lines[0].endswith(f"train.compile: expected auto, true or false, found {found}")
    assert lines[-1] == "   auto compiles only on a CUDA GPU, for long runs"


@pytest.mark.skipif(library.load_kernels("float32") is None, reason="no C++ compiler here")
def test_a_note_reports_that_a_run_resumes_in_another_form(
    tmp_path: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, config = tmp_path / "run", write_config(tmp_path, epochs=1, precision="float32")
    assert invoke("train", config, "--run-dir", run)[0] == 0
    monkeypatch.setattr(library, "start_compiling", lambda: None)
    monkeypatch.setattr(library, "load_kernels", lambda precision: None)
    code, _, err = invoke("train", "--resume", run, "--set", "train.epochs=2")
    assert code == 0, err
    expected = "note: computed fused so far, now plain: speed and last digits will differ"
    assert expected in err.splitlines()
