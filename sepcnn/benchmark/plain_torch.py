"""The loop that a PyTorch user writes, for comparison, in a process of its own.

The same net module by module, N×C×H×W, float32, torch's own optimizer, torch's settings. Images are
floats in memory already and are not augmented. How memory is allocated belongs to a process, so
this one is left as it is.
"""

from __future__ import annotations

import multiprocessing
import signal
from multiprocessing.connection import Connection
from typing import Any, Self

import torch

from sepcnn.benchmark.rounds import Steps
from sepcnn.benchmark.training import STEPS_AN_EPOCH, first_state, random_images, wait_for
from sepcnn.config.config import Config
from sepcnn.errors import InputError, RunError
from sepcnn.nn.graph import Graph
from sepcnn.nn.layers.module import begin_step, penalty
from sepcnn.nn.optimizers import Optimizer
from sepcnn.nn.schedules import Progress

NAME = "plain PyTorch"
NAMES = {"Nadam": "NAdam"}
"""of optimizers that torch spells in another way"""
READY = "ready"


class PlainTraining(Steps):
    """A step as in torch's tutorials."""

    def __init__(self, config: Config, graph: Graph, device: torch.device) -> None:
        classes = graph.head.classes
        assert classes is not None
        images = random_images(config, classes)
        self.config, self.device, self.done = config, device, 0
        model = first_state(config, graph, images, device).model
        self.model = model.to(memory_format=torch.contiguous_format).train()
        self.optimizer = optimizer_like(config.train.optimizer, model.trained_weights().values())
        self.pixels = images.images.permute(0, 3, 1, 2).float().contiguous().to(device)
        self.labels = images.labels.to(device)
        self.batches = images.order().to(device).split(config.train.batch_size)
        self.images = config.train.batch_size

    def step(self) -> None:
        self.loss()

    def loss(self) -> torch.Tensor:
        """That of the step it does."""
        options = self.config.train
        progress = Progress(self.done, STEPS_AN_EPOCH, options.epochs * STEPS_AN_EPOCH)
        begin_step(self.model, options.seed, progress)
        pixels, labels = self.batch()
        self.optimizer.zero_grad()
        loss = options.loss(self.model.logits(pixels), labels) + penalty(self.model)
        loss.backward()
        self.optimizer.step()
        self.done += 1
        return loss.detach()

    def batch(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Images and labels of the step."""
        indices = self.batches[self.done % len(self.batches)]
        return self.pixels[indices], self.labels[indices]

    def wait(self) -> None:
        wait_for(self.device)


def optimizer_class(optimizer: Optimizer) -> type[torch.optim.Optimizer]:
    """Errors: `InputError` for a rule that torch does not have."""
    name = optimizer.chosen_name
    found = getattr(torch.optim, NAMES.get(name, name), None)
    if found is None:
        hint = "compare with another, as in --set train.optimizer=Adam"
        raise InputError(f"torch has no optimizer {name}", hint)
    chosen: type[torch.optim.Optimizer] = found
    return chosen


def optimizer_like(optimizer: Optimizer, weights: Any) -> torch.optim.Optimizer:
    """torch's own of the same name, with what decides about its work."""
    options: dict[str, Any] = {"lr": optimizer.learning_rate}
    if momentum := getattr(optimizer, "momentum", 0):
        options["momentum"] = momentum
    return optimizer_class(optimizer)(weights, **options)


class PlainTorch:
    """`PlainTraining` in its process: a runner for `take_turns`."""

    def __init__(self, config: Config, classes: int, device: torch.device, seconds: float) -> None:
        """``seconds`` is how long the first steps may take. Errors: as `optimizer_class`."""
        optimizer_class(config.train.optimizer)
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        job = (theirs, config.resolved(), classes, str(device), seconds)
        self.process = context.Process(target=serve, args=job, daemon=True)
        self.process.start()
        theirs.close()

    def __enter__(self) -> Self:
        self._answer()
        return self

    def __exit__(self, *_: object) -> None:
        self.pipe.close()  # which ends the process
        self.process.join()

    def run(self, seconds: float) -> float:
        self.pipe.send(seconds)
        return float(self._answer())

    def _answer(self) -> Any:
        """Errors: `RunError`."""
        try:
            answer = self.pipe.recv()
        except EOFError:
            answer = RuntimeError("its process has ended")
        if isinstance(answer, Exception):
            hint = "leave out --against torch to measure sepcnn alone"
            raise RunError(f"{NAME} failed: {answer}", hint)
        return answer


def serve(
    pipe: Connection, resolved: dict[str, Any], classes: int, device: str, seconds: float
) -> None:
    """Take turns until nobody asks any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that asks
    try:
        config = Config.from_resolved(resolved)
        training = PlainTraining(config, config.graph(classes), torch.device(device))
        training.warm_up(seconds)
        pipe.send(READY)
        while True:
            pipe.send(training.run(pipe.recv()))
    except (EOFError, BrokenPipeError):
        return
    except Exception as error:
        pipe.send(RuntimeError(str(error)))
