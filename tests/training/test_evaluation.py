"""Evaluation and prediction of a net, and the public Python interface."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

import sepcnn
from sepcnn.backends.folding import folded
from sepcnn.config.config import Config
from sepcnn.config.loading import load_config
from sepcnn.data.dataset import Dataset
from sepcnn.nn.losses import CategoricalCrossentropy
from sepcnn.nn.model import Net, build
from sepcnn.training import evaluation
from sepcnn.training.evaluation import Predictor
from tests.runs import write_config


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return load_config(write_config(tmp_path))


@pytest.fixture
def net(config: Config) -> Net:
    return build(config.graph(3), seed=1)


@pytest.fixture
def dataset(config: Config) -> Dataset:
    return config.open_data()


def test_score_and_evaluation_agree_with_the_formulas(net: Net, dataset: Dataset) -> None:
    loss = CategoricalCrossentropy()
    batch = dataset.train.read(torch.arange(len(dataset.train)))
    images, labels = batch.images, batch.labels
    with torch.no_grad():
        logits = net.eval().logits(images.permute(0, 3, 1, 2).float()).double()
    scores = evaluation.score(net, dataset.train, loss)
    result = evaluation.evaluate(net, [dataset.train], loss, dataset.class_names)
    assert scores.loss == pytest.approx(functional.cross_entropy(logits, labels).item(), rel=1e-6)
    assert scores.accuracy == (logits.argmax(1) == labels).double().mean().item()
    assert (result.loss, result.accuracy) == (scores.loss, scores.accuracy)


def test_evaluation_changes_nothing(net: Net, dataset: Dataset) -> None:
    net.train()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    evaluation.score(net, dataset.train, CategoricalCrossentropy())
    assert net.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


def test_batches_do_not_matter(net: Net, dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, _ = evaluation.logits_of(net, dataset.train)
    monkeypatch.setattr(evaluation, "PIXELS_A_BATCH", 7 * 12 * 12)
    parts, _ = evaluation.logits_of(net, dataset.train)
    torch.testing.assert_close(parts, whole, rtol=1e-5, atol=1e-6)


def test_predictor(net: Net, config: Config, dataset: Dataset) -> None:
    predictor = Predictor(net.eval(), dataset.class_names, config)
    images = dataset.train.read(torch.arange(5)).images.numpy()
    probabilities = predictor.predict(images)
    assert probabilities.shape == (5, 3)
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-6)
    assert predictor.predict(images[:0]).shape == (0, 3)
    mirrored = predictor.predict(images[..., ::-1])  # a view with negative strides, as of OpenCV
    np.testing.assert_array_equal(mirrored, predictor.predict(images[..., ::-1].copy()))


def test_predictor_of_a_folded_net(net: Net, config: Config, dataset: Dataset) -> None:
    images = dataset.train.read(torch.arange(64)).images
    for _ in range(20):  # which move the statistics
        net.train().logits(evaluation.to_input(images))
    predictor = Predictor(net.eval(), dataset.class_names, config)
    expected = predictor.predict(images.numpy())
    predictor.model = folded(net)
    assert "batch_normalization.weight" not in predictor.model.state_dict()
    np.testing.assert_allclose(predictor.predict(images.numpy()), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("images", "found"),
    [
        (np.zeros((2, 12, 12, 3), np.float32), "float32 2×12×12×3"),
        (np.zeros((12, 12, 3), np.uint8), "uint8 12×12×3"),
        (np.zeros((2, 12, 13, 3), np.uint8), "uint8 2×12×13×3"),
    ],
    ids=["float", "one image", "size"],
)
def test_predictor_refuses(net: Net, config: Config, images: np.ndarray, found: str) -> None:
    predictor = Predictor(net, ("a", "b", "c"), config)
    with pytest.raises(ValueError, match=f"^expected uint8 N×12×12×3, found {found}$"):
        predictor.predict(images)


def test_the_public_names(tmp_path: Path) -> None:
    config = sepcnn.load_config(write_config(tmp_path), ["train.seed=4"])
    net = sepcnn.build(config, classes=3)
    assert net(torch.zeros(2, 3, 12, 12)).shape == (2, 3)
    with pytest.raises(sepcnn.SepcnnError) as caught:
        sepcnn.build(config)
    assert str(caught.value) == (
        "the number of classes is not known\n   call build(config, classes=N)"
    )
    assert set(sepcnn.__all__) == {*sepcnn._MODULES, "__version__"}
    with pytest.raises(AttributeError, match=r"^module 'sepcnn' has no attribute 'lod'$"):
        sepcnn.lod  # noqa: B018
