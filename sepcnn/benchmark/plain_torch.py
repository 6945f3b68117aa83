"""A plain PyTorch training loop for comparison, in a separate process.

It trains the same model module by module, N×C×H×W, in float32, with torch's optimizer and default
settings. Images are already floats in memory and are not augmented. The process is separate
because the memory allocator has settings per process, and this one keeps the defaults.
"""

from __future__ import annotations

import multiprocessing
import signal
from multiprocessing.connection import Connection
from typing import Any, Self

import torch

from sepcnn.benchmark.measurement import StepRunner
from sepcnn.benchmark.training import STEPS_PER_EPOCH, initial_state, random_images, synchronize
from sepcnn.config.config import Config
from sepcnn.errors import InputError, RunError
from sepcnn.nn.graph import Graph
from sepcnn.nn.layers.module import begin_step, penalty
from sepcnn.nn.optimizers import Optimizer
from sepcnn.nn.schedules import Progress

NAME = "plain PyTorch"
TORCH_NAMES = {"Nadam": "NAdam"}
"""names of optimizers that are spelt differently in torch"""
READY = "ready"


class PlainTraining(StepRunner):
    """Training steps as in the PyTorch tutorials."""

    def __init__(self, config: Config, graph: Graph, device: torch.device) -> None:
        classes = graph.head.classes
        assert classes is not None
        images = random_images(config, classes)
        self.config, self.device, self.done = config, device, 0
        model = initial_state(config, graph, images, device).model
        self.model = model.to(memory_format=torch.contiguous_format).train()
        self.optimizer = optimizer_like(config.train.optimizer, model.trained_weights().values())
        self.pixels = images.images.permute(0, 3, 1, 2).float().contiguous().to(device)
        self.labels = images.labels.to(device)
        self.batches = images.order().to(device).split(config.train.batch_size)
        self.images = config.train.batch_size

    def step(self) -> None:
        self.loss()

    def loss(self) -> torch.Tensor:
        """Do a training step and return its loss, still on the device."""
        options = self.config.train
        progress = Progress(self.done, STEPS_PER_EPOCH, options.epochs * STEPS_PER_EPOCH)
        begin_step(self.model, options.seed, progress)
        pixels, labels = self.batch()
        self.optimizer.zero_grad()
        loss = options.loss(self.model.logits(pixels), labels) + penalty(self.model)
        loss.backward()
        self.optimizer.step()
        self.done += 1
        return loss.detach()

    def batch(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the images and labels of the current step."""
        indices = self.batches[self.done % len(self.batches)]
        return self.pixels[indices], self.labels[indices]

    def wait(self) -> None:
        synchronize(self.device)


def optimizer_class(optimizer: Optimizer) -> type[torch.optim.Optimizer]:
    """Return torch's optimizer of the same name. Errors: `InputError` if there is none."""
    name = optimizer.chosen_name
    torch_class = getattr(torch.optim, TORCH_NAMES.get(name, name), None)
    if torch_class is None:
        hint = "use another one, as in --set train.optimizer=Adam"
        raise InputError(f"torch has no optimizer {name}", hint)
    result: type[torch.optim.Optimizer] = torch_class
    return result


def optimizer_like(optimizer: Optimizer, weights: Any) -> torch.optim.Optimizer:
    """Return torch's optimizer of the same name, learning rate and momentum."""
    options: dict[str, Any] = {"lr": optimizer.learning_rate}
    if momentum := getattr(optimizer, "momentum", 0):
        options["momentum"] = momentum
    return optimizer_class(optimizer)(weights, **options)


class PlainTorchProcess:
    """`PlainTraining` in a separate process: a `Runner` for `measure_interleaved`."""

    def __init__(self, config: Config, classes: int, device: torch.device, seconds: float) -> None:
        """``seconds`` is the time for warm-up steps. Errors: as `optimizer_class`."""
        optimizer_class(config.train.optimizer)
        context = multiprocessing.get_context("spawn")
        self.pipe, child_pipe = context.Pipe()
        job = (child_pipe, config.resolved(), classes, str(device), seconds)
        self.process = context.Process(target=serve, args=job, daemon=True)
        self.process.start()
        child_pipe.close()

    def __enter__(self) -> Self:
        self._answer()
        return self

    def __exit__(self, *_: object) -> None:
        self.pipe.close()  # ends the process
        self.process.join()

    def run(self, seconds: float) -> float:
        self.pipe.send(seconds)
        return float(self._answer())

    def _answer(self) -> Any:
        """Return the next message of the process. Errors: `RunError` if it failed."""
        try:
            answer = self.pipe.recv()
        except EOFError:
            answer = RuntimeError("the process has ended")
        if isinstance(answer, Exception):
            hint = "omit --against torch to measure only sepcnn"
            raise RunError(f"{NAME} failed: {answer}", hint)
        return answer


def serve(
    pipe: Connection, resolved: dict[str, Any], classes: int, device: str, seconds: float
) -> None:
    """Run in the child process: train for each time received, until the pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent process handles Ctrl-C
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
