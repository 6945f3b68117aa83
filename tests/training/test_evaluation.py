"""Evaluation of a net, and the public Python interface."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn import functional

import sepcnn
from sepcnn.config.config import Config
from sepcnn.config.loading import load_config
from sepcnn.data.dataset import Dataset
from sepcnn.nn.losses import CategoricalCrossentropy
from sepcnn.nn.model import Net, build
from sepcnn.training import evaluation
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
    monkeypatch.setattr(evaluation, "PIXELS_PER_BATCH", 7 * 12 * 12)
    parts, _ = evaluation.logits_of(net, dataset.train)
    torch.testing.assert_close(parts, whole, rtol=1e-5, atol=1e-6)


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
