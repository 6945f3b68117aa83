"""Class weights, compared with Keras, and their effect on rare classes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sepcnn.backends import machine
from sepcnn.config.config import Config
from sepcnn.config.loading import check_data, load_config, notes
from sepcnn.data.batch import Batch
from sepcnn.data.class_balance import is_imbalanced, resolve_class_weights
from sepcnn.errors import ConfigError
from sepcnn.nn.losses import LOSSES, Loss
from sepcnn.training import loop
from sepcnn.training.records import EpochRecord
from sepcnn.training.state import new_state
from sepcnn.training.step import batch_loss
from tests.reference import keras
from tests.runs import write_config

NAMES = ("cat", "dog", "owl")
WEIGHTS = (0.5, 3.0, 1.25)
NO_IMAGES = torch.zeros(0, 1, 1, 3)


# ── class weights ─────────────────────────────────────────────────────────────────────────────


def test_balanced_is_the_formula_of_scikit_learn() -> None:
    """``n_samples / (n_classes * np.bincount(y))``, sklearn.utils.compute_class_weight."""
    labels = np.array([0, 0, 0, 0, 0, 0, 1, 1, 1, 2])
    expected = len(labels) / (3 * np.bincount(labels))
    found = resolve_class_weights("balanced", NAMES, torch.tensor(labels))
    np.testing.assert_allclose(found, expected, rtol=1e-15)


@given(st.lists(st.integers(0, 2), min_size=1, max_size=50))
def test_balanced_weights_have_mean_1_and_equal_sums_per_class(labels: list[int]) -> None:
    weights = resolve_class_weights("balanced", NAMES, torch.tensor(labels))
    assert weights is not None
    sums = [weights[label] * labels.count(label) for label in set(labels)]
    assert sum(sums) == pytest.approx(len(labels))
    assert sums == pytest.approx(len(sums) * [sums[0]])
    assert all(weights[label] == 1 for label in range(3) if label not in labels)


def test_given_weights_are_used() -> None:
    labels = torch.tensor([0, 1])
    assert resolve_class_weights(None, NAMES, labels) is None
    assert resolve_class_weights((1.0, 2.0, 3.0), NAMES, labels) == (1.0, 2.0, 3.0)
    assert resolve_class_weights({"owl": 4.0, "cat": 0.5}, NAMES, labels) == (0.5, 1.0, 4.0)


@pytest.mark.parametrize(
    ("counts", "expected"), [((9, 5), False), ((10, 5), True), ((3, 3), False), ((3, 0), True)]
)
def test_classes_are_imbalanced_from_a_ratio_of_2(counts: tuple[int, int], expected: bool) -> None:
    labels = torch.tensor([0] * counts[0] + [1] * counts[1])
    assert is_imbalanced(labels, 2) is expected


# ── against Keras ─────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def wide() -> Iterator[None]:
    """Keras creates sample weights in its default dtype."""
    keras.config.set_floatx("float64")
    yield
    keras.config.set_floatx("float32")


LOSSES_OF_BOTH = [
    ("categorical_crossentropy", {}, keras.losses.CategoricalCrossentropy),
    (
        "categorical_crossentropy",
        {"label_smoothing": 0.1},
        keras.losses.CategoricalCrossentropy,
    ),
    (
        "categorical_focal_crossentropy",
        {"alpha": [0.25, 0.5, 0.75]},
        keras.losses.CategoricalFocalCrossentropy,
    ),
]


@pytest.mark.parametrize(("name", "fields", "theirs"), LOSSES_OF_BOTH)
@pytest.mark.parametrize("weights", [WEIGHTS, (1.0, 7.0, 1.0)], ids=str)
def test_a_weighted_step_equals_keras(
    wide: None, name: str, fields: dict[str, Any], theirs: Any, weights: tuple[float, ...]
) -> None:
    """The loss that `train_on_batch` reports, and the weights after one step of SGD."""
    numbers = np.random.default_rng(1)
    x, labels = numbers.normal(size=(10, 5)), numbers.integers(3, size=10)
    dense = keras.layers.Dense(3, activation="softmax", dtype="float64")
    model = keras.Sequential([keras.Input((5,)), dense])
    model.compile(keras.optimizers.SGD(0.5), theirs(**fields))
    kernel = torch.tensor(numbers.normal(size=(5, 3)), requires_grad=True)
    dense.set_weights([kernel.detach().numpy(), np.zeros(3)])
    # As a user would: a class that is not named weighs 1.
    class_weight = {label: weight for label, weight in enumerate(weights) if weight != 1}
    targets = np.eye(3)[labels]
    expected = model.train_on_batch(x, targets, class_weight=class_weight)

    loss: Loss = LOSSES[name](**fields)  # type: ignore[assignment]
    batch = Batch(NO_IMAGES, torch.tensor(labels))
    value = batch_loss(loss, torch.tensor(x) @ kernel, batch, weights)
    (gradient,) = torch.autograd.grad(value, [kernel])
    assert value.item() == pytest.approx(float(expected), rel=1e-10)
    stepped = (kernel - 0.5 * gradient).detach().numpy()
    np.testing.assert_allclose(stepped, dense.get_weights()[0], rtol=1e-10)
    # What evaluation reports has no weights, in Keras and here.
    left = torch.tensor(x) @ torch.tensor(dense.get_weights()[0])
    left = left + torch.tensor(dense.get_weights()[1])
    unweighted = loss(left, torch.tensor(labels)).item()
    assert unweighted == pytest.approx(model.evaluate(x, targets, verbose=0), rel=1e-10)


def test_a_weighted_epoch_equals_keras(tmp_path: Path) -> None:
    """`fit` with the same images in the same order; the last batch is smaller."""
    config = load_config(
        write_config(tmp_path, epochs=1, optimizer="{SGD: 0.001}", class_weights="{red: 3}"),
        [
            "data.augment=[]",
            "model.layers=[Rescaling: {scale: 1/255}, Flatten, Dense: {units: auto, "
            "activation: softmax}]",
        ],
    )
    dataset, cpu = config.open_data(), machine.choose_machine("cpu", "float32")
    state = new_state(config, config.graph(3), cpu.device)
    dense = keras.layers.Dense(3, activation="softmax")
    model = keras.Sequential(
        [keras.Input((12, 12, 3)), keras.layers.Rescaling(1 / 255), keras.layers.Flatten(), dense]
    )
    model.compile(keras.optimizers.SGD(0.001), "sparse_categorical_crossentropy")
    first = state.model.get_parameter("dense.weight").detach().numpy()
    dense.set_weights([first if first.shape == (432, 3) else first.T, np.zeros(3)])
    record = [*loop.train(config, dataset, cpu, state)][-1]
    assert isinstance(record, EpochRecord)
    order = loop.epoch_order(config.train, 0, dataset.train.labels)
    seen, held = (
        (batch.images.numpy().astype(np.float32), batch.labels.numpy())
        for batch in (dataset.train.read(order), dataset.val.read(torch.arange(33)))  # type: ignore[union-attr]
    )
    fitted = model.fit(
        *seen,
        batch_size=16,
        epochs=1,
        shuffle=False,
        class_weight={dataset.class_names.index("red"): 3.0},
        verbose=0,
        validation_data=held,
    )
    assert record.train.loss == pytest.approx(fitted.history["loss"][0], rel=1e-5)
    assert record.val is not None
    assert record.val.loss == pytest.approx(fitted.history["val_loss"][0], rel=1e-5)


def test_both_labels_of_a_mixed_image_are_weighted() -> None:
    logits = torch.tensor([[1.0, -2.0, 0.5], [0.0, 3.0, -1.0]], dtype=torch.float64)
    labels, partners = torch.tensor([0, 1]), torch.tensor([1, 2])
    shares = torch.tensor([0.75, 0.125])
    loss: Loss = LOSSES["categorical_crossentropy"]()  # type: ignore[assignment]
    logs = torch.log_softmax(logits, dim=1).numpy()
    expected = -(
        0.75 * WEIGHTS[0] * logs[0, 0]
        + 0.25 * WEIGHTS[1] * logs[0, 1]
        + 0.125 * WEIGHTS[1] * logs[1, 1]
        + 0.875 * WEIGHTS[2] * logs[1, 2]
    )
    found = batch_loss(loss, logits, Batch(NO_IMAGES, labels, partners, shares), WEIGHTS)
    assert found.item() == pytest.approx(expected / 2, rel=1e-14)


# ── errors that depend on the data ────────────────────────────────────────────────────────────


def refusal(tmp_path: Path, rest: str = "", **settings: object) -> str:
    config = load_config(write_config(tmp_path, **settings), [rest] if rest else [])
    with pytest.raises(ConfigError) as caught:
        check_data(config, config.open_data())
    return str(caught.value).replace(str(tmp_path), "FOLDER")


def test_a_weight_of_an_unknown_class(tmp_path: Path) -> None:
    assert refusal(tmp_path, class_weights="{gren: 3, blue: 1, cat: 2}") == (
        "FOLDER/colours.yaml:21:19: train.class_weights.gren: there is no class 'gren'\n"
        "     21 |   class_weights: {gren: 3, blue: 1, cat: 2}\n"
        "        |                   ^^^^\n"
        "   did you mean 'green'?\n"
        "FOLDER/colours.yaml:21:37: train.class_weights.cat: there is no class 'cat'\n"
        "     21 |   class_weights: {gren: 3, blue: 1, cat: 2}\n"
        "        |                                     ^^^\n"
        "   classes: red, green, blue"
    )


def test_too_few_weights(tmp_path: Path) -> None:
    assert refusal(tmp_path, class_weights="[3, 1]") == (
        "FOLDER/colours.yaml:21:3: train.class_weights: 2 weights, but there are 3 classes\n"
        "     21 |   class_weights: [3, 1]\n"
        "        |   ^^^^^^^^^^^^^\n"
        "   give one per class, in this order: red, green, blue"
    )


def test_a_macro_metric_without_validation_images(tmp_path: Path) -> None:
    assert refusal(tmp_path, "data.validation=0", best="macro_f1") == (
        "FOLDER/colours.yaml:21:9: train.best: macro_f1 is measured on validation images, but "
        "there are none\n"
        "     21 |   best: macro_f1\n"
        "        |         ^^^^^^^^\n"
        "   set data.validation above 0, or write best: accuracy"
    )


def test_weights_and_balanced_sampling_together_give_a_note(tmp_path: Path) -> None:
    path = write_config(tmp_path, class_weights="balanced", sampling="balanced")
    config = load_config(path)
    assert notes(config, config.graph()) == [
        "class_weights and sampling: balanced add up: what is drawn evenly is weighted, too"
    ]
    config = load_config(path, ["train.sampling=shuffle"])
    assert notes(config, config.graph()) == []


# ── rare classes ──────────────────────────────────────────────────────────────────────────────


def write_rare(folder: Path) -> Path:
    """Grey images of 8×8: 768 of noise, and 32 with a slightly brighter centre."""
    numbers = np.random.default_rng(3)
    labels = np.array([0] * 768 + [1] * 32)

    def draw() -> np.ndarray:
        images = numbers.normal(100, 40, (len(labels), 8, 8, 1))
        images[labels == 1, 2:6, 2:6] += 18
        return images.clip(0, 255).astype(np.uint8)

    splits = {f"x_{name}": draw() for name in ("train", "val")}
    splits |= {f"y_{name}": labels for name in ("train", "val")}
    np.savez(folder / "rare.npz", class_names=np.array(["common", "rare"]), **splits)
    path = folder / "rare.yaml"
    path.write_text(
        "model:\n  input_shape: [8, 8, 1]\n  layers:\n"
        "    - Rescaling: {scale: 1/64, offset: -1.5}\n"
        "    - AveragePooling2D: 2\n    - Flatten\n"
        "    - Dense: {units: auto, activation: softmax}\n"
        "data: {source: {Arrays: rare.npz}}\n"
        "train: {epochs: 6, batch_size: 32, optimizer: {Adam: 1e-2}, device: cpu}\n"
    )
    return path


def final(config: Config) -> EpochRecord:
    cpu = machine.choose_machine("cpu", "float32")
    state = new_state(config, config.graph(2), cpu.device)
    record = [*loop.train(config, config.open_data(), cpu, state)][-1]
    assert isinstance(record, EpochRecord)
    return record


def test_weights_or_sampling_detect_a_rare_class(tmp_path: Path) -> None:
    path = write_rare(tmp_path)
    plain = final(load_config(path)).val
    assert plain is not None
    assert plain.accuracy > 0.95
    assert plain.macro_recall is not None
    assert plain.macro_recall < 0.55
    for remedy in ("class_weights", "sampling"):
        scores = final(load_config(path, [f"train.{remedy}=balanced"])).val
        assert scores is not None
        assert scores.macro_recall is not None
        assert scores.macro_recall > 0.7
