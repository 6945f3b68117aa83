"""The shape of the package: floors, single importers, complete tables, small files."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import sepcnn
from sepcnn.config.config import Config
from sepcnn.language.descriptions import field_descriptions
from sepcnn.language.spec import Choice, Spec

# A file imports from its own floor's folder and from the floors below it. Folders that share a
# floor do not import each other.
FLOORS = [
    ["__main__"],
    ["cli"],
    ["api", "check", "benchmark", "manual", "preview", "results", "starter"],
    ["training"],
    ["config"],
    ["data"],
    ["backends"],
    ["nn"],
    ["language"],
    ["cache", "randomness", "world"],
    ["atomic_file"],
    ["errors", "file_kind", "wording"],
]
ONLY_IMPORTER = {
    "yaml": "language.yaml_reader",
    "rich": "cli.console",
    "tqdm": "cli.console",
    "imagehash": "data.inspection",
    "keras": None,
}
NAMES_OF_NOTHING = {"utils", "util", "common", "helpers", "helper", "misc"}
assert Config  # its import fills every table
assert sepcnn.__file__
PACKAGE = Path(sepcnn.__file__).parent
FILES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
    if path != PACKAGE / "__init__.py"
}


def folder(name: str) -> str:
    return name.partition(".")[0]


def floor(name: str) -> int:
    """0 is the highest."""
    found = [number for number, folders in enumerate(FLOORS) if folder(name) in folders]
    assert found, f"give the folder of {name} a floor in {__name__}.FLOORS"
    return found[0]


def imports(path: Path) -> Iterator[str]:
    """The full names that a file imports, inside functions too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def own_imports(path: Path) -> set[str]:
    """The files of the package that a file imports, as in ``nn.layers.base``."""
    names = [name.removeprefix("sepcnn.") for name in imports(path) if name.startswith("sepcnn.")]
    return {name if name in FILES else name.rpartition(".")[0] for name in names} - {""}


@pytest.mark.parametrize("name", FILES)
def test_a_file_imports_from_its_folder_and_lower_floors(name: str) -> None:
    outside = {other for other in own_imports(FILES[name]) if folder(other) != folder(name)}
    assert {other for other in outside if floor(other) <= floor(name)} == set()


def test_no_import_goes_in_a_ring() -> None:
    list(TopologicalSorter({name: own_imports(FILES[name]) for name in FILES}).static_order())


@pytest.mark.parametrize(("library", "importer"), ONLY_IMPORTER.items())
def test_a_library_is_imported_in_one_file(library: str, importer: str | None) -> None:
    found = {n for n in FILES if any(i.split(".")[0] == library for i in imports(FILES[n]))}
    assert found == ({importer} if importer else set())


def test_tests_import_keras_from_the_reference_module() -> None:
    """It sets the backend and the precision, which must come before any use."""
    tests = Path(__file__).parent
    found = {path.name for path in tests.rglob("*.py") if any(map(is_keras, imports(path)))}
    assert found == {"reference.py"}


def is_keras(name: str) -> bool:
    return name.split(".")[0] == "keras"


@pytest.mark.parametrize("name", FILES)
def test_a_file_has_a_noun_a_sentence_and_at_most_300_lines(name: str) -> None:
    text = FILES[name].read_text()
    assert name.rpartition(".")[2] not in NAMES_OF_NOTHING
    assert (ast.get_docstring(ast.parse(text)) or "").partition("\n")[0]
    assert len(text.splitlines()) <= 300
    assert "TODO" not in text
    assert "FIXME" not in text


def below(cls: type[Spec]) -> Iterator[type[Spec]]:
    for child in cls.__subclasses__():
        if child.__module__.startswith("sepcnn."):
            yield child
            yield from below(child)


SPECS = sorted(set(below(Spec)) - {Choice}, key=lambda spec: (spec.__module__, spec.__qualname__))


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: f"{spec.__module__}.{spec.__name__}")
def test_a_spec_and_its_fields_are_documented(spec: type[Spec]) -> None:
    assert spec.__dict__.get("__doc__")
    undocumented = [name for name in spec.model_fields if not field_descriptions(spec).get(name)]
    assert undocumented == []


@pytest.mark.parametrize(
    "root",
    [spec for spec in SPECS if issubclass(spec, Choice) and spec.is_root()],
    ids=lambda root: root.__name__,
)
def test_a_table_holds_every_class_that_can_be_chosen(root: type[Choice]) -> None:
    classes = {spec for spec in below(root) if beside(spec, root)}
    final = {spec for spec in classes if not list(below(spec)) and not inspect.isabstract(spec)}
    assert final <= set(root.table.values()) <= classes


def beside(spec: type[Spec], root: type[Choice]) -> bool:
    """Whether a class is defined in the file or folder of its root."""
    home, other = (cls.__module__.rpartition(".")[0] for cls in (root, spec))
    return other == home if home.count(".") > 1 else spec.__module__ == root.__module__
