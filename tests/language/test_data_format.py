"""A file with channels first: the same net read in another order, and real Keras beside it."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
import torch

from sepcnn.api import load_config
from sepcnn.config.config import Config, context_of
from sepcnn.config.sections import Model
from sepcnn.errors import ConfigError
from sepcnn.language.spec import read_spec, to_plain
from sepcnn.language.yaml_reader import parse
from sepcnn.nn.graph import GraphError, make_graph
from sepcnn.nn.layers.base import Layer, Shape
from sepcnn.nn.model import build
from tests.reference import SideBySide, assert_close, float64, keras, paired_weights

TWINS = [
    ("BatchNormalization: {axis: 1}", "BatchNormalization: {axis: -1}"),
    ("BatchNormalization", "BatchNormalization"),
    ("GroupNormalization: {groups: 2, axis: 1}", "GroupNormalization: {groups: 2}"),
    ("LayerNormalization: 1", "LayerNormalization: -1"),
    ("LayerNormalization: {axis: [2, 3]}", "LayerNormalization: {axis: [-3, -2]}"),
    ("PReLU: {shared_axes: [2, 3]}", "PReLU: {shared_axes: [-3, -2]}"),
    ("PReLU: {shared_axes: 1}", "PReLU: {shared_axes: -1}"),
    ("Softmax: [2, 3]", "Softmax: [-3, -2]"),
    (
        "Normalization: {mean: [1, 2, 3, 4], variance: 2, axis: 1}",
        "Normalization: {mean: [1, 2, 3, 4], variance: 2}",
    ),
    (
        "Dropout: {rate: 0.5, noise_shape: [null, null, 1, 9]}",
        "Dropout: {rate: 0.5, noise_shape: [null, 1, 9, null]}",
    ),
    ("Reshape: [6, 14, -1]", "Reshape: [14, -1, 6]"),
    ("Permute: [2, 3, 1]", "Permute: [2, 3, 1]"),
    ("Permute: [1, 3, 2]", "Permute: [2, 1, 3]"),
    (
        "Concatenate: {inputs: [input, input], axis: 2}",
        "Concatenate: {inputs: [input, input], axis: -3}",
    ),
    ("Conv2D: {filters: 5, kernel_size: [2, 3]}", "Conv2D: {filters: 5, kernel_size: [2, 3]}"),
    ("Dense: 3", "Dense: 3"),
]


def model(text: str) -> Model:
    node = parse(text, "c.yaml")
    return read_spec(Model, node, context_of({"model": node.plain()}, Path()))


@pytest.mark.parametrize(("first", "last"), TWINS, ids=[first for first, _ in TWINS])
@pytest.mark.parametrize("as_default", [False, True], ids=["layer", "default"])
def test_the_same_net_is_read(first: str, last: str, as_default: bool) -> None:
    """Bit for bit, since nothing after reading knows of the order."""
    heads = ["data_format: channels_first\ninput_shape: [4, 7, 9]\n", "input_shape: [7, 9, 4]\n"]
    models = []
    for head, layer in zip(heads, (first, last), strict=True):
        name, _, fields = layer.partition(": ")
        layers = f"layers: [{{{layer}}}, Flatten, Dense: 3]"
        if as_default and fields.startswith("{") and "inputs" not in fields:
            layers = f"defaults: {{{layer}}}\nlayers: [{name}, Flatten, Dense: 3]"
        models.append(model(head + layers))
    found, expected = (make_graph(m.layers, m.input_shape) for m in models)
    assert found == expected
    assert to_plain(models[0])["data_format"] == "channels_last"
    assert read_again(models[0]).layers == models[1].layers


def read_again(read_before: Model) -> Model:
    """As from the resolved config of a checkpoint."""
    return Model.model_validate(to_plain(read_before))


WINDOW = {"pool_size": [3, 2], "strides": 2, "padding": "same"}
ROWS: list[tuple[str, dict[str, Any]]] = [
    ("Conv2D", {"filters": 6, "kernel_size": [3, 2], "strides": 2, "padding": "same"}),
    ("Conv2D", {"filters": 6, "kernel_size": 3, "groups": 2, "activation": "relu"}),
    ("SeparableConv2D", {"filters": 5, "kernel_size": [2, 3], "depth_multiplier": 2}),
    ("SeparableConv2D", {"filters": 5, "kernel_size": 3, "strides": 2, "padding": "same"}),
    ("DepthwiseConv2D", {"kernel_size": [3, 2], "depth_multiplier": 2, "padding": "same"}),
    ("Conv2DTranspose", {"filters": 3, "kernel_size": 3, "strides": 2, "padding": "same"}),
    ("BatchNormalization", {"axis": 1}),
    ("BatchNormalization", {"axis": 1, "renorm": True}),
    ("GroupNormalization", {"axis": 1, "groups": 2}),
    ("MaxPooling2D", WINDOW),
    ("AveragePooling2D", {"pool_size": 2}),
    ("GlobalAveragePooling2D", {"keepdims": True}),
    ("GlobalMaxPooling2D", {}),
    ("UpSampling2D", {"size": [2, 3], "interpolation": "bilinear"}),
    ("ZeroPadding2D", {"padding": [[1, 0], [2, 3]]}),
    ("Cropping2D", {"cropping": [[1, 0], [2, 3]]}),
    ("Flatten", {}),
    ("Permute", {"dims": [2, 3, 1]}),
    ("Softmax", {"axis": 1}),
    ("Concatenate", {"axis": 2}),
]


@pytest.mark.parametrize(("kind", "arguments"), ROWS, ids=str)
def test_same_as_keras(kind: str, arguments: dict[str, Any]) -> None:
    takes = "data_format" in keras_signature(kind)
    given = {**arguments, "data_format": "channels_first"} if takes else arguments
    shapes: list[Shape] = [(7, 9, 4)] * (2 if kind == "Concatenate" else 1)
    SideBySide(kind, given, *shapes, first=True).compare(batch=3)


def keras_signature(kind: str) -> set[str]:
    return set(inspect.signature(getattr(keras.layers, kind).__init__).parameters)


NET = """
data_format: channels_first
input_shape: [3, 9, 11]
layers:
  - Conv2D: {filters: 4, kernel_size: 3, padding: same, strides: 2, activation: relu}
  - BatchNormalization: {axis: 1}
  - SeparableConv2D: {filters: 6, kernel_size: 2}
  - MaxPooling2D: 2
  - Flatten
  - Dense: 5
