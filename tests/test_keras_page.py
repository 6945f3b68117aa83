"""docs/guide/keras.md: every argument of Keras that is refused has a row, and rows are current."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from pydantic import ValidationError

from sepcnn.config.json_schema import TABLES
from sepcnn.language.spec import Choice, Table, to_plain
from tests.reference import keras

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "guide" / "keras.md").read_text(encoding="utf-8")
VALUES = PAGE.split("\n## Values that Keras accepts and sepcnn refuses\n")[1].split("\n## ")[0]
HOMES: dict[str, ModuleType] = {
    "layer": keras.layers,
    "activation": keras.activations,
    "initializer": keras.initializers,
    "regularizer": keras.regularizers,
    "constraint": keras.constraints,
    "optimizer": keras.optimizers,
    "schedule": keras.optimizers.schedules,
    "loss": keras.losses,
    "augmentation": keras.layers,
}
HEADINGS = {kind: f"{kind}{'es' if kind.endswith('s') else 's'}".capitalize() for kind in HOMES}
KERAS_NAMES = {
    "Cosine": "CosineDecay",
    "CosineRestarts": "CosineDecayRestarts",
    "Exponential": "ExponentialDecay",
    "Polynomial": "PolynomialDecay",
    "InverseTime": "InverseTimeDecay",
}
"""of schedules; other names are Keras' own, in its spelling for functions or classes"""
OURS_ALONE = {
    *("StochasticDepth", "Residual", "Repeat", "Parallel"),
    *("Constant", "OneCycle", "Step"),
    *("RandomResizedCrop", "RandomNoise", "TrivialAugment"),
}
"""layers, schedules and augmentations without a counterpart in Keras"""
NOT_FOR_USERS = {"x", "rank", "pool_dimensions", "pool_mode"}
"""the tensor that a function is given, and what Keras' classes fill in for their base classes"""


def counterpart(kind: str, name: str) -> Any:
    """Keras' class or function of the same meaning; None where there is none."""
    home = HOMES[kind]
    class_name = "".join(part.capitalize() for part in name.split("_"))
    if kind == "loss":
        return getattr(home, class_name)
    wanted = KERAS_NAMES.get(name, name)
    return getattr(home, wanted, None) or getattr(home, class_name, None)


