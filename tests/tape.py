"""A replacement for a CUDA graph without a GPU: it records operations and replays them.

Like a graph, it keeps tensors by their memory and everything else by its value at recording. So a
test notices a number that should change from step to step but was recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from sepcnn.backends.cuda_graph import Results

aten = torch.ops.aten
REFUSED = (
    aten._local_scalar_dense,  # reads a value: the host would wait
    aten.nonzero,  # has a result whose shape depends on values
    aten.masked_select,
    aten.lift_fresh,  # makes a tensor of numbers on the host
)


def tensors_of(values: object) -> list[torch.Tensor]:
    return [value for value in tree_flatten(values)[0] if isinstance(value, torch.Tensor)]


class Tape(TorchDispatchMode):
    """Records and replays operations on the CPU, with the interface of `CudaRecorder`."""

    instances: list[Tape] = []

    @classmethod
    def ignore_compile_internals(cls) -> bool:
        """Record compiled functions too."""
        return True

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self.operations: list[tuple[Any, tuple[Any, ...], Mapping[str, Any], Any]] = []
        self.generators: list[torch.Generator] = []
        self.replays = 0
        Tape.instances.append(self)

    @contextmanager
    def aside(self) -> Iterator[None]:
        yield

    def record(
        self, work: Callable[[], Results], generators: Iterable[torch.Generator]
    ) -> tuple[Results, Callable[[], None]]:
        self.generators = list(generators)
        with self:
            results = work()
        for tensor in self.new_results():
            tensor.untyped_storage().fill_(0xFF)  # NaN: recording a graph computes nothing
        return results, self.replay

    def new_results(self) -> Iterator[torch.Tensor]:
        """Results in new memory, not in the memory of weights, statistics or the batch."""
        outside: set[int] = set()
        new: set[int] = set()
        for _, arguments, options, results in self.operations:
            outside |= {memory(tensor) for tensor in tensors_of([arguments, options])} - new
            for tensor in tensors_of(results):
                if memory(tensor) not in outside:
                    new.add(memory(tensor))
                    yield tensor

    def __torch_dispatch__(
        self,
        function: Any,
        types: object,
        arguments: tuple[Any, ...] = (),
        options: Mapping[str, Any] | None = None,
    ) -> Any:
        options = options or {}
        if function.overloadpacket in REFUSED:
            raise RuntimeError(f"{function}: operation not permitted when stream is capturing")
        for value in tree_flatten((arguments, options))[0]:
            if isinstance(value, torch.Generator) and not self.is_registered(value):
                raise RuntimeError("the generator is not registered with the graph")
        results = function(*arguments, **options)
        self.operations.append((function, arguments, options, results))
        return results

    def is_registered(self, generator: torch.Generator) -> bool:
        """Compares addresses, as torch returns a new Python object for the same generator."""
        return generator._cdata in [registered._cdata for registered in self.generators]

    @torch.no_grad()
    def replay(self) -> None:
        self.replays += 1
        for function, arguments, options, results in self.operations:
            new_results = tensors_of(function(*arguments, **options))
            inputs = {memory(tensor) for tensor in tensors_of([arguments, options])}
            for recorded, new in zip(tensors_of(results), new_results, strict=True):
                if memory(new) not in inputs:  # views and in-place results are up to date
                    recorded.copy_(new)


def memory(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage().data_ptr()