"""


def test_a_net_is_that_of_keras() -> None:
    """Flatten orders height, width, channel in both, so that Dense has the same weights."""
    read_model = model(NET)
    with float64():
        keras.config.set_image_data_format("channels_first")
        theirs = keras.Sequential(
            [
                keras.Input((3, 9, 11), dtype="float64"),
                keras.layers.Conv2D(4, 3, padding="same", strides=2, activation="relu"),
                keras.layers.BatchNormalization(axis=1),
                keras.layers.SeparableConv2D(6, 2),
                keras.layers.MaxPooling2D(2),
                keras.layers.Flatten(),
                keras.layers.Dense(5),
            ]
        )
        keras.config.set_image_data_format("channels_last")
        ours = build(make_graph(read_model.layers, read_model.input_shape))
    for _, tensor, variable, recipe in paired_weights(ours, theirs):
        variable.assign(recipe.to_keras(tensor.detach()))
    images = torch.randn(3, 3, 9, 11, dtype=torch.float64)
    for training in (True, False):
        assert_close(ours.train(training)(images), theirs(images, training=training).detach())


# ── what is refused ───────────────────────────────────────────────────────────────────────────


def complaint(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        model(text)
    (problem,) = caught.value.problems
    return f"{problem.path}: {problem.message}; {problem.hint}"


AXES = "1 is the channels, 2 the height, 3 the width"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "data_format: channel_first\ninput_shape: [3, 8, 8]\nlayers: [Flatten]",
            "data_format: expected one of channels_last, channels_first; found 'channel_first'; "
            "it is the order in which this file names the axes of images",
        ),
        (
            "data_format: channels_first\ninput_shape: [8, 8]\nlayers: [Flatten]",
            "input_shape: expected [channels, height, width], found [8, 8]; "
            "for 64×64 colour images write [3, 64, 64], for grey ones [1, 64, 64]",
        ),
        (
            "data_format: channels_first\ninput_shape: [3, 8, 8]\n"
            "layers: [BatchNormalization: {axis: -1}]",
            "layers[0].BatchNormalization.axis: with data_format: channels_first, "
            f"expected 1, 2 or 3, found -1; {AXES}",
        ),
        (
            "data_format: channels_first\ninput_shape: [3, 8, 8]\n"
            "layers: [LayerNormalization: [1, 4]]",
            "layers[0].LayerNormalization.axis: with data_format: channels_first, "
            f"expected 1, 2 or 3, found 4; {AXES}",
        ),
        (
            "data_format: channels_first\ninput_shape: [3, 8, 8]\n"
            "layers: [LayerNormalization: {axis: 0}]",
            "layers[0].LayerNormalization.axis: expected an axis or a list of axes, found 0; "
            f"{AXES}",
        ),
        (
            "data_format: channels_first\ninput_shape: [3, 8, 8]\nlayers: [Permute: [1, 2, 2]]",
            "layers[0].Permute.dims: expected a permutation of the axes from 1, found [1, 2, 2]; "
            "[1, 3, 2] swaps height and width of an image",
        ),
        (
            "input_shape: [3, 8, 8]\n"
            "layers: [Conv2D: {filters: 1, kernel_size: 1, data_format: channels_first}]",
            "layers[0].Conv2D: unknown key 'data_format'; "
            "set it once for the whole file: model.data_format",
        ),
    ],
    ids=["name", "shape", "axis", "axes", "batch", "dims", "layer"],
)
def test_refusals(text: str, expected: str) -> None:
    assert complaint(text) == expected


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ("BatchNormalization: {axis: 3}", "axis must be the channel axis, found the width axis"),
        (
            "GroupNormalization: {groups: 1, axis: 2}",
            "axis must be the channel axis, found the height axis",
        ),
        ("LayerNormalization: [1, 1]", "the channel axis is given twice"),
        ("PReLU: {shared_axes: [2, 2]}", "the height axis is given twice"),
    ],
)
def test_refusals_by_shape_name_describe_axes(layer: str, message: str) -> None:
    """Numbers would be those of the other order."""
    found = model(f"data_format: channels_first\ninput_shape: [4, 7, 9]\nlayers: [{layer}]")
    with pytest.raises(GraphError) as caught:
        make_graph(found.layers, found.input_shape)
    assert caught.value.message == message


def test_features_have_one_axis() -> None:
    head = "data_format: channels_first\ninput_shape: [3, 8, 8]\nlayers: [GlobalAveragePooling2D, "
    assert make_graph(*net_of(f"{head}BatchNormalization: {{axis: 1}}]")).output.shape == (3,)
    with pytest.raises(GraphError) as caught:
        make_graph(*net_of(f"{head}BatchNormalization: {{axis: 2}}]"))
    assert caught.value.message == "there are not that many axes in 3 features"
    assert caught.value.hint == "axes are numbered from 1 to 1; 0 is the batch"


def net_of(text: str) -> tuple[tuple[Layer, ...], Shape]:
    found = model(text)
    return found.layers, found.input_shape


def test_a_run_goes_on_from_the_resolved_config(tmp_path: Path) -> None:
    """Read twice, a shape would be turned twice."""
    path = tmp_path / "c.yaml"
    path.write_text(
        "model:\n  input_shape: [3, 64, 64]\n  data_format: channels_first\n"
        "  layers: [BatchNormalization: {axis: 1}, GlobalAveragePooling2D, "
        "Dense: {units: auto, activation: softmax}]\n"
    )
    config = load_config(path, ["train.epochs=2", "model.input_shape=[3, 48, 48]"])
    assert config.model.input_shape == (48, 48, 3)
    assert Config.from_resolved(config.resolved()).resolved() == config.resolved()
    longer = config.with_overrides(["train.epochs=3"], lambda key: True, ("", ""))
    assert longer.model == config.model
