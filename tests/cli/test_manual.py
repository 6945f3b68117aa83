"""`sepcnn layers`, `manual`, `schema` and `init`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sepcnn.cli import console
from sepcnn.config.json_schema import TABLES
from sepcnn.config.loading import load_config
from sepcnn.manual import chapters
from sepcnn.nn.layers import LAYERS
from tests.cli.conftest import Invoke
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
    assert (
        "  pool_size (default [2, 2])\n      height and width of the window; one number means both"
        in out
    )


def test_unknown_layer(invoke: Invoke) -> None:
    code, _, err = invoke("layers", "MaxPool2D")
    assert code == 2
    assert err == "error: there is no layer 'MaxPool2D'\n   did you mean MaxPooling2D?\n"


def test_an_optimizer_is_not_a_layer(invoke: Invoke) -> None:
    code, _, err = invoke("layers", "Adam")
    assert code == 2
    assert err == "error: there is no layer 'Adam'\n   it is an optimizer: sepcnn manual Adam\n"


def test_manual_lists_every_name(invoke: Invoke) -> None:
    code, out, _ = invoke("manual")
    assert code == 0
    names = out.replace(",", " ").split()
    for table in TABLES:
        assert set(table) <= set(names)
    kinds = [line.split()[0] for line in out.splitlines() if line[:1].strip()]
    assert kinds[:-1] == [*chapters()]


@pytest.mark.parametrize("name", chapters())
def test_manual_of_a_chapter_lists_its_entries(invoke: Invoke, name: str) -> None:
    code, out, _ = invoke("manual", name)
    assert code == 0
    entries = chapters()[name].entries
    assert [line.split()[0] for line in out.splitlines()[: len(entries)]] == list(entries)


def test_manual_of_a_name_in_two_tables_shows_both(invoke: Invoke) -> None:
    code, out, _ = invoke("manual", "softmax")
    assert code == 0
    assert out.startswith("Softmax (layer)\n\nSoftmax: exp(x) / Σ exp(x) over the channels.")
    assert "\n\nsoftmax (activation)\n\nexp(x) / Σ exp(x) over the channels." in out


def test_manual_of_a_section(invoke: Invoke) -> None:
    code, out, _ = invoke("manual", "train")
    assert code == 0
    title, _, summary, _, field, meaning = out.splitlines()[:6]
    assert (title, summary[:17]) == ("train (section)", "The training run:")
    assert (field, meaning[:6]) == ("  epochs (default 10)", 6 * " ")


def test_manual_of_a_field(invoke: Invoke) -> None:
    assert invoke("manual", "augment") == (
        0,
        "data.augment (default [])\n"
        "      random augmentations of the training images, applied in this order\n"
        "      value: list of augmentations; sepcnn manual augmentations\n",
        "",
    )


def test_manual_of_a_word(invoke: Invoke) -> None:
    code, out, _ = invoke("manual", "rotate")
    assert code == 0
    assert out == (
        "RandomRotation          Rotates each image about its centre.\n"
        "RandomHue               Rotates the HSV hue by factor / 2 of the colour wheel, "
        "in a random direction.\n\n"
        "these mention rotate; sepcnn manual NAME shows the page of a name\n"
    )


def test_the_page_of_an_augmentation_has_an_example(invoke: Invoke) -> None:
    _, out, _ = invoke("manual", "RandomRotation")
    assert "\nExample:\n\n  data:\n    augment:\n      - RandomRotation: 0.05\n" in out
    assert "0.05 rotates by up to 18°" in out


def test_manual_of_a_misspelt_name(invoke: Invoke) -> None:
    code, _, err = invoke("manual", "Adan")
    assert code == 2
    assert err == "error: the manual has no page 'Adan'\n   did you mean Adam?\n"


@pytest.mark.parametrize(
    "arguments",
    [["layers"], ["layers", "Resizing"], ["manual"], ["manual", "losses"]],
    ids=" ".join,
)
def test_pages_are_as_wide_as_the_terminal(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.setattr(console, "width", lambda: 60)
    _, out, _ = invoke(*arguments)
    widest = max(map(len, out.splitlines()))
    assert 45 < widest <= 60


def test_init_writes_a_config_that_loads(tmp_path: Path, invoke: Invoke) -> None:
    code, out, _ = invoke("init", tmp_path / "new")
    assert code == 0
    path = tmp_path / "new" / "starter.yaml"
    assert out == (
        f"wrote {path}\nthere are no images in {tmp_path / 'new'}: the config uses the built-in "
        f"Shapes\nnext: sepcnn train {path}\n"
    )
    assert load_config(path).train.epochs == 10
    code, _, err = invoke("init", tmp_path / "new")
    assert code == 2
    assert err == (
        f"error: {path} exists already\n"
        "   move it to another name, or run the command in another folder\n"
    )


def test_schema_command_prints_the_shipped_file(invoke: Invoke) -> None:
    code, out, _ = invoke("schema")
    assert code == 0
    assert json.loads(out)["title"] == "sepcnn config"
    assert out == (CONFIGS / "sepcnn.schema.json").read_text(), "run scripts/write-schema"
