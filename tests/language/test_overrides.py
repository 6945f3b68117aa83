"""``--set KEY=VALUE``: what the file says afterwards, and what it means."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sepcnn.config.config import Config
from sepcnn.config.loading import config_from_node
from sepcnn.errors import ConfigError, Problem
from sepcnn.language.yaml_reader import parse

HEAD = """\
model:
  input_shape: [32, 32, 3]
"""
LAYERS = """\
  layers:
    - Conv2D: {filters: 4, kernel_size: 3} # first
    - GlobalAveragePooling2D
    - Dense:
        units: auto # classes
        activation: softmax
    - Dense: 10
"""
NET = HEAD + LAYERS
DEFAULTED = f"{HEAD}  defaults: {{Dense: {{use_bias: false}}}}\n{LAYERS}data: {{source: Shapes}}\n"
LOGITS = "  loss: {categorical_crossentropy: {from_logits: true}}\n"


def overridden(text: str, *overrides: str) -> Config:
    return config_from_node(text, parse(text, "c.yaml"), "c.yaml", Path("/here"), overrides)


def at(config: Config, path: str) -> object:
    """The value at a path of the resolved config, such as ``train.optimizer.RMSprop.rho``."""
    value: object = config.resolved()
    for part in path.split("."):
        if isinstance(value, list):
            value = value[int(part)]
        else:
            assert isinstance(value, dict)
            value = value[part]
    return value


@pytest.mark.parametrize(
    ("before", "override", "after", "path", "value"),
    [
        # sections and plain values
        ("seed: 1 # s", "train.seed=2", "seed: 2 # s", "seed", 2),
        ("seed: 1 # s", " train.seed = 0x10 ", "seed: 0x10 # s", "seed", 16),
        ("seed: 1", "train.epochs=3", "seed: 1\n  epochs: 3", "epochs", 3),
        ("seed:", "train.seed=3", "seed: 3", "seed", 3),
        ("device: auto", "train.device='cpu'", "device: cpu", "device", "cpu"),
        ("device: auto", 'train.device="cpu"', "device: cpu", "device", "cpu"),
        ("device: 'auto'", "train.device=cuda:1", 'device: "cuda:1"', "device", "cuda:1"),
        (
            "early_stopping: {patience: 2}",
            "train.early_stopping=null",
            "early_stopping: null",
            "early_stopping",
            None,
        ),
        (
            "early_stopping: # none yet",
            "train.early_stopping.patience=3",
            "early_stopping: {patience: 3} # none yet",
            "early_stopping.patience",
            3,
        ),
        # a choice: the bare name
        (
            "optimizer: SGD # o",
            "train.optimizer.momentum=0.9",
            "optimizer: {SGD: {momentum: 0.9}} # o",
            "optimizer.SGD.momentum",
            0.9,
        ),
        (
            "optimizer: SGD",
            "train.optimizer.SGD=1e-1",
            "optimizer: {SGD: 1e-1}",
            "optimizer.SGD.learning_rate",
            0.1,
        ),
        (
            "optimizer: SGD",
            "train.optimizer.SGD.momentum=1/2",
            "optimizer: {SGD: {momentum: 1/2}}",
            "optimizer.SGD.momentum",
            0.5,
        ),
        # another spelling of Keras
        (
            "optimizer: sgd",
            "train.optimizer.SGD.momentum=1/2",
            "optimizer: {sgd: {momentum: 1/2}}",
            "optimizer.SGD.momentum",
            0.5,
        ),
        # the first field
        (
            "optimizer: {SGD: 0.1} # o",
            "train.optimizer.momentum=0.9",
            "optimizer: {SGD: {learning_rate: 0.1, momentum: 0.9}} # o",
            "optimizer.SGD.momentum",
            0.9,
        ),
        (
            "optimizer: {SGD: 0.1}",
            "train.optimizer.learning_rate=0.2",
            "optimizer: {SGD: 0.2}",
            "optimizer.SGD.learning_rate",
            0.2,
        ),
        (
            "schedule: {OneCycle: 10%}",
            "train.schedule.warmup=5 steps",
            "schedule: {OneCycle: {peak: 10%, warmup: 5 steps}}",
            "schedule.OneCycle.peak",
            "10%",
        ),
        # a mapping
        (
            "optimizer: {SGD: {momentum: 0.9}}",
            "train.optimizer.momentum=0.8",
            "optimizer: {SGD: {momentum: 0.8}}",
            "optimizer.SGD.momentum",
            0.8,
        ),
        (
            "optimizer:\n    SGD:\n      momentum: 0.9 # m",
            "train.optimizer.nesterov=true",
            "optimizer:\n    SGD:\n      momentum: 0.9 # m\n      nesterov: true",
            "optimizer.SGD.nesterov",
            True,
        ),
        (
            "optimizer:\n    SGD: # no field yet",
            "train.optimizer.nesterov=true",
            "optimizer:\n    SGD: {nesterov: true} # no field yet",
            "optimizer.SGD.nesterov",
            True,
        ),
        # an absent choice is its default
        (
            "seed: 1",
            "train.optimizer.rho=0.5",
            "seed: 1\n  optimizer: {RMSprop: {rho: 0.5}}",
            "optimizer.RMSprop.rho",
            0.5,
        ),
        (
            "seed: 1",
            "train.optimizer.Adam.beta_1=0.5",
            "seed: 1\n  optimizer: {Adam: {beta_1: 0.5}}",
            "optimizer.Adam.beta_1",
            0.5,
        ),
        # another choice
        (
            "optimizer:\n    SGD:\n      momentum: 0.9 # m",
            "train.optimizer=Adam",
            "optimizer: Adam",
            "optimizer.Adam.beta_1",
            0.9,
        ),
        (
            "optimizer: SGD",
            "train.optimizer={Adam: {beta_1: 0.5}}",
            "optimizer: {Adam: {beta_1: 0.5}}",
            "optimizer.Adam.beta_1",
            0.5,
        ),
        (
            "optimizer: SGD",
            "train.optimizer=Adam: 0.5 # no braces",
            "optimizer: {Adam: 0.5}",
            "optimizer.Adam.learning_rate",
            0.5,
        ),
    ],
)
def test_overrides_of_train(
    before: str, override: str, after: str, path: str, value: object
) -> None:
    config = overridden(f"{NET}train:\n{LOGITS}  {before}\n", override)
    assert config.origin is not None
    assert config.origin.text == f"{NET}train:\n{LOGITS}  {after}\n"
    assert at(config, f"train.{path}") == value


@pytest.mark.parametrize(
    ("override", "before", "after", "path", "value"),
    [
        ("model.layers[0].filters=8", "filters: 4", "filters: 8", "0.Conv2D.filters", 8),
        ("model.layers[0].Conv2D.filters=8", "filters: 4", "filters: 8", "0.Conv2D.filters", 8),
        ("model.layers[0].padding=same", "3} #", "3, padding: same} #", "0.Conv2D.padding", "same"),
        (
            "model.layers[0].kernel_size=[3, 1]",
            "size: 3",
            "size: [3, 1]",
            "0.Conv2D.kernel_size",
            [3, 1],
        ),
        (
            "model.layers[0].activation.relu=null",
            "3} #",
            "3, activation: {relu: null}} #",
            "0.Conv2D.activation",
            {"relu": {"max_value": None, "negative_slope": 0.0, "threshold": 0.0}},
        ),
        (
            "model.layers[0]=Conv2D: {filters: 1, kernel_size: 1}",
            "Conv2D: {filters: 4, kernel_size: 3} #",
            "{Conv2D: {filters: 1, kernel_size: 1}} #",
            "0.Conv2D.filters",
            1,
        ),
        (
            "model.layers[1].name=pool",
            "- GlobalAveragePooling2D",
            "- {GlobalAveragePooling2D: {name: pool}}",
            "1.GlobalAveragePooling2D.name",
            "pool",
        ),
        (
            "model.layers[2].activation=null",
            "activation: softmax",
            "activation: null",
            "2.Dense.activation",
            None,
        ),
        ("model.layers[2].units=5", "units: auto #", "units: 5 #", "2.Dense.units", 5),
        (
            "model.layers[3].use_bias=false",
            "Dense: 10",
            "Dense: {units: 10, use_bias: false}",
            "3.Dense.units",
            10,
        ),
        ("model.layers[3].Dense=auto", "Dense: 10", "Dense: auto", "3.Dense.units", "auto"),
    ],
)
def test_overrides_of_layers(
    override: str, before: str, after: str, path: str, value: object
) -> None:
    text = f"{NET}train:\n{LOGITS}"
    config = overridden(text, override)
    assert config.origin is not None
    assert text.count(before) == 1
    assert config.origin.text == text.replace(before, after)
    assert at(config, f"model.layers.{path}") == value


@pytest.mark.parametrize(
    ("override", "added", "path", "value"),
    [
        (
            "data.source.train=50",
            "data: {source: {Shapes: {train: 50}}}",
            "data.source.Shapes.train",
            50,
        ),
        (
            "data.source.Arrays.path=a.npz",
            "data: {source: {Arrays: {path: a.npz}}}",
            "data.source.Arrays.path",
            str(Path.cwd() / "a.npz"),
        ),
        ("data.validation=1/5", "data: {validation: 1/5}", "data.validation", 0.2),
        (
            "data.augment=[RandomFlip, RandomTranslation: 0.25]",
            "data: {augment: [RandomFlip, RandomTranslation: 0.25]}",
            "data.augment.1.RandomTranslation.height_factor",
            0.25,
        ),
    ],
)
def test_overrides_of_an_absent_section(
    override: str, added: str, path: str, value: object
) -> None:
    text = f"{NET}train:\n{LOGITS}"
    config = overridden(text, override)
    assert config.origin is not None
    assert config.origin.text == f"{text}{added}\n"
    assert at(config, path) == value


def test_defaults_are_overridden_before_the_layers_are_read() -> None:
    config = overridden(f"{NET}train:\n{LOGITS}", "model.defaults.Dense.use_bias=false")
    assert at(config, "model.layers.3.Dense.use_bias") is False


def test_overrides_build_on_each_other_and_are_kept() -> None:
    overrides = (
        "train.optimizer=SGD",
        "train.optimizer.momentum=0.9",
        "train.optimizer.momentum=0.5",
    )
    config = overridden(f"{NET}train:\n{LOGITS}", *overrides)
    assert at(config, "train.optimizer.SGD.momentum") == 0.5
    assert config.origin is not None
    assert config.origin.overrides == overrides
    again = overridden(config.origin.text)
    assert again.resolved() == config.resolved()
    assert parse(config.origin.text, "c.yaml").plain() == config.origin.node.plain()


WHOLE_PATH = "write it as in model.layers[3].filters"
KEY_VALUE = "expected KEY=VALUE\n   as in --set train.epochs=20; null means no value"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.epochs", KEY_VALUE),
        ("train.epochs= ", KEY_VALUE),
        ("train.epochs=# none", KEY_VALUE),
        ("=3", f"the path '' is empty\n   {WHOLE_PATH}"),
        ("train..epochs=3", f"the path 'train..epochs' goes wrong at character 6\n   {WHOLE_PATH}"),
        (
            "model.layers[-1]=A",
            f"the path 'model.layers[-1]' goes wrong at character 13\n   {WHOLE_PATH}",
        ),
        (
            "model.layers[9].filters=3",
            "there is no model.layers[9]: model.layers is a list of 4\n"
            "   its last item is model.layers[3]",
        ),
        (
            "model.layers.filters=3",
            "there is no model.layers.filters: model.layers is a list of 4\n"
            "   its last item is model.layers[3]",
        ),
        ("model[0]=3", "there is no model[0]: model is not a list\n   set model as a whole"),
        (
            "train.seed.x=3",
            "there is no train.seed.x: train.seed is a single value\n   set train.seed as a whole",
        ),
        (
            "data.augment[0]=RandomFlip",
            "a list that is not in the file can only be set as a whole\n"
            "   as in --set 'data.augment=[RandomFlip]'",
        ),
        (
            "train.optimizer.Adam.beta_1=0.5",
            "train.optimizer is SGD, not Adam\n"
            "   choose it with --set 'train.optimizer={Adam: {field: value}}'",
        ),
        ("train.epoch=3", "train: unknown key 'epoch'\n   did you mean 'epochs'?"),
        ("epochs=3", "unknown key 'epochs'\n   did you mean train.epochs?"),
        ("layers[1].filters=3", "unknown key 'layers'\n   did you mean model.layers[1].filters?"),
        ("trian.epochs=3", "unknown key 'trian'\n   did you mean 'train'?"),
        (
            "train.optimizer.momentun=0.5",
            "train.optimizer.SGD: unknown key 'momentun'\n   did you mean 'momentum'?",
        ),
        (
            "train.optimizer=Adamw",
            "train.optimizer: unknown optimizer 'Adamw'\n   did you mean 'AdamW'?",
        ),
        (
            "train.epochs=-3",
            "train.epochs: must be above 0, found -3\n"
            "   epochs: number of passes over the training images",
        ),
        ("train.epochs=[1,", "the text ends inside brackets\n   close the brackets"),
        ("train.epochs=!!int 3", "a config cannot use tags\n   delete the tag"),
        ("train.device=\udcff", "the character U+DCFF is not allowed\n   delete the character"),
        (
            "train.optimizer.x=3",
            "train.optimizer.SGD: unknown key 'x'\n   known: clipnorm, clipvalue, decay, "
            "global_clipnorm, learning_rate, momentum, nesterov, weight_decay",
        ),
        (
            "model.layers[0].filters=0",
            "model.layers[0].Conv2D.filters: must be above 0, found 0\n"
            "   filters: number of output channels",
        ),
        (
            "model.layers[2].x.y=3",
            "model.layers[2].Dense: unknown key 'x'\n   known: activation, bias_constraint, "
            "bias_initializer, bias_regularizer, inputs, kernel_constraint, kernel_initializer, "
            "kernel_regularizer, name, trainable, units, use_bias",
        ),
        (
            "model.layers[1].GlobalAveragePooling2D.a.b=3",
            "model.layers[1].GlobalAveragePooling2D: unknown key 'a'\n"
            "   known: inputs, keepdims, name, trainable",
        ),
        (
            "model.layers[3].units=12",
            "model.layers[3].Dense.units: the model has 12 outputs, but the data has 10 classes\n"
            "   write units: 10, or units: auto",
        ),
    ],
)
def test_refusals_are_located_at_the_override(override: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        overridden(f"{NET}train:\n{LOGITS}  seed: 1\n  optimizer: SGD\n", override)
    shown = override.replace("\udcff", "\ufffd")
    assert str(caught.value) == f"--set {shown}: {message}"


def test_a_value_without_fields_cannot_be_extended() -> None:
    text = f"{HEAD}  layers:\n    - Flatten: 3\n"
    with pytest.raises(ConfigError) as caught:
        overridden(text, "model.layers[0].name=a")
    assert str(caught.value) == (
        "--set model.layers[0].name=a: 'Flatten' takes no value\n   write Flatten alone"
    )


def test_a_shared_value_is_not_changed_in_both_places() -> None:
    text = NET.replace("{filters: 4, kernel_size: 3}", "&c {filters: 4, kernel_size: 3}")
    text = text.replace("    - Global", "    - Conv2D: *c\n    - Global")
    with pytest.raises(ConfigError) as caught:
        overridden(text, "model.layers[1].filters=8")
    assert str(caught.value) == (
        "--set model.layers[1].filters=8: model.layers[1].Conv2D.filters: "
        "the value belongs to an alias; a change would affect other places\n"
        "   replace the alias with its value"
    )


PARTS = st.sampled_from(
    [".model", ".layers", ".train", ".data", ".source", ".augment", ".optimizer", ".SGD", ".Adam",
     ".momentum", ".Dense", ".units", ".inputs", ".name", ".defaults", ".Conv2D", ".activation",
     ".kernel_size", ".loss", ".x", '."a b"', "[0]", "[1]", "[3]", "[7]", ".", "[", " "]
)  # fmt: skip
PLACES = st.sampled_from(["model", "model.layers[0]", "train.optimizer", "train", "data.source"])
VALUES = st.sampled_from(
    ["3", "0.5", "null", "true", "same", "SGD", "Adam: 0.1", "{SGD: {momentum: 0.5}}", "[3, 1]",
     "[]", "{}", "Dense: 10", "ReLU", "a: b: c", "'", "# c", "- 3", "relu # c", "3 epochs", ".nan",
     "&a 3", "*a", "|\n  x", "a\nb", "{a: 1, b", "!!int 3", "x: [1, {y: '#'}]", "\ufeff3", "\t"]
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from([NET, DEFAULTED, f"{NET}train: {{}}\n", f"{NET}train:\n  optimizer: SGD\n"]),
    st.lists(
        st.tuples(PLACES, st.lists(PARTS, max_size=3).map("".join), VALUES), min_size=1, max_size=3
    ),
)
def test_any_override_is_applied_or_refused_at_its_place(
    text: str, overrides: list[tuple[str, str, str]]
) -> None:
    written = [f"{place}{parts}={value}" for place, parts, value in overrides]
    problems: tuple[Problem, ...] = ()
    try:
        config = overridden(text, "train.loss.from_logits=true", *written)
        assert config.origin is not None
        assert overridden(config.origin.text).resolved() == config.resolved()
    except ConfigError as error:
        problems = error.problems
    # What does not fit an override may be told further below in the file.
    for problem in problems:
        assert str(problem.location).startswith(("--set ", "c.yaml:"))
