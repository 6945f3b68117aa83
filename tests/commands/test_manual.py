"""`sepcnn layers`, `schema` and `init`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sepcnn.config import load
from sepcnn.layers import LAYERS
from tests.commands.conftest import Invoke
from tests.conftest import CONFIGS


def test_layers_lists_every_layer(invoke: Invoke) -> None:
    code, out, _ = invoke("layers")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()[: len(LAYERS)]] == list(LAYERS)


@pytest.mark.parametrize("name", LAYERS)
def test_each_layer_has_a_page_with_its_fields(invoke: Invoke, name: str) -> None:
    code, out, _ = invoke("layers", name)
    assert code == 0
    for field in LAYERS[name].own_fields():
        assert f"\n  {field} (" in out
    assert "None" not in out


def test_a_page(invoke: Invoke) -> None:
    _, out, _ = invoke("layers", "MaxPooling2D")
    assert out.splitlines()[:2] == ["MaxPooling2D", ""]
    assert "  pool_size (default [2, 2])\n      height and width of the window" in out


def test_unknown_layer(invoke: Invoke) -> None:
    code, _, err = invoke("layers", "MaxPool2D")
    assert code == 2
    assert err == "error: there is no layer 'MaxPool2D'\n   did you mean MaxPooling2D?\n"


def test_init_writes_a_config_that_loads(tmp_path: Path, invoke: Invoke) -> None:
    code, out, _ = invoke("init", tmp_path / "new")
    assert code == 0
    path = tmp_path / "new" / "starter.yaml"
    assert out == f"wrote {path}\nnext: sepcnn train {path}\n"
    assert load(path).train.epochs == 10
    code, _, err = invoke("init", tmp_path / "new")
    assert code == 2
    expected = f"error: {path} is there already\n   move it away, or give another folder\n"
    assert err == expected


def test_schema_command_prints_the_shipped_file(invoke: Invoke) -> None:
    code, out, _ = invoke("schema")
    assert code == 0
    assert json.loads(out)["title"] == "sepcnn config"
    assert out == (CONFIGS / "sepcnn.schema.json").read_text(), (
        "write it again: scripts/write-schema"
    )
