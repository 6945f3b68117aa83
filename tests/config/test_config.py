"""Config files as users write them: what is read, and what is said where it cannot be."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sepcnn.config.config import Config, context_of
from sepcnn.config.layer_defaults import Defaults
from sepcnn.config.loading import config_from_node, load_config, notes
from sepcnn.config.sections import Model
from sepcnn.errors import ConfigError, Problem
from sepcnn.language.data_format import DataFormat
from sepcnn.language.mismatch import Mismatch
from sepcnn.language.spec import Spec, read_spec
from sepcnn.language.values import ImageShape
from sepcnn.language.yaml_reader import parse
from sepcnn.nn.layers import LAYERS
from sepcnn.nn.layers.base import LayerList
from tests.conftest import CONFIGS as FOLDER
from tests.conftest import ROOT

RELU = {"relu": {"max_value": None, "negative_slope": 0.0, "threshold": 0.0}}

CONFIGS = sorted(FOLDER.glob("*.yaml"))
BROKEN = sorted((ROOT / "tests" / "broken").glob("*.yaml"))
END = ["GlobalAveragePooling2D", {"Dense": {"units": "auto", "activation": "softmax"}}]
assert CONFIGS
assert BROKEN


def config_of(text: str) -> Config:
    return config_from_node(text, parse(text, "c.yaml"), "c.yaml", Path("/folder"))


def with_layers(*lines: str, rest: str = "") -> Config:
    """A config with these lines of ``layers``, and an end that fits."""
    end = "- GlobalAveragePooling2D\n- Dense: {units: auto, activation: softmax}"
    listed = "\n".join(lines) + "\n" + end
    indented = "\n".join(f"    {line}" for line in listed.split("\n"))
    return config_of(f"model:\n  input_shape: [32, 32, 3]\n  layers:\n{indented}\n{rest}")


def resolved(config: Config, path: str) -> Any:
    """The value at a path such as ``model.layers.0.Dense.units``."""
    value: Any = config.resolved()
    for part in path.split("."):
        value = value[int(part)] if isinstance(value, list) else value[part]
    return value


def test_relative_paths_of_overrides_start_at_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    path = tmp_path / "c.yaml"
    layers = "[Flatten, Dense: {units: auto, activation: softmax}]"
    path.write_text(
        f"model: {{input_shape: [8, 8, 3], layers: {layers}}}\ndata: {{source: {{Folder: photos}}}}"
    )
    override = "data.source.Folder.path=photos"
    for text in (override, "data.source=Folder: photos", "data={source: {Folder: photos}}"):
        config = load_config(path, [text])
        assert resolved(config, "data.source.Folder.path") == str(tmp_path / "here" / "photos")
    config = load_config(path, ["data.source.Folder.labels=a.csv"])
    assert resolved(config, "data.source.Folder.path") == str(tmp_path / "photos")
    assert resolved(config, "data.source.Folder.labels") == str(tmp_path / "here" / "a.csv")
    config = load_config(path, ["data.source=Folder: photos", "data.source.labels=a.csv"])
    assert resolved(config, "data.source.Folder.path") == str(tmp_path / "here" / "photos")
    config = load_config(path, ["data.source={Arrays: {train: [a.npy, b.npy]}}"])
    here = [str(tmp_path / "here" / name) for name in ("a.npy", "b.npy")]
    assert resolved(config, "data.source.Arrays.train") == here
    # A stored config, as in eval and --resume.
    stored = load_config(path).with_overrides([override], lambda key: True, Mismatch("no"))
    assert resolved(stored, "data.source.Folder.path") == str(tmp_path / "here" / "photos")


# ── broken configs ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("path", BROKEN, ids=lambda path: path.stem)
def test_broken_configs(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent)
    with pytest.raises(ConfigError) as caught:
        load_config(path.name)
    assert f"{caught.value}\n" == path.with_suffix(".txt").read_text()


@pytest.mark.parametrize("path", BROKEN, ids=lambda path: path.stem)
def test_every_problem_has_a_line_and_starts_in_lower_case(path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    for problem in caught.value.problems:
        assert problem.location is not None
        assert problem.location.line
        first = problem.message.split()[0]
        assert first[0].islower() or first[0] in "'0123456789" or first in LAYERS
        assert problem.message[-1] not in ".!"


def test_the_shortcut_that_the_error_prints_can_be_pasted() -> None:
    path = ROOT / "tests" / "broken" / "shape_residual.yaml"
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    (problem,) = caught.value.problems
    shortcut = problem.hint.removeprefix("write ")
    text = path.read_text().replace("        layers:", f"        {shortcut}\n        layers:")
    assert config_of(text).graph(10).leaves[-3].shape == (15, 15, 32)


def test_a_problem_found_later_is_told_at_its_place() -> None:
    config = with_layers("- ReLU", rest="data: {source: Shapes}\n")
    assert str(config.problem(("data", "source"), "no such folder", "make it")) == (
        "c.yaml:7:16: data.source: no such folder\n"
        "      7 | data: {source: Shapes}\n"
        "        |                ^^^^^^\n"
        "   make it"
    )
    resolved_only = Config.from_resolved(config.resolved())
    assert str(resolved_only.problem(("data", "source"), "gone")) == "data.source: gone"


# ── what is read ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("layer", "field", "value"),
    [
        ("Dense: 5", "units", 5),
        ("Dense: {units: 5}", "units", 5),
        ("Dense: auto", "units", "auto"),
        ("Dense: {units: 5, activation: null}", "activation", None),
        ("Dense: {units: 5, activation: relu}", "activation", RELU),
        ("Dense: {units: 5, activation: {relu: }}", "activation", RELU),
        ("Dense: {units: 5, activation: {relu: {}}}", "activation", RELU),
        ("Dense: {units: 5, bias_initializer: {ones: }}", "bias_initializer", {"ones": {}}),
        ("MaxPooling2D", "pool_size", [2, 2]),
        ("MaxPooling2D:", "pool_size", [2, 2]),
        ("MaxPooling2D: {}", "pool_size", [2, 2]),
        ("MaxPooling2D: 3", "pool_size", [3, 3]),
        ("MaxPooling2D: [3, 2]", "pool_size", [3, 2]),
        ("MaxPooling2D: 3", "strides", None),
        ("Rescaling: 1/4", "scale", 0.25),
        ("Rescaling: 1e-3", "scale", 0.001),
        ("Rescaling: 2", "scale", 2.0),
        ("ReLU: {name: no}", "name", "no"),
        ("ReLU: {name: on}", "name", "on"),
        ("ReLU: {inputs: input}", "inputs", ["input"]),
        ("Dropout: 0.5", "rate", 0.5),
    ],
)  # fmt: skip
def test_layers(layer: str, field: str, value: object) -> None:
    config = with_layers(f"- {layer}")
    name = layer.split(":")[0]
    assert resolved(config, f"model.layers.0.{name}.{field}") == value


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("train: {optimizer: Adam}", "train.optimizer.Adam.learning_rate", 0.001),
        ("train: {optimizer: {Adam: 1/8}}", "train.optimizer.Adam.learning_rate", 0.125),
        ("train: {optimizer: {Adam: {beta_1: 0}}}", "train.optimizer.Adam.beta_1", 0.0),
        ("train: {schedule: {Step: 10 epochs}}", "train.schedule.Step.every", "10 epochs"),
        ("train: {schedule: {Step: 1 epoch}}", "train.schedule.Step.every", "1 epoch"),
        ("train: {schedule: {Step: 2.5%}}", "train.schedule.Step.every", "2.5%"),
        ("train: {schedule: {Constant: 500 steps}}", "train.schedule.Constant.warmup", "500 steps"),
        ("train: {early_stopping: {}}", "train.early_stopping", {"patience": 5}),
        ("train: {early_stopping: }", "train.early_stopping", None),
        ("train: {device: cuda:1}", "train.device", "cuda:1"),
        ("data: {augment: [RandomFlip: vertical]}", "data.augment.0.RandomFlip.mode", "vertical"),
        ("data: {augment: []}", "data.augment", []),
        ("data: {source: {Shapes: 50}}", "data.source.Shapes.train", 50),
        ("data: {source: {Arrays: a.npz}}", "data.source.Arrays.path", "/folder/a.npz"),
        ("data: {source: {Arrays: ../b/a.npz}}", "data.source.Arrays.path", "/folder/../b/a.npz"),
        ("data: {source: {Arrays: /c/a.npz}}", "data.source.Arrays.path", "/c/a.npz"),
        ("data: {source: {Arrays: ~/a.npz}}", "data.source.Arrays.path", "/home/me/a.npz"),
    ],
)  # fmt: skip
def test_sections(text: str, path: str, value: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert resolved(with_layers(rest=text), path) == value


DEFAULTS = """\
model:
  input_shape: [32, 32, 3]
  defaults:
    Conv2D: {kernel_size: 3, padding: same, activation: relu}
    Dense: {use_bias: false}
    Repeat: {times: 2}
  layers:
    - Conv2D: 4
    - Conv2D: {filters: 4, padding: valid, activation: null}
    - Repeat:
        layers:
          - Residual: {layers: [Conv2D: 4]}
    - GlobalAveragePooling2D
    - Dense: {units: auto, activation: softmax}
