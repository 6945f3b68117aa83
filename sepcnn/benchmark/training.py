"""Training of a config as the loop does it, step by step, on random images."""

from __future__ import annotations

import sys
import time
from itertools import pairwise

import torch

from sepcnn.backends.machine import Machine, use_threads
from sepcnn.benchmark.rounds import Steps
from sepcnn.config.config import Config
from sepcnn.data.dataset import Dataset, InMemorySplit
from sepcnn.nn.graph import Graph
from sepcnn.training import loop
from sepcnn.training.state import State, new_state
from sepcnn.training.step import TrainingStep, add_to_sums, backward

PARTS = ("data", "forward", "backward", "optimizer")
"""of a step; data is gathering and augmenting a batch, optimizer with the running sums"""
MOST_BYTES = 64 << 20
"""of the random images: batches from all over memory, but little of it"""
STEPS_AN_EPOCH = 1_000_000
"""so that schedules stay where they begin: where they stand has no effect on speed"""


class RandomImages(InMemorySplit):
    """Images that are nothing, labels that mean nothing."""

    def order(self) -> torch.Tensor:
        """All indices, always in the same order."""
        return torch.randperm(len(self), generator=torch.Generator().manual_seed(1))


def random_images(config: Config, classes: int) -> RandomImages:
    """Batches of uint8 images in the net's size with labels, always the same ones."""
    generator = torch.Generator().manual_seed(0)
    height, width, channels = config.model.input_shape
    size = config.train.batch_size
    batches = max(1, min(16, MOST_BYTES // (size * height * width * channels)))
    shape = (batches * size, height, width, channels)
    images = torch.randint(256, shape, dtype=torch.uint8, generator=generator)
    return RandomImages(images, torch.randint(classes, shape[:1], generator=generator))


def first_state(config: Config, graph: Graph, images: InMemorySplit, device: torch.device) -> State:
    """The state before the first step; a Normalization knows the statistics of a batch."""
    state = new_state(config, graph, device)
    few = images.take(torch.arange(config.train.batch_size))
    loop.adapt(config, Dataset((), few, None, None), state)
    return state


def as_measured(config: Config) -> Config:
    """Without progressive resizing: the speed told is that of whole images."""
    data = config.data.model_copy(update={"progressive_resizing": None})
    return config.model_copy(update={"data": data})


class Training(Steps):
    """Steps of the loop in `sepcnn.training.loop`."""

    def __init__(self, config: Config, graph: Graph, machine: Machine) -> None:
        classes = graph.head.classes
        assert classes is not None
        self.config, self.machine = as_measured(config), machine
        images = random_images(config, classes)
        self.state = first_state(self.config, graph, images, machine.device)
        weights = (1.0,) * classes if config.train.class_weights is not None else None
        self.plan = TrainingStep(self.config, machine, STEPS_AN_EPOCH, weights)
        self.split = images.to(machine.device)
        self.batches = images.order().to(machine.device).split(config.train.batch_size)
        self.images = config.train.batch_size

    def indices(self) -> torch.Tensor:
        """Of the images of the next step."""
        indices: torch.Tensor = self.batches[self.state.step % len(self.batches)]
        return indices

    def step(self) -> None:
        rate = self.plan.learning_rate(self.state.step)
        self.plan.take(self.state, self.split.read(self.indices()), rate)

    def wait(self) -> None:
        wait_for(self.machine.device)

    def timed(self, steps: int) -> float:
        if self.machine.device.type == "cpu":
            use_threads(self.machine.threads)  # others in the same process may have other settings
        return super().timed(steps)

    def timed_parts(self) -> list[float]:
        """Seconds of each of `PARTS` in one step, which waits for the device between them, and
        where no CUDA graph joins them.
        """
        plan, state, times = self.plan, self.state, []

        def done() -> None:
            self.wait()
            times.append(time.perf_counter())

        rate = plan.learning_rate(state.step)
        done()
        batch = plan.prepare(state, self.split.read(self.indices()))
        done()
        net = plan.begin(state, batch)
        logits, loss = plan.forward(net, batch)
        done()
        gradients = backward(state, loss)
        done()
        plan.update(state, gradients, rate)
        add_to_sums(state, batch, logits, loss)
        done()
        return [end - start for start, end in pairwise(times)]


def wait_for(device: torch.device) -> None:
    """Until a GPU has done all that was asked of it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def peak_memory(device: torch.device) -> int | None:
    """Bytes: the most this process has held so far, of a GPU's tensors or in all.

    None where nobody tells.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        import resource  # not on Windows
    except ImportError:
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most * (1 if sys.platform == "darwin" else 1024)
