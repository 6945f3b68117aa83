"""The plain PyTorch loop does the same work, in a separate process."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sepcnn.backends import machine
from sepcnn.benchmark.plain_torch import PlainTorchProcess, PlainTraining, optimizer_like
from sepcnn.benchmark.training import Training
from sepcnn.config.config import Config
from sepcnn.config.loading import load_config
from sepcnn.errors import InputError, RunError
from sepcnn.training.state import LOSS
from tests.runs import write_config

CPU = torch.device("cpu")


def read(folder: Path, optimizer: str) -> Config:
    return load_config(write_config(folder, optimizer=optimizer), ["data.augment=[]"])


@pytest.mark.parametrize("fused", [False, True])
def test_both_loops_compute_the_same_losses(tmp_path: Path, fused: bool) -> None:
    """With SGD, whose rule is the same in both, and batch renormalization.

    Without dropout, because its noise depends on the memory layout of the images.
    """
    config = load_config(
        write_config(tmp_path, optimizer="{SGD: 0.1}"),
        ["data.augment=[]", "model.layers[5].Dropout=0"],
    )
    ours = Training(config, config.graph(3), machine.choose_machine("cpu", "float32", fused))
    theirs = PlainTraining(config, config.graph(3), CPU)
    for _ in range(6):
        before = ours.state.sums[LOSS].item()
        ours.step()
        loss = (ours.state.sums[LOSS].item() - before) / config.train.batch_size
        assert theirs.loss().item() == pytest.approx(loss, rel=1e-4)


def test_their_weights_are_in_torchs_own_order(tmp_path: Path) -> None:
    config = read(tmp_path, "Adam")
    theirs = PlainTraining(config, config.graph(3), CPU)
    theirs.step()
    assert theirs.pixels.is_contiguous()
    assert theirs.pixels.dtype == torch.float32
    for name, weight in theirs.model.named_parameters():
        assert weight.is_contiguous(), name


@pytest.mark.parametrize(
    ("optimizer", "expected"),
    [
        ("RMSprop", torch.optim.RMSprop),
        ("Nadam", torch.optim.NAdam),
        ("{AdamW: 0.1}", torch.optim.AdamW),
        ("{SGD: {momentum: 0.9}}", torch.optim.SGD),
    ],
)
def test_the_optimizer_is_torchs(
    tmp_path: Path, optimizer: str, expected: type[torch.optim.Optimizer]
) -> None:
    options = read(tmp_path, optimizer).train.optimizer
    found = optimizer_like(options, [torch.zeros(3, requires_grad=True)])
    assert type(found) is expected
    assert found.defaults["lr"] == options.learning_rate
    assert found.defaults.get("momentum", 0) == getattr(options, "momentum", 0)


def test_an_optimizer_that_torch_lacks(tmp_path: Path) -> None:
    config = read(tmp_path, "Lion")
    if hasattr(torch.optim, "Lion"):
        pytest.skip("this torch has Lion")
    with pytest.raises(InputError) as error:
        PlainTorchProcess(config, 3, CPU, 1.0)
    assert str(error.value) == (
        "torch has no optimizer Lion\n   use another one, as in --set train.optimizer=Adam"
    )


@pytest.mark.exhaustive
def test_the_process_ends(tmp_path: Path) -> None:
    with PlainTorchProcess(read(tmp_path, "Adam"), 3, CPU, 0.1) as plain:
        assert plain.run(0.01) > 0
        assert plain.process.is_alive()
        plain.pipe.send("a turn that is no number")
        with pytest.raises(RunError) as error:
            plain.run(0.01)
    assert error.value.message.startswith("plain PyTorch failed: ")
    assert error.value.hint == "omit --against torch to measure only sepcnn"
    assert plain.process.exitcode == 0
