"""Training steps of a config on random images, as in the training loop."""

from __future__ import annotations

import sys
import time
from itertools import pairwise

import torch

from sepcnn.backends.machine import Machine, use_threads
from sepcnn.benchmark.measurement import StepRunner
from sepcnn.config.config import Config
from sepcnn.data.dataset import Dataset, InMemorySplit
from sepcnn.nn.graph import Graph
from sepcnn.training import loop
from sepcnn.training.state import State, new_state
from sepcnn.training.step import TrainingStep, add_to_sums, backward

PARTS = ("data", "forward", "backward", "optimizer")
"""parts of a step; data: gather and augment a batch; optimizer: also update the running metrics"""
MAX_IMAGE_BYTES = 64 << 20
"""maximum size of the random images: batches are spread over memory, but use little of it"""
STEPS_PER_EPOCH = 1_000_000
"""so large that schedules stay at their start, which has no effect on the speed"""


class RandomImages(InMemorySplit):
    """Random images with random labels."""

    def order(self) -> torch.Tensor:
        """Return all indices in a fixed random order: int64 [images]."""
        return torch.randperm(len(self), generator=torch.Generator().manual_seed(1))


def random_images(config: Config, classes: int) -> RandomImages:
    """Return 1 to 16 batches of random uint8 images [N, H, W, C], always the same."""
    generator = torch.Generator().manual_seed(0)
    height, width, channels = config.model.input_shape
    size = config.train.batch_size
    batches = max(1, min(16, MAX_IMAGE_BYTES // (size * height * width * channels)))
    shape = (batches * size, height, width, channels)
    images = torch.randint(256, shape, dtype=torch.uint8, generator=generator)
    return RandomImages(images, torch.randint(classes, shape[:1], generator=generator))


def initial_state(
    config: Config, graph: Graph, images: InMemorySplit, device: torch.device
) -> State:
    """Return the state before the first step. Normalization layers are adapted to one batch."""
    state = new_state(config, graph, device)
    batch = images.take(torch.arange(config.train.batch_size))
    loop.adapt(config, Dataset((), batch, None, None), state)
    return state


def without_progressive_resizing(config: Config) -> Config:
    """Return the config without progressive resizing, to measure the speed of full-size images."""
    data = config.data.model_copy(update={"progressive_resizing": None})
    return config.model_copy(update={"data": data})


class Training(StepRunner):
    """The training steps of `sepcnn.training.loop`, on random images."""

    def __init__(self, config: Config, graph: Graph, machine: Machine) -> None:
        classes = graph.head.classes
        assert classes is not None
        self.config, self.machine = without_progressive_resizing(config), machine
        images = random_images(config, classes)
        self.state = initial_state(self.config, graph, images, machine.device)
        weights = (1.0,) * classes if config.train.class_weights is not None else None
        self.train_step = TrainingStep(self.config, machine, STEPS_PER_EPOCH, weights)
        self.split = images.to(machine.device)
        self.batches = images.order().to(machine.device).split(config.train.batch_size)
        self.images = config.train.batch_size

    def indices(self) -> torch.Tensor:
        """Return the indices of the next step's images: int64 [batch]."""
        indices: torch.Tensor = self.batches[self.state.step % len(self.batches)]
        return indices

    def step(self) -> None:
        rate = self.train_step.learning_rate(self.state.step)
        self.train_step.take(self.state, self.split.read(self.indices()), rate)

    def wait(self) -> None:
        synchronize(self.machine.device)

    def timed(self, steps: int) -> float:
        if self.machine.device.type == "cpu":
            use_threads(
                self.machine.threads
            )  # other runners in this process may use another number
        return super().timed(steps)

    def timed_parts(self) -> list[float]:
        """Do one step and return the seconds of each of `PARTS`.

        The step waits for the device after each part, and does not use CUDA graphs.
        """
        step, state, times = self.train_step, self.state, []

        def end_part() -> None:
            self.wait()
            times.append(time.perf_counter())

        rate = step.learning_rate(state.step)
        end_part()
        batch = step.prepare(state, self.split.read(self.indices()))
        end_part()
        net = step.begin(state, batch)
        logits, loss = step.forward(net, batch)
        end_part()
        gradients = backward(state, loss)
        end_part()
        step.update(state, gradients, rate)
        add_to_sums(state, batch, logits, loss)
        end_part()
        return [end - start for start, end in pairwise(times)]


def synchronize(device: torch.device) -> None:
    """Wait until the device has finished all its work; a CPU has nothing to wait for."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def peak_memory(device: torch.device) -> int | None:
    """Return the peak memory so far in bytes: of tensors on the GPU, or of the process.

    None if the system does not report it.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        import resource  # not on Windows
    except ImportError:
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most * (1 if sys.platform == "darwin" else 1024)
