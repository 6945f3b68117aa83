"""Every spelling of an identifier that Keras accepts is accepted, and stored in one spelling."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from sepcnn.config.json_schema import schema
from sepcnn.language.spec import Context, Table, read_spec, to_plain
from sepcnn.language.yaml_reader import parse
from sepcnn.nn.activations import ACTIVATIONS
from sepcnn.nn.constraints import CONSTRAINTS
from sepcnn.nn.initializers import INITIALIZERS
from sepcnn.nn.layers.dense import Dense
from sepcnn.nn.losses import LOSSES
from sepcnn.nn.optimizers import OPTIMIZERS
from sepcnn.nn.regularizers import REGULARIZERS
from tests.reference import keras

KINDS = {
    "activations": ACTIVATIONS,
    "constraints": CONSTRAINTS,
    "initializers": INITIALIZERS,
    "losses": LOSSES,
    "optimizers": OPTIMIZERS,
    "regularizers": REGULARIZERS,
}
KERAS_HAS_ONLY_A_FUNCTION = {"l1_l2"}


def bare(name: str) -> str:
    return name.lower().replace("_", "")


def registry(kind: str) -> dict[str, Any]:
    """The registry of Keras: name → function or class."""
    names: dict[str, Any] = getattr(keras.src, kind).ALL_OBJECTS_DICT
    return names


@pytest.mark.parametrize("kind", KINDS)
def test_spellings_of_keras_are_accepted(kind: str) -> None:
    table, ours = KINDS[kind], {bare(name) for name in KINDS[kind]}
    theirs = {
        name: bare(entry.__name__)
        for name, entry in registry(kind).items()
        if bare(entry.__name__) in ours
    }
    assert len(theirs) >= len({id(cls) for cls in table.values()}) - len(KERAS_HAS_ONLY_A_FUNCTION)
    for name, entry in theirs.items():
        assert name in table, name
        chosen = table[name]
        assert entry in {bare(own) for own, cls in table.items() if cls is chosen}


@pytest.mark.parametrize("kind", KINDS)
def test_keras_accepts_our_spellings(kind: str) -> None:
    lower = kind == "optimizers"  # Keras ignores the case of their names
    known = registry(kind)
    spellings = KINDS[kind].spellings
    assert [name for name in spellings if (name.lower() if lower else name) not in known] == []


@pytest.mark.parametrize("kind", KINDS)
def test_both_spellings_mean_the_same_and_one_is_stored(kind: str) -> None:
    table = KINDS[kind]
    for spelling, name in table.spellings.items():
        assert name in list(table)
        assert spelling not in list(table)
        assert table[spelling] is table[name]


def test_a_stored_config_has_one_spelling() -> None:
    text = (
        "{units: 2, kernel_initializer: {VarianceScaling: {scale: 2}}, kernel_regularizer: "
        "{L2: 1e-4}, bias_constraint: NonNeg, kernel_constraint: {MaxNorm: 3}}"
    )
    dense = read_spec(Dense, parse(text, "c.yaml"), Context())
    plain = to_plain(dense)["Dense"]
    names = ("kernel_initializer", "kernel_regularizer", "bias_constraint", "kernel_constraint")
    assert [next(iter(plain[name])) for name in names] == [
        "variance_scaling",
        "l2",
        "non_neg",
        "max_norm",
    ]


@pytest.mark.parametrize("table", KINDS.values(), ids=KINDS)
def test_the_schema_has_every_spelling(table: Table) -> None:
    names, mapping = schema()["$defs"][table.kind]["anyOf"]
    assert set(names["enum"]) == {*table, *table.spellings} == set(mapping["properties"])


@pytest.mark.parametrize("table", Table.every, ids=lambda table: table.kind)
def test_first_arguments_have_the_order_of_keras(table: Table) -> None:
    """A hint translates ``Conv2D(32, 3)``, so these fields must be those of Keras."""
    homes = {"layer": "layers", "augmentation": "layers"}
    home = getattr(keras, homes.get(table.kind, f"{table.kind}s"), None) or keras.losses
    for name, cls in table.items():
        theirs = getattr(home, name if table.kind in homes else cls.__name__, None)
        if inspect.isclass(theirs) and theirs.__name__ == cls.__name__:
            parameters = [*inspect.signature(theirs).parameters]
            ours = cls.own_fields()[: cls.first_arguments]
            known = [parameter for parameter in parameters if parameter in cls.model_fields]
            assert known[: len(ours)] == ours, name
