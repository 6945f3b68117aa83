"""No step of training waits for a GPU, shown without one.

On torch's meta device tensors have no values: whatever would have to wait for them fails. What the
host draws is real.
"""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from sepcnn.backends import machine
from sepcnn.backends.machine import Machine
from sepcnn.config.config import Config
from sepcnn.config.loading import load_config
from sepcnn.data.augmentation import AUGMENTATIONS
from sepcnn.data.cache.on_disk import OnDiskSplit
from sepcnn.data.cache.pixel_cache import MemoryRows
from sepcnn.data.dataset import InMemorySplit, Split
from sepcnn.nn.layers import LAYERS
from sepcnn.nn.losses import LOSSES
from sepcnn.nn.optimizers import OPTIMIZERS
from sepcnn.training.state import new_state
from sepcnn.training.step import TrainingStep
from tests.conftest import CONFIGS
from tests.nn.layers.test_every_layer import ROWS

META = torch.device("meta")
STEPS_AN_EPOCH = 1000
FIELDS = {
    "RandomRotation": "{factor: 0.1}",
    "RandomZoom": "{height_factor: 0.2}",
    "RandomShear": "{x_factor: 0.2}",
    "RandomBrightness": "{factor: 0.2}",
    "RandomContrast": "{factor: 0.2}",
    "RandomSaturation": "{factor: 0.6}",
    "RandomHue": "{factor: 0.2}",
}


class CopiesAreSent(TorchDispatchMode):
    """Refuses copies from the host but for those of `machine.send`, which do not wait.

    None are left to `train.compute`, which a CUDA graph may repeat with what the host held then.
    """

    def __torch_dispatch__(
        self,
        function: Any,
        types: object,
        arguments: tuple[Any, ...] = (),
        options: Mapping[str, Any] | None = None,
    ) -> Any:
        result = function(*arguments, **(options or {}))
        if isinstance(result, torch.Tensor) and result.device == META:
            given = [a for a in arguments if isinstance(a, torch.Tensor) and a.dim()]
            if any(tensor.device.type == "cpu" for tensor in given):
                callers = [frame.name for frame in traceback.extract_stack()]
                assert "copy_to" in callers, function
                assert "compute" not in callers, function
        return result


@pytest.fixture(autouse=True)
def _what_the_meta_device_lacks(monkeypatch: pytest.MonkeyPatch) -> None:

    class HostGenerator(torch.Generator):  # a class, since torch uses the name in annotations
        def __new__(cls, device: object = "cpu") -> HostGenerator:
            return super().__new__(cls, "cpu")

    monkeypatch.setattr(torch, "Generator", HostGenerator)
    monkeypatch.setattr(torch, "autocast", lambda device, **_: nullcontext())


def images_of(config: Config, classes: int) -> InMemorySplit:
    images = torch.zeros((6, *config.model.input_shape), dtype=torch.uint8)
    return InMemorySplit(images, torch.arange(6) % classes).to(META)


def take_steps(config: Config, split: Split | None = None, classes: int = 10) -> None:
    """A step on whole batches after a first one, whose kept tensors may be copied."""
    split = split or images_of(config, classes)
    weights = (1.0,) * classes if config.train.class_weights else None
    plan = TrainingStep(config, Machine(META, "float32", 1), STEPS_AN_EPOCH, weights)
    state = new_state(config, config.graph(classes), META)
    order = torch.tensor([4, 1, 3]).to(split.indices_on)
    plan.take(state, split.read(order), 0.1)
    with CopiesAreSent():
        plan.take(state, split.read(order), 0.1)


FROM_LOGITS = "loss: {categorical_crossentropy: {from_logits: true}}"
END = "Flatten, {Dense: auto}"


def config_of(folder: Path, layers: str = END, data: str = "", train: str = FROM_LOGITS) -> Config:
    """Of a small net, for images that are not there."""
    path = folder / "config.yaml"
    path.write_text(
        f"model: {{input_shape: [7, 9, 3], layers: [{layers}]}}\n"
        f"data: {{source: {{Arrays: none.npz}}, {data}}}\n"
        f"train: {{{train}}}\n"
    )
    return load_config(path)


@pytest.mark.covering("one")
@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_configs(path: Path) -> None:
    config = load_config(path)
    take_steps(config, classes=config.graph(config.known_classes).head.classes or 10)


@pytest.mark.parametrize("name", LAYERS)
def test_every_layer(name: str, tmp_path: Path) -> None:
    take_steps(config_of(tmp_path, f"{ROWS[name]}, {END}"))


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_every_augmentation(name: str, tmp_path: Path) -> None:
    take_steps(config_of(tmp_path, data=f"augment: [{{{name}: {FIELDS.get(name, '{}')}}}]"))


def test_everything_else_that_a_step_may_do(tmp_path: Path) -> None:
    rules = "kernel_regularizer: l2, kernel_constraint: max_norm"
    layers = f"GlobalAveragePooling2D, {{Dense: {{units: 4, {rules}}}}}, {END}"
    data = (
        "augment: [RandomFlip, RandomCrop, RandomHue: 0.1, MixUp, CutMix], "
        "progressive_resizing: {start: 1/2, after: 50%, until: 90%}"
    )
    take_steps(config_of(tmp_path, layers, data, f"{FROM_LOGITS}, class_weights: balanced"))


@pytest.mark.parametrize("clipping", ["clipnorm", "global_clipnorm", "clipvalue"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer(name: str, clipping: str, tmp_path: Path) -> None:
    rule = f"optimizer: {{{name}: {{{clipping}: 1, weight_decay: 0.1}}}}"
    take_steps(config_of(tmp_path, train=f"{FROM_LOGITS}, {rule}"))


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss(name: str, tmp_path: Path) -> None:
    outputs = "1, activation: sigmoid" if LOSSES[name].is_binary else "2, activation: softmax"
    layers = f"Flatten, {{Dense: {{units: {outputs}}}}}"
    train = f"loss: {name}, class_weights: [1, 2]"
    take_steps(config_of(tmp_path, layers, train=train), classes=2)


def test_images_of_a_file(tmp_path: Path) -> None:
    """Read by the batch."""
    rows = MemoryRows(np.zeros((6, 189), np.uint8))
    names = [f"{number}.png" for number in range(6)]
    split = OnDiskSplit(rows, range(6), names, torch.zeros(6, dtype=torch.int64), (7, 9, 3))
    take_steps(config_of(tmp_path), split.to(META))


def test_what_waits_is_found() -> None:
    values = torch.zeros(3, device=META)
    for wait in (values.tolist, values.sum().item, values.nonzero, lambda: values[values > 0]):
        with pytest.raises((RuntimeError, NotImplementedError)):
            wait()
    with CopiesAreSent():
        assert machine.copy_to(torch.ones(3), META).device == META
        for copy in (lambda: torch.ones(3).to(META), lambda: values.copy_(torch.ones(3))):
            with pytest.raises(AssertionError):
                copy()


def test_what_is_sent_to_a_gpu_is_pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: told.append("pinned") or self)
    monkeypatch.setattr(torch.Tensor, "to", lambda self, *to, **how: told.append((to, how)) or self)
    gpu = torch.device("cuda", 1)
    machine.copy_to(torch.ones(3), gpu)
    assert told == ["pinned", ((gpu,), {"non_blocking": True})]


def test_what_is_there_is_not_sent() -> None:
    values = torch.ones(3)
    assert machine.copy_to(values, torch.device("cpu")) is values
