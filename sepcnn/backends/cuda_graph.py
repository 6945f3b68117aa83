"""The middle of a training step as a CUDA graph: kernels are recorded once, then launched as one.

A step of a small net is bound by launching several hundred of them from Python. In a graph they
read and write the memory they were recorded with: each batch is copied there, and what else differs
from step to step must lie there, too (limits in buffers), or in a generator that lasts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

import torch

from sepcnn.nn.layers.dropout import RandomModule
from sepcnn.nn.model import Net

Results = tuple[torch.Tensor, torch.Tensor, list[torch.Tensor]]
"""logits, loss and gradients of a batch; none of them remembers how it was computed"""
Inputs = tuple[torch.Tensor | None, ...]
"""tensors of a batch; None for those that it does not have"""
Work = Callable[[Inputs], Results]
WARM_UP = 3
"""times that work is done before it is recorded: torch's number; libraries set themselves up"""


class Recorder(Protocol):
    """What records work; the tests have one that needs no GPU."""

    def aside(self) -> AbstractContextManager[None]:
        """Where work is done before it is recorded."""

    def record(
        self, work: Callable[[], Results], generators: Iterable[torch.Generator]
    ) -> tuple[Results, Callable[[], None]]:
        """What the work gives, and what does it again into the same tensors.

        Before that is called for the first time, what the tensors hold means nothing.
        """


class CudaRecorder:
    """Records on a stream of its own, as torch asks for."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.stream = device, torch.cuda.Stream(device)

    @contextmanager
    def aside(self) -> Iterator[None]:
        current = torch.cuda.current_stream(self.device)
        self.stream.wait_stream(current)
        try:
            with torch.cuda.stream(self.stream):
                yield
        finally:
            current.wait_stream(self.stream)

    def record(
        self, work: Callable[[], Results], generators: Iterable[torch.Generator]
    ) -> tuple[Results, Callable[[], None]]:
        # The outer context is for the device, and for the stream where recording fails: torch's own
        # leaves it current then. Other threads may do as they like, such as one that pins memory.
        with torch.cuda.stream(self.stream):
            graph = torch.cuda.CUDAGraph()
            for generator in generators:
                graph.register_generator_state(generator)
            with torch.cuda.graph(graph, stream=self.stream, capture_error_mode="thread_local"):
                results = work()
        return results, graph.replay


class Recording:
    """Work on batches of one shape."""

    def __init__(self, net: Net, work: Work, inputs: Inputs) -> None:
        self.inputs = tuple(one if one is None else one.clone() for one in inputs)
        device = next(one.device for one in inputs if one is not None)
        recorder: Recorder = CudaRecorder(device)
        with without_trace(net):
            with recorder.aside():
                for _ in range(WARM_UP):
                    work(self.inputs)
            generators = [one for module in random(net) for one in module.generators.values()]
            self.results, self.again = recorder.record(lambda: work(self.inputs), generators)

    def fits(self, inputs: Inputs) -> bool:
        return shapes(inputs) == shapes(self.inputs)

    def replay(self, inputs: Inputs) -> Results:
        """The results of another batch; the next replay overwrites them."""
        for kept, given in zip(self.inputs, inputs, strict=True):
            if kept is not None and given is not None:
                kept.copy_(given)
        self.again()
        return self.results


class GraphedStep:
    """Does work by replaying what it recorded of it, as long as that works."""

    def __init__(self, tell: Callable[[str], None] = lambda text: None) -> None:
        """``tell`` hears in one sentence why nothing is recorded any more."""
        self.tell = tell
        self.recording: Recording | None = None
        self.failure: str | None = None

    def __call__(self, net: Net, work: Work, inputs: Inputs) -> Results:
        if self.failure is None and (self.recording is None or not self.recording.fits(inputs)):
            self.recording = None  # its memory is free for the next: images only grow
            try:
                self.recording = Recording(net, work, inputs)
            except RuntimeError as error:
                self.failure = str(error).partition("\n")[0] or type(error).__name__
                for module in random(net):
                    module.generators.clear()  # recorded by halves, torch may refuse them
                self.tell(f"training goes on without CUDA graphs, which failed: {self.failure}")
        return work(inputs) if self.recording is None else self.recording.replay(inputs)


@contextmanager
def without_trace(net: Net) -> Iterator[None]:
    """What happens within moves no statistic, and the step's random numbers begin anew."""
    before = [(buffer, buffer.clone()) for buffer in net.buffers()]
    try:
        yield
    finally:
        for buffer, values in before:
            buffer.copy_(values)
        for module in random(net):
            module.restart()


def random(net: Net) -> list[RandomModule]:
    return [module for module in net.modules() if isinstance(module, RandomModule)]


def shapes(inputs: Inputs) -> list[torch.Size | None]:
    return [None if one is None else one.shape for one in inputs]
