"""Every shipped config reads, builds, and trains two steps."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest
import torch

from sepcnn.backends import machine
from sepcnn.config.loading import load_config, notes
from sepcnn.data.dataset import Dataset, InMemorySplit
from sepcnn.training import loop
from sepcnn.training.state import check_finite, new_state
from tests.conftest import CONFIGS

FILES = sorted(CONFIGS.glob("*.yaml"))


def random_data(shape: tuple[int, int, int], classes: int, count: int) -> Dataset:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (count, *shape), generator=generator, dtype=torch.uint8)
    labels = torch.randint(classes, (count,), generator=generator)
    names = tuple(str(number) for number in range(classes))
    return Dataset(names, InMemorySplit(images, labels), None, None)


@pytest.mark.covering("one")
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_trains_two_steps(path: Path) -> None:
    config = load_config(path, ["train.batch_size=2", "train.device=cpu"])
    known = config.data.source.known_class_names()
    # A folder tells its classes when it is read: until then `units: auto` stands for one.
    classes = len(known) if known else max(3, config.graph().output.shape[0])
    dataset = random_data(config.model.input_shape, classes, count=4)
    state = new_state(config, config.graph(classes), torch.device("cpu"))
    before = {name: weight.clone() for name, weight in state.model.named_parameters()}
    for _ in islice(loop.train(config, dataset, machine.choose_machine("cpu"), state), 2):
        pass
    check_finite(state, state.tensors())
    moved = {
        name for name, weight in state.model.named_parameters() if (weight != before[name]).any()
    }
    assert moved == set(before)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_names_the_schema_and_tells_what_it_is(path: Path) -> None:
    first, second, *_ = path.read_text().splitlines()
    assert first == "# yaml-language-server: $schema=sepcnn.schema.json"
    assert second.startswith("# ")


def test_only_the_books_example_leaves_pixels_unscaled() -> None:
    assert [path.stem for path in FILES if notes(c := load_config(path), c.graph())] == [
        "keras_sequential"
    ]


def test_cifar10_is_the_same_net_on_both_sources() -> None:
    """`cifar10_arrays.yaml` measures what `cifar10.yaml` promises."""
    by_name, by_file = (
        load_config(CONFIGS / f"{name}.yaml") for name in ("cifar10", "cifar10_arrays")
    )
    assert by_name.train == by_file.train
    assert by_name.data.augment == by_file.data.augment
    layers = (
        [leaf.layer for leaf in config.graph(10).leaves][:-1] for config in (by_name, by_file)
    )
    assert next(layers) == next(layers)
