"""Forward and backward of a training step as a CUDA graph: record once, then replay.

A step of a small model spends most of its time launching several hundred kernels from Python. A
graph launches them together. Its kernels read and write the memory that they were recorded with,
so each batch is copied there. Whatever else differs between steps must be in that memory as well
(limits are buffers), or come from a generator that lives as long as the graph.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

import torch

from sepcnn.nn.layers.dropout import RandomModule
from sepcnn.nn.model import Net

Results = tuple[torch.Tensor, torch.Tensor, list[torch.Tensor]]
"""logits, loss and gradients of a batch, without autograd history"""
Inputs = tuple[torch.Tensor | None, ...]
"""tensors of a batch; None for those that it does not have"""
Work = Callable[[Inputs], Results]
WARM_UP = 3
"""runs before recording, as torch recommends, in which libraries initialise themselves"""


class Recorder(Protocol):
    """Records work. Tests use one that needs no GPU."""

    def aside(self) -> AbstractContextManager[None]:
        """Context for the runs before recording."""

    def record(
        self, work: Callable[[], Results], generators: Iterable[torch.Generator]
    ) -> tuple[Results, Callable[[], None]]:
        """The results of the work, and a function that computes them again in the same tensors.

        The tensors have no meaningful values before that function is first called.
        """


class CudaRecorder:
    """Records on a separate stream, as torch requires."""

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
        # The outer context selects the device, and restores the stream if recording fails: torch's
        # own context does not. "thread_local" allows other threads to use CUDA, such as one that
        # pins memory.
        with torch.cuda.stream(self.stream):
            graph = torch.cuda.CUDAGraph()
            for generator in generators:
                graph.register_generator_state(generator)
            with torch.cuda.graph(graph, stream=self.stream, capture_error_mode="thread_local"):
                results = work()
        return results, graph.replay


class Recording:
    """Recorded work for inputs of one shape."""

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
        """The results for other inputs. The next replay overwrites them."""
        for kept, given in zip(self.inputs, inputs, strict=True):
            if kept is not None and given is not None:
                kept.copy_(given)
        self.again()
        return self.results


class GraphedStep:
    """Records work and replays it. If recording fails, it runs the work without a graph."""

    def __init__(self, tell: Callable[[str], None] = lambda text: None) -> None:
        """``tell`` is called with one sentence if recording fails."""
        self.tell = tell
        self.recording: Recording | None = None
        self.failure: str | None = None

    def __call__(self, net: Net, work: Work, inputs: Inputs) -> Results:
        if self.failure is None and (self.recording is None or not self.recording.fits(inputs)):
            self.recording = None  # frees its memory; the old shape does not return
            try:
                self.recording = Recording(net, work, inputs)
            except RuntimeError as error:
                self.failure = str(error).partition("\n")[0] or type(error).__name__
                for module in random(net):
                    module.generators.clear()  # partly recorded: torch may refuse to use them
                self.tell(f"training continues without CUDA graphs, which failed: {self.failure}")
        return work(inputs) if self.recording is None else self.recording.replay(inputs)


@contextmanager
def without_trace(net: Net) -> Iterator[None]:
    """Restore statistics and random streams afterwards."""
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