"""


def test_defaults_fill_what_a_layer_does_not_say() -> None:
    config = config_of(DEFAULTS)
    first, second, repeat, _, dense = resolved(config, "model.layers")
    inner = repeat["Repeat"]["layers"][0]["Residual"]["layers"][0]
    conv2d = ("padding", "activation", "kernel_size")
    assert [first["Conv2D"][key] for key in conv2d] == ["same", RELU, [3, 3]]
    assert [second["Conv2D"][key] for key in conv2d] == ["valid", None, [3, 3]]
    assert [inner["Conv2D"][key] for key in conv2d] == ["same", RELU, [3, 3]]
    assert repeat["Repeat"]["times"] == 2
    assert dense["Dense"]["use_bias"] is False


def test_classes_are_known_from_the_data_or_not_at_all() -> None:
    shapes = with_layers("- ReLU")
    assert shapes.graph(10).output.layer.model_dump()["units"] == 10
    assert shapes.graph(10).output.shape == (10,)
    arrays = with_layers("- ReLU", rest="data: {source: {Arrays: a.npz}}")
    assert (arrays.graph().output.shape, arrays.graph().classes) == ((1,), None)
    assert arrays.graph().output.depends_on_classes


def notes_of(config: Config) -> list[str]:
    return notes(config, config.graph())


def test_a_note_tells_of_pixels_that_nothing_scales() -> None:
    assert notes_of(with_layers("- Rescaling: 1/255")) == []
    assert notes_of(with_layers("- Normalization")) == []
    for name in ("BatchNormalization", "LayerNormalization", "GroupNormalization: 3"):
        assert notes_of(with_layers(f"- {name}", "- ReLU")) == []
    branches = "- Parallel: {branches: [[BatchNormalization], [ReLU]]}"
    for layers in (["- ReLU", "- BatchNormalization"], [branches]):
        assert len(notes_of(with_layers(*layers))) == 1
    assert notes_of(with_layers("- ReLU")) == [
        "the model receives pixels of 0 to 255: no Rescaling or Normalization layer scales them "
        "(Rescaling: {scale: 1/127.5, offset: -1} as first layer would)"
    ]


# ── round trips ───────────────────────────────────────────────────────────────────────────────


def check_round_trip(config: Config) -> None:
    data = config.resolved()
    written = json.dumps(data, allow_nan=False)
    again = Config.from_resolved(json.loads(written))
    assert again.resolved() == data
    assert again.graph() == config.graph()


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_configs_survive_the_round_trip(path: Path) -> None:
    check_round_trip(load_config(path))


def test_a_config_with_everything_survives_the_round_trip() -> None:
    check_round_trip(
        with_layers(
            "- Normalization: {mean: [1, 2, 3], variance: 4}",
            "- BatchNormalization: {renorm: true, renorm_clipping: {rmax: .inf, rmin: paper,",
            "    dmax: {start: 0, end: 5, after: 10%, until: 3 epochs}}}",
            "- Parallel: {branches: [[ReLU], [Conv2D: {filters: 2, kernel_size: 1}]]}",
            "- ReLU: {name: kept}",
            "- Conv2D: {filters: 5, kernel_size: [1, 1], kernel_initializer: {constant: 1e-3}}",
            "- Add: [kept, conv2d]",
            rest="train: {early_stopping: {}, schedule: {OneCycle: 5 steps},\n"
            "  loss: {categorical_focal_crossentropy: [1, 1/2]}}\n"
            "data: {source: {Arrays: {train: [a.npy, b.npy]}}, augment: [RandomErasing]}\n",
        )
    )


ACTIVATIONS = st.sampled_from([None, "relu", {"silu": {}}, {"tanh": None}])
NAMES = st.none() | st.from_regex(r"[a-z]{3}", fullmatch=True)
CONVOLUTIONS = st.fixed_dictionaries(
    {"filters": st.integers(1, 9), "kernel_size": st.sampled_from([1, 3, [3, 1]])},
    optional={"padding": st.just("same"), "activation": ACTIVATIONS, "name": NAMES},
)
LEAVES = st.one_of(
    st.sampled_from(["ReLU", "BatchNormalization", {"Dropout": 0.25}, {"Rescaling": "1/255"}]),
    CONVOLUTIONS.map(lambda fields: {"Conv2D": fields}),
    CONVOLUTIONS.map(lambda fields: {"SeparableConv2D": fields}),
)
LISTS = st.recursive(
    st.lists(LEAVES, min_size=1, max_size=3),
    lambda lists: st.lists(
        st.one_of(
            LEAVES,
            lists.map(lambda inner: {"Repeat": {"times": 2, "layers": inner}}),
            lists.map(lambda inner: {"Residual": {"layers": inner}}),
            st.lists(lists, min_size=2, max_size=3).map(lambda b: {"Parallel": {"branches": b}}),
        ),
        min_size=1,
        max_size=3,
    ),
    max_leaves=6,
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(LISTS)
def test_any_layers_load_and_survive_the_round_trip_or_are_refused(layers: list[Any]) -> None:
    text = json.dumps({"model": {"input_shape": [32, 32, 3], "layers": layers + END}})
    try:
        config = config_of(text)
    except ConfigError:
        return
    check_round_trip(config)
    names = [leaf.name for leaf in config.graph(10).leaves]
    assert len(set(names)) == len(names)


# ── any text ──────────────────────────────────────────────────────────────────────────────────

TEXTS = [path.read_text() for path in CONFIGS] + [DEFAULTS]
TOKENS = [
    *"-:,[]{}#&*!|>'\"% \n\t", "null", "true", "-1", "0", "1e400", ".nan", "3 epochs", "auto", "x",
    "name: a", "inputs: a", "Add", "Residual", "Dense", "layers", "{}", "[]", "? ", "<<: ",
]  # fmt: skip


def mutate(text: str, chance: random.Random) -> str:
    """A text with one line, token or character deleted, doubled, moved or replaced."""
    separator = chance.choice(["\n", " ", ""])
    parts = list(text) if not separator else text.split(separator)
    position = chance.randrange(len(parts))
    part = parts[position]
    replacements = [
        [],
        [part, part],
        [chance.choice(parts)],
        [chance.choice(TOKENS)],
        [f"  {part}"],
    ]
    parts[position : position + 1] = chance.choice(replacements)
    return separator.join(parts)


def check_loads_or_is_refused(text: str) -> None:
    lines = text.splitlines()
    began = time.monotonic()
    problems: tuple[Problem, ...] = ()
    try:
        check_round_trip(config_of(text))
    except ConfigError as error:
        problems = error.problems
    assert time.monotonic() - began < 10
    for problem in problems:
        place = problem.location
        assert place is not None
        assert 1 <= place.line <= max(1, len(lines))
        assert 1 <= place.column <= max(1, len(place.text))
        str(problem).encode()


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(TEXTS), st.integers(1, 4), st.integers(0, 2**32))
def test_mutations_of_a_config_load_or_are_refused(text: str, count: int, seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(count):
        text = mutate(text, chance) or "x"
    check_loads_or_is_refused(text)


WORDS = st.sampled_from(
    ["model", "layers", "input_shape", "defaults", "train", "data", "source", "name", "inputs",
     "optimizer", "SGD", "Dense", "Conv2D", "Residual", "Repeat", "Parallel", "branches", "times",
     "Shapes", "merge", "shortcut", "units", "filters", "kernel_size", "activation", "schedule"]
)  # fmt: skip
TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS | st.text(max_size=5),
    lambda below: st.lists(below, max_size=4) | st.dictionaries(WORDS, below, max_size=4),
    max_leaves=20,
)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(WORDS, TREES, max_size=3), st.lists(TREES, max_size=3), TREES, TREES)
def test_any_tree_loads_or_is_refused(
    root: dict[str, Any], layers: list[Any], train: object, defaults: object
) -> None:
    model = {"input_shape": [32, 32, 3], "layers": [*layers, *END], "defaults": defaults}
    for tree in (root, {"model": model, "train": train, "data": train}):
        check_loads_or_is_refused(json.dumps(tree, ensure_ascii=False))


def test_the_order_of_fields_decides_nothing() -> None:
    """``data_format`` and ``defaults`` are known before any field is validated."""

    class Reversed(Spec):
        layers: LayerList
        defaults: Defaults = {}
        input_shape: ImageShape
        data_format: DataFormat = "channels_last"

    text = """
    layers: [{BatchNormalization: {axis: 1}}, Conv2D: {filters: 3}, Flatten, Dense: 2]
    defaults: {Conv2D: {kernel_size: [2, 3], padding: same}}
    input_shape: [3, 8, 9]
    data_format: channels_first
    """
    node = parse(text, "c.yaml")
    context = context_of({"model": node.plain()}, Path())
    expected, found = (read_spec(cls, node, context) for cls in (Model, Reversed))
    assert found.input_shape == expected.input_shape == (8, 9, 3)
    assert found.layers == expected.layers