def arguments(thing: Any) -> dict[str, inspect.Parameter]:
    """What a constructor takes, with what it hands on to its base classes, or a function."""
    if not inspect.isclass(thing):
        return dict(inspect.signature(thing).parameters)
    found: dict[str, inspect.Parameter] = {}
    for cls in thing.__mro__:
        if "__init__" not in cls.__dict__ or cls is object:
            continue
        parameters = inspect.signature(cls.__init__).parameters.values()
        named = [p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
        found = {**{p.name: p for p in named[1:]}, **found}
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
    return found


def own_name(table: Table, name: str) -> bool:
    """Whether a name is not an alias."""
    return table.name_of(table[name]) == name


def label(value: object) -> str:
    return str(value) if isinstance(value, str) else ""


ENTRIES = [
    (table.kind, name, table[name])
    for table in TABLES
    if table.kind in HOMES
    for name in table
    if own_name(table, name) and name not in OURS_ALONE
]


def missing(kind: str, name: str, cls: type[Choice]) -> set[str]:
    """The arguments of Keras that sepcnn does not accept."""
    return set(arguments(counterpart(kind, name))) - set(cls.model_fields) - NOT_FOR_USERS


def rows(kind: str) -> list[tuple[set[str], set[str]]]:
    """The rows of the table of a kind: arguments, and the entries they belong to (``all``)."""
    part = PAGE.split(f"\n## {HEADINGS[kind]}\n")[1].split("\n## ")[0]
    cells = [line.split(" | ") for line in part.splitlines() if line.startswith("| `")]
    return [(set(re.findall(r"`(\w+)`", row[0])), set(re.findall(r"\w+", row[1]))) for row in cells]


def test_every_table_is_compared() -> None:
    assert {table.kind for table in TABLES} - {"data source"} == set(HOMES)


def test_entries_without_counterpart_are_listed() -> None:
    for table in TABLES:
        if table.kind in HOMES:
            without = {n for n in table if own_name(table, n) and not counterpart(table.kind, n)}
            assert without <= OURS_ALONE, table.kind


@pytest.mark.parametrize(("kind", "name", "cls"), ENTRIES, ids=label)
def test_an_argument_that_is_not_accepted_has_a_row(
    kind: str, name: str, cls: type[Choice]
) -> None:
    listed = {a for names, of in rows(kind) if of & {"all", name} for a in names}
    assert missing(kind, name, cls) - listed == set(), "add it to docs/guide/keras.md"


@pytest.mark.parametrize("kind", HOMES)
def test_no_row_is_out_of_date(kind: str) -> None:
    entries = {name: cls for k, name, cls in ENTRIES if k == kind}
    for names, of in rows(kind):
        of_names = entries if of == {"all"} else of
        for argument in names:
            lacking = {n for n in of_names if argument in missing(kind, n, entries[n])}
            assert lacking == set(of_names) if of != {"all"} else lacking, (argument, of)


@pytest.mark.parametrize(("kind", "name", "cls"), ENTRIES, ids=label)
def test_accepted_arguments_have_the_default_of_keras(
    kind: str, name: str, cls: type[Choice]
) -> None:
    for argument, parameter in arguments(counterpart(kind, name)).items():
        known = argument in cls.model_fields and parameter.default is not parameter.empty
        if known and argument != "name" and not is_required(cls, argument):
            ours, theirs = written(cls, argument), as_plain(parameter.default)
            # One axis is read as a list of one.
            assert ours in (OTHER_WORDS.get((argument, str(theirs)), theirs), [theirs]), argument


OTHER_WORDS: dict[tuple[str, str], object] = {
    ("weight_decay", "None"): 0.0,
    ("shared_axes", "None"): [],
    ("renorm_clipping", "None"): {"rmax": None, "rmin": None, "dmax": None},
    ("padding", "[1, 1]"): [[1, 1], [1, 1]],
    ("alpha_initializer", "Zeros"): "zeros",
}
"""argument and default of Keras, and the same meaning in a config"""


def is_required(cls: type[Choice], field: str) -> bool:
    return cls.model_fields[field].is_required()


def written(cls: type[Choice], field: str) -> object:
    default = cls.model_fields[field].default
    return default.chosen_name if isinstance(default, Choice) else to_plain(default)


def as_plain(value: object) -> object:
    return [as_plain(item) for item in value] if isinstance(value, tuple) else value


@pytest.mark.parametrize(
    ("kind", "name", "fields"),
    [
        ("layer", "Dropout", {"rate": 1.0}),
        ("layer", "SpatialDropout2D", {"rate": 1.0}),
        ("loss", "categorical_crossentropy", {"label_smoothing": 1.0}),
        ("optimizer", "SGD", {"momentum": 1.0}),
        ("optimizer", "RMSprop", {"rho": 1.0}),
        ("optimizer", "Adam", {"beta_1": 1.0}),
        ("optimizer", "Adam", {"epsilon": 0.0}),
        ("optimizer", "Adam", {"learning_rate": 0.0}),
        ("optimizer", "Adam", {"weight_decay": None}),
        ("layer", "LayerNormalization", {"epsilon": 0.0}),
        ("initializer", "random_normal", {"stddev": 0.0}),
        ("layer", "Conv2D", {"filters": 2, "kernel_size": 3, "padding": "SAME"}),
        ("layer", "Conv2D", {"filters": 2, "kernel_size": 3, "kernel_initializer": None}),
        ("layer", "Activation", {"activation": None}),
        ("layer", "BatchNormalization", {"momentum": 2.0}),
        ("layer", "Softmax", {"axis": None}),
        ("layer", "Softmax", {"axis": 0}),
        ("layer", "PReLU", {"shared_axes": [0, 1]}),
        ("constraint", "max_norm", {"max_value": -1.0}),
        ("constraint", "min_max_norm", {"rate": 2.0}),
        ("loss", "categorical_crossentropy", {"label_smoothing": -0.5}),
        ("loss", "categorical_focal_crossentropy", {"gamma": -1.0}),
        ("loss", "categorical_focal_crossentropy", {"alpha": 0.0}),
        ("loss", "binary_focal_crossentropy", {"alpha": 2.0}),
        ("schedule", "Exponential", {"decay_steps": 9, "decay_rate": 2.0}),
        ("schedule", "CosineRestarts", {"first_decay_steps": 9, "m_mul": 2.0}),
        ("schedule", "CosineRestarts", {"first_decay_steps": 9, "t_mul": 0.5}),
        ("augmentation", "RandomTranslation", {"height_factor": (-0.1, 0.2), "width_factor": 0.1}),
        ("augmentation", "RandomRotation", {"factor": 0.1, "fill_mode": "wrap"}),
        ("augmentation", "RandomHue", {"factor": (0.3, 0.1)}),
    ],
    ids=str,
)
def test_values_that_keras_accepts_and_sepcnn_refuses(
    kind: str, name: str, fields: dict[str, Any]
) -> None:
    thing = counterpart(kind, name)
    more = {"initial_learning_rate": 0.1} if kind == "schedule" else {}
    thing(**more, **fields)
    cls = next(cls for k, n, cls in ENTRIES if (k, n) == (kind, name))
    times = {"decay_steps": "9 steps", "first_decay_steps": "9 steps"}
    with pytest.raises(ValidationError) as caught:
        cls.model_validate({field: times.get(field, value) for field, value in fields.items()})
    (problem,) = caught.value.errors()
    assert f"`{problem['loc'][0]}" in VALUES


@pytest.mark.parametrize(
    ("name", "fields"),
    [("elu", {"alpha": -1.0}), ("relu", {"negative_slope": -1.0}), ("relu", {"threshold": -1.0})],
    ids=str,
)
def test_activations_below_zero(name: str, fields: dict[str, Any]) -> None:
    counterpart("activation", name)(keras.ops.ones((1, 2)), **fields)
    cls = next(cls for k, n, cls in ENTRIES if (k, n) == ("activation", name))
    with pytest.raises(ValidationError):
        cls.model_validate(fields)
    assert f"`{name}`" in VALUES
