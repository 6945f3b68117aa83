"""`sepcnn benchmark`: its output and its errors. No speed is asserted."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from sepcnn.backends import machine
from sepcnn.backends.background_load import BackgroundLoad
from sepcnn.backends.native import library
from sepcnn.benchmark import measurement, tune
from sepcnn.benchmark.measurement import MedianRange
from sepcnn.benchmark.tune import SpeedSettings, Trial, TuningResult
from tests.cli.conftest import Invoke
from tests.runs import write_config

SHORT = ("--seconds", "0.3")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A config without its data set, which is not needed."""
    path = write_config(tmp_path)
    (tmp_path / "colours.npz").unlink()
    return path


def test_json(invoke: Invoke, config: Path) -> None:
    code, out, err = invoke("benchmark", config, "--classes", 3, *SHORT, "--json")
    assert code == 0, err
    found = json.loads(out)
    assert list(found) == [
        "machine",
        "images_per_second",
        "rounds",
        "batch_size",
        "step_ms",
        "parts_ms",
        "peak_memory_bytes",
        "roofline",
        "rivals",
    ]
    assert list(found["parts_ms"]) == ["data", "forward", "backward", "optimizer"]
    assert list(found["roofline"]) == ["flops", "most_flops", "bytes", "most_bytes"]
    assert found["machine"]["device"] == "cpu"
    assert found["batch_size"] == 16


def test_table_fits_into_80_columns(invoke: Invoke, config: Path) -> None:
    code, out, err = invoke("benchmark", config, "--classes", 3, *SHORT)
    assert code == 0, err
    assert f"sepcnn benchmark {config} on " in err
    assert max(map(len, out.splitlines())) <= 80
    for word in ("sepcnn", "with Conv2D instead", "data", "forward", "arithmetic", "activations"):
        assert word in out


def test_an_unknown_number_of_classes(invoke: Invoke, config: Path) -> None:
    code, out, err = invoke("benchmark", config, *SHORT)
    assert (code, out) == (2, "")
    assert err == (
        "error: the number of classes is not known\n"
        "   units: auto depends on the data, which is not read here; set it with --classes N\n"
    )


def test_a_missing_device(invoke: Invoke, config: Path) -> None:
    code, _, err = invoke("benchmark", config, "--classes", 3, "--set", "train.device=cuda:99")
    assert code == 2
    assert "there is no device cuda:99" in err


@pytest.mark.exhaustive
def test_against_torch(invoke: Invoke, config: Path) -> None:
    code, out, err = invoke("benchmark", config, "--classes", 3, "--against", "torch", *SHORT)
    assert code == 0, err
    assert max(map(len, out.splitlines())) <= 80
    assert any(
        line.strip().startswith("plain PyTorch") and "×" in line for line in out.splitlines()
    )
    assert "note: plain PyTorch trains without data.augment" in err


OWN = SpeedSettings("bfloat16", "fused", 16, 2)
BEST = SpeedSettings("float32", "plain", 32, 1)


def tuned(
    monkeypatch: pytest.MonkeyPatch, best: SpeedSettings, close: SpeedSettings | None = None
) -> None:
    """Replace tuning by a result whose best setting is ``best``."""
    tries = [
        Trial(OWN, MedianRange(1000.0, 900.0, 1100.0), 1.0),
        Trial(replace(OWN, batch_size=8), None, 0.0),
        Trial(BEST, MedianRange(1500.0, 1400.0, 1600.0), 1.5),
    ]
    monkeypatch.setattr(tune, "tune", lambda *_: TuningResult(tries, best, 9, close))


