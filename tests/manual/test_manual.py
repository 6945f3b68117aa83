"""The manual: every entry has a page, pages in docs/reference/ are current, examples are valid."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from pydantic import TypeAdapter

from sepcnn.config.json_schema import TABLES
from sepcnn.config.sections import Data, EarlyStopping, Model, Train
from sepcnn.data.progressive_resizing import ProgressiveResizing
from sepcnn.errors import InputError
from sepcnn.language import yaml_reader
from sepcnn.language.spec import Choice, Context, Spec
from sepcnn.manual import SECTIONS, Chapter, chapters
from sepcnn.manual.entry import Entry, Field, to_yaml
from sepcnn.manual.lookup import FieldMatch, find
from sepcnn.manual.markdown import pages, prose
from sepcnn.manual.terminal import in_place, page
from sepcnn.manual.value_description import describe
from sepcnn.wording import wrapped
from tests.conftest import ROOT

DOCS = ROOT / "docs" / "reference"
BOOK = chapters()
PAGES = pages()
ENTRIES = [entry for chapter in BOOK.values() for entry in chapter.entries.values()]
every_entry = pytest.mark.parametrize("entry", ENTRIES, ids=lambda e: f"{e.kind}-{e.name}")


def plain(text: str) -> Any:
    return yaml_reader.parse(text, "example").plain()


def section(entry: Entry) -> str:
    """The part of a Markdown page about an entry."""
    text = next(PAGES[f"{c.name}.md"] for c in BOOK.values() if entry in c.entries.values())
    return text.split(f"\n## {entry.name}\n")[1].split("\n## ")[0]


@pytest.mark.parametrize("name", PAGES)
def test_the_reference_pages_are_current(name: str) -> None:
    assert (DOCS / name).read_text(encoding="utf-8") == PAGES[name], "run scripts/write-manual"


def test_every_table_is_a_chapter() -> None:
    assert [list(table) for table in TABLES] == [
        list(chapter.entries) for chapter in BOOK.values() if chapter.name != "sections"
    ]


def test_every_mapping_in_a_section_is_a_section() -> None:
    def specs(annotation: Any) -> Iterator[type[Spec]]:
        if isinstance(annotation, type) and issubclass(annotation, Spec):
            yield annotation
        for part in get_args(annotation):
            yield from specs(part)

    found = {
        cls
        for section in (Model, Data, Train)
        for field in section.model_fields.values()
        for cls in specs(field.annotation)
        if not issubclass(cls, Choice)
    }
    assert found == {EarlyStopping, ProgressiveResizing}
    assert found <= set(SECTIONS.values())


@every_entry
def test_every_entry_has_a_page(entry: Entry) -> None:
    found = section(entry)
    if entry.alias_of:
        assert f"Another name for [{entry.alias_of}](#{entry.alias_of})." in found
        return
    for paragraph in entry.paragraphs():
        assert prose(paragraph) in found
    fields = entry.own_fields()
    assert re.findall(r"^\| `(\w+)` \|", found, re.M) == [field.name for field in fields]


@every_entry
def test_every_field_is_on_the_page_of_the_terminal(entry: Entry) -> None:
    text = page(entry, 80)
    assert max(map(len, text.splitlines())) <= 80
    assert "``" not in text
    for name in entry.cls.model_fields:
        assert f"\n  {name} (" in text


@pytest.mark.parametrize("name", [name for name in PAGES if name != "sections.md"])
def test_shared_fields_are_listed_once(name: str) -> None:
    entries = BOOK[name.removesuffix(".md")].entries.values()
    for field in next(iter(entries)).shared_fields():
        others = {e.name for e in entries if field in e.own_fields()}
        assert others == set()
        assert f"| `{field.name}` |" in PAGES[name].split("\n## ")[0]


@pytest.mark.parametrize(
    "entry", [e for e in ENTRIES if e.kind != "section"], ids=lambda e: f"{e.kind}-{e.name}"
)
def test_examples_are_valid(entry: Entry) -> None:
    root = next(c for c in entry.cls.__mro__ if issubclass(c, Choice) and c.is_root())
    value = plain(entry.example())
    chosen = TypeAdapter(root).validate_python(value, context=Context())
    assert type(chosen) is entry.cls
    if isinstance(value, dict) and not isinstance(value[entry.name], dict):
        assert f"(short for `{{{entry.first_field()}: " in section(entry) or entry.alias_of


def test_links_lead_to_a_heading() -> None:
    for name, text in PAGES.items():
        for target, anchor in re.findall(r"\]\(([\w./]*)#(\w+)\)", text):
            headings = re.findall(r"^## (\w+)$", (DOCS / (target or name)).read_text(), re.M)
            assert anchor in [heading.lower() for heading in headings]


def test_pipes_in_cells_are_escaped() -> None:
    for text in PAGES.values():
        for line in text.splitlines():
            if line.startswith("| "):
                assert len(re.findall(r"(?<!\\)\|", line)) == 5, line


def test_papers_become_links_and_code_is_marked() -> None:
    assert prose("``x · y``, Ba et al. 2016, arXiv:1607.06450.") == (
        "`x · y`, Ba et al. 2016, [arXiv:1607.06450](https://arxiv.org/abs/1607.06450)."
    )


def test_a_summary_is_the_first_sentence() -> None:
    found = {entry.name: entry.summary() for entry in ENTRIES}
    assert found["Cosine"] == "Cosine decay from 1 to ``final``."
    assert found["AdamW"] == "Adam with decoupled weight decay."
    assert found["ReLU"].endswith("; at most ``max_value``.")


@pytest.mark.parametrize(
    ("name", "field", "expected"),
    [
        ("Conv2D", "filters", "whole number > 0"),
        ("Conv2D", "kernel_size", "one or two whole numbers ≥ 1"),
        ("Conv2D", "padding", "valid or same"),
        ("Conv2D", "activation", "activation or null"),
        ("Dropout", "rate", "number ≥ 0 and < 1"),
        ("Dropout", "noise_shape", "list of whole numbers ≥ 1 or null, or null"),
        ("Cropping2D", "cropping", "one or two whole numbers ≥ 0, or two pairs"),
        ("Parallel", "branches", "list of lists of layers"),
        ("Dense", "units", "whole number ≥ 1, or auto"),
        ("RandomErasing", "value", "whole number from 0 to 255"),
        ("Cosine", "warmup", "duration"),
        ("data", "source", "data source"),
        ("train", "early_stopping", "early_stopping or null"),
        ("model", "input_shape", "three whole numbers ≥ 1"),
    ],
)
def test_values_are_described_in_words(name: str, field: str, expected: str) -> None:
    entry = next(entry for entry in ENTRIES if entry.name == name)
    assert describe(entry.definition["properties"][field]) == expected


@every_entry
def test_defaults_are_valid_yaml(entry: Entry) -> None:
    for field in entry.fields():
        if field.default is not None:
            default = entry.cls.model_fields[field.name].default
            assert to_yaml(default) == field.default
            plain(f"{field.name}: {field.default}")


def test_finding_entries_by_name() -> None:
    def kinds(name: str) -> list[tuple[str, str]]:
        found = find(name)
        assert isinstance(found, list)
        return [(entry.name, entry.kind) for entry in found]

    assert kinds("Adam") == [("Adam", "optimizer")]
    assert kinds("conv2d") == [("Conv2D", "layer")]
    assert kinds("LeakyReLU") == [("LeakyReLU", "layer"), ("leaky_relu", "activation")]
    assert kinds("constant") == [("constant", "initializer"), ("Constant", "schedule")]
    assert kinds("train") == [("train", "section")]
    assert isinstance(find("optimizers"), Chapter)


@pytest.mark.parametrize(
    ("name", "places"),
    [
        ("augment", ["data.augment"]),
        ("validation", ["data.validation"]),
        ("optimizer", ["train.optimizer"]),
        ("data_format", ["model.data_format"]),
        ("groups", ["Conv2D.groups", "GroupNormalization.groups"]),
        ("train.epochs", ["train.epochs"]),
        ("epochs", ["train.epochs"]),
        ("data.source.Folder.labels", ["Folder.labels"]),
        ("model.layers[3].Conv2D.filters", ["Conv2D.filters"]),
        ("early_stopping.patience", ["early_stopping.patience"]),
        ("optimizer.nesterov", ["SGD.nesterov"]),
    ],
)
def test_finding_fields_by_name_and_path(name: str, places: list[str]) -> None:
    assert [match.place for match in find(name) if isinstance(match, FieldMatch)] == places


@pytest.mark.parametrize(
    ("word", "first", "among"),
    [
        ("rotate", "RandomRotation", "RandomRotation"),
        ("weights", "train.class_weights", "train.seed"),
        ("held out", "data.validation", "data.split_seed"),
    ],
)
def test_finding_texts_that_mention_a_word(word: str, first: str, among: str) -> None:
    rows = find(word)
    assert isinstance(rows, list)
    names = [name for name, _ in rows]
    assert names[0] == first
    assert among in names
    assert len(names) == len(set(names))


@every_entry
def test_an_example_is_at_its_place_in_the_config(entry: Entry) -> None:
    if "Example:" in page(entry, 80):
        sections = plain(in_place(entry))
        (section,) = sections
        ((key, value),) = sections[section].items()
        assert key in SECTIONS[section].model_fields
        assert plain(entry.example()) in (value, *(value if isinstance(value, list) else ()))
    else:
        assert entry.kind in {"section", "activation", "initializer", "regularizer", "constraint"}


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("Addam", "did you mean Adam?"),
        ("trian", "did you mean train?"),
        ("train.epoch", "did you mean train.epochs?"),
        ("Conv2D.filter", "did you mean Conv2D.filters?"),
        ("???", "sepcnn manual lists all names"),
    ],
)
def test_a_misspelt_name_is_an_error_with_a_hint(name: str, hint: str) -> None:
    with pytest.raises(InputError) as caught:
        find(name)
    assert (caught.value.message, caught.value.hint) == (f"the manual has no page '{name}'", hint)


def test_wrapping_keeps_words_whole() -> None:
    text = "``alpha`` of channels_first-like words and https://arxiv.org/abs/1502.01852 as well"
    lines = wrapped(text, 30, indent=4).splitlines()
    assert "".join(lines).split() == text.replace("``", "").split()
    assert all(line.startswith("    ") for line in lines)


def test_a_field() -> None:
    entry = BOOK["optimizers"].entries["SGD"]
    value, meaning = "number ≥ 0 and < 1", entry.field("momentum").meaning
    assert entry.field("momentum") == Field("momentum", value, frozenset(), "0.0", meaning)


def test_a_plain_value_is_not_a_link() -> None:
    """``best: loss`` is a plain value; ``loss: …`` refers to an entry of a table."""
    train = PAGES["sections.md"].split("\n## train\n")[1]
    assert "| `best` | accuracy, loss, macro_recall or macro_f1 |" in train
    assert "| `loss` | [loss](losses.md) |" in train
    assert "| `after` | [duration](../guide/config.md#values) |" in train
