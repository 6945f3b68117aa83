"""`sepcnn summary`: counts that are known exactly."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest

from tests.cli.conftest import Invoke
from tests.conftest import CONFIGS


@pytest.mark.parametrize(
    ("config", "params", "trainable", "macs"),
    [
        ("keras_sequential.yaml", 38_949, 38_949, 20_317_676),
        ("keras_sequential_bn.yaml", 40_389, 39_429, 20_317_676),
        ("mobilenet.yaml", 4_253_864, 4_231_976, 568_740_352),
        ("mobilenet_v2.yaml", 3_538_984, 3_504_872, 300_774_272),
        ("xception.yaml", 22_910_480, 22_855_952, 8_357_403_496),
    ],
)
def test_exact_counts(invoke: Invoke, config: str, params: int, trainable: int, macs: int) -> None:
    code, out, _ = invoke("summary", CONFIGS / config, "--json")
    assert code == 0
    result = json.loads(out)
    totals = (result["params"], result["trainable_params"], result["macs"])
    assert totals == (params, trainable, macs)
    layers = result["layers"]
    assert sum(layer["params"] for layer in layers) == params
    assert sum(layer["macs"] for layer in layers) == macs


def test_a_layer_and_the_dense_twin(invoke: Invoke) -> None:
    _, out, _ = invoke("summary", CONFIGS / "keras_sequential.yaml", "--json")
    result = json.loads(out)
    second = result["layers"][1]
    assert second["name"] == "separable_conv2d_1"
    assert second["type"] == "SeparableConv2D"
    assert second["output_shape"] == [60, 60, 64]
    assert second["params"] == 9 * 32 + 32 * 64 + 64
    assert second["macs"] == 60 * 60 * (9 * 32 + 32 * 64)
    assert second["activation_bytes"] == 4 * 60 * 60 * 64
    assert second["receptive_field"] == [5, 5]
    # Conv2D of the same arguments: 9·in·out + out each, and the two Dense layers.
    sizes = [3, 32, 64, 64, 128, 64, 128]
    dense = sum(9 * a * b + b for a, b in pairwise(sizes))
    assert result["dense_twin"]["params"] == dense + 128 * 32 + 32 + 32 * 10 + 10


def test_an_unknown_number_of_classes(invoke: Invoke, trained: Path) -> None:
    config = trained / "colours.yaml"
    code, out, _ = invoke("summary", config)
    assert code == 0
    assert "depends on the number of classes; set it with --classes N" in out
    totals = [line for line in out.splitlines() if line.endswith(", without dense")]
    names = ["parameters", "multiply-adds", "activations", "with"]
    assert [line.split()[0] for line in totals] == names
    code, out, _ = invoke("summary", config, "--classes", "3")
    assert code == 0
    assert "without" not in out
    _, unknown, _ = invoke("summary", config, "--json")
    _, known, _ = invoke("summary", config, "--classes", "3", "--json")
    assert json.loads(unknown)["layers"][-1]["output_shape"] is None
    assert json.loads(known)["layers"][-1]["output_shape"] == [3]
    _, stored, _ = invoke("summary", trained / "run", "--json")
    assert json.loads(stored) == json.loads(known)


def test_a_path_that_is_too_long(invoke: Invoke, tmp_path: Path) -> None:
    code, out, err = invoke("summary", tmp_path / ("x" * 300))
    assert (code, out) == (2, "")
    assert "name too long" in err.lower()


def test_table(invoke: Invoke) -> None:
    code, out, _ = invoke("summary", CONFIGS / "keras_sequential.yaml")
    assert code == 0
    assert "parameters     38,949 (38,949 trainable, 0 non-trainable)" in out
    assert "with Conv2D in place of SeparableConv2D: 282,282 parameters (7.2 ×)" in out