def test_tuning_prints_each_trial(
    invoke: Invoke, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tuned(monkeypatch, BEST)
    before = config.read_bytes()
    code, out, err = invoke("benchmark", config, "--classes", 3, "--tune")
    assert code == 0, err
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert "bfloat16 fused 16 2 1,000 1.00 ×" in lines
    assert "bfloat16 fused 8 2 did not run –" in lines
    assert "float32 plain 32 1 1,500 1.50 × best" in lines
    assert lines[-4:] == [
        "fastest: train.precision: float32, train.fused: false, train.batch_size: 32",
        f"sepcnn benchmark {config} --tune --write writes this to the file",
        "another batch size changes the training: it may need another learning rate",
        "the config has no key for threads: set OMP_NUM_THREADS=1 before training",
    ]
    assert config.read_bytes() == before


def test_tuning_without_a_faster_setting(
    invoke: Invoke, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tuned(monkeypatch, OWN, close=replace(OWN, batch_size=32))
    before = config.stat()
    code, out, _ = invoke("benchmark", config, "--classes", 3, "--tune", "--write")
    assert code == 0
    assert out.splitlines()[-2:] == [
        "the settings of the config are the fastest of those tried",
        "batch_size 32 is also faster, but by less than 10 %",
    ]
    assert config.stat() == before


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_writing_settings_keeps_comments(
    invoke: Invoke, config: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    text = config.read_text().replace("batch_size: 16", "batch_size: 16  # as in the paper")
    text = text.replace("\n", ending)
    config.write_bytes(text.encode())
    tuned(monkeypatch, BEST)
    code, _, err = invoke("benchmark", config, "--classes", 3, "--tune", "--write")
    assert code == 0, err
    assert err.splitlines()[-1] == f"settings written to {config}"
    expected = text.replace("batch_size: 16 ", "batch_size: 32 ")
    expected += f"  precision: float32{ending}  fused: false{ending}"
    assert config.read_bytes().decode() == expected
    assert list(config.parent.iterdir()) == [config]


def test_a_missing_section_is_written(
    invoke: Invoke, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = config.read_text().partition("train:")[0]
    config.write_text(text)
    tuned(monkeypatch, BEST)
    found = invoke("benchmark", config, "--classes", 3, "--tune", "--write", "--json")
    code, out, err = found
    assert code == 0, err
    result = json.loads(out)
    assert list(result) == ["machine", "tries", "best", "rounds", "close", "changes"]
    assert result["changes"]["train.batch_size"] == "32"
    written = config.read_text()
    assert written.startswith(text)
    assert written.splitlines()[-1] == "train: {precision: float32, fused: false, batch_size: 32}"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--write"], "--write needs --tune and cannot be combined with --set"),
        (
            ["--tune", "--write", "--set", "train.seed=1"],
            "--write needs --tune and cannot be combined with --set",
        ),
        (
            ["--tune", "--against", "torch"],
            "only one of --infer, --against and --tune can be given",
        ),
        (["--infer", "--tune"], "only one of --infer, --against and --tune can be given"),
    ],
)
def test_options_that_cannot_be_combined(
    invoke: Invoke, config: Path, options: list[str], message: str
) -> None:
    code, out, err = invoke("benchmark", config, *options)
    assert (code, out) == (2, "")
    assert err.splitlines()[-1] == f"Error: {message}"


def test_infer(invoke: Invoke, config: Path) -> None:
    code, out, err = invoke("benchmark", config, "--classes", 3, "--infer", *SHORT)
    assert code == 0, err
    assert err.splitlines()[0].endswith("float32, channels_last")
    assert max(map(len, out.splitlines())) <= 80
    assert out.splitlines()[3].split()[0] == "plain"
    code, out, _ = invoke("benchmark", config, "--classes", 3, "--infer", *SHORT, "--json")
    assert code == 0
    found = json.loads(out)["forms"]["plain"]
    assert list(found) == ["latency_ms", "batch_size", "images_per_second", "rounds"]
    assert 0 < found["latency_ms"]["median"] <= found["latency_ms"]["percentile95"]


@pytest.mark.parametrize(
    ("used", "noted"), [(1.3, True), (0.1, False), (None, False)], ids=["busy", "quiet", "unknown"]
)
def test_a_note_reports_other_programs(
    invoke: Invoke,
    config: Path,
    monkeypatch: pytest.MonkeyPatch,
    used: float | None,
    noted: bool,
) -> None:
    monkeypatch.setattr(machine, "processor_count", lambda: 2)
    monkeypatch.setattr(BackgroundLoad, "processors", used)
    monkeypatch.setattr(BackgroundLoad, "__exit__", lambda *_: None)
    code, _, err = invoke("benchmark", config, "--classes", 3, "--infer", *SHORT)
    assert code == 0
    note = (
        "note: other programs used 1.3 of 2 processors: speeds are too low, "
        "and ratios are uncertain"
    )
    assert (note in err.splitlines()) == noted


def test_a_note_reports_missing_kernels(
    invoke: Invoke, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library, "load_kernels", lambda precision: None)
    _, _, err = invoke("benchmark", config, "--classes", 3, *SHORT)
    note = "note: the kernels could not be compiled here: with g++ (GCC), training would be faster"
    assert (note in err.splitlines()) == sys.platform.startswith("linux")


def test_a_config_that_cannot_be_written_is_not_measured(
    invoke: Invoke, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    monkeypatch.setattr(tune, "tune", None)
    code, out, err = invoke("benchmark", config, "--classes", 3, "--tune", "--write")
    assert (code, out) == (2, "")
    assert err == (
        f"error: the folder of {config} cannot be written\n"
        "   without --write the settings are only printed\n"
    )


def test_a_note_reports_few_rounds(
    invoke: Invoke, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measurement, "ROUNDS", 1)
    note = "note: only 1 round in this time: a higher --seconds shows the spread"
    for option in ([], ["--infer"], ["--tune"]):
        _, _, err = invoke("benchmark", config, "--classes", 3, *SHORT, *option)
        assert note in err.splitlines()


@pytest.mark.parametrize("compiles", [True, False])
def test_inference_reports_missing_kernels_only_if_they_are_missing(
    invoke: Invoke, config: Path, monkeypatch: pytest.MonkeyPatch, compiles: bool
) -> None:
    if not compiles:
        monkeypatch.setattr(library, "load_kernels", lambda precision: None)
    elif library.load_kernels("float32") is None:
        pytest.skip("no C++ compiler here")
    _, _, err = invoke("benchmark", config, "--classes", 3, "--infer", *SHORT)
    assert ("the kernels could not be compiled here" in err) == (
        not compiles and sys.platform.startswith("linux")
    )
