"""What stands in for a CUDA graph where no GPU is: a tape of operations that plays them again.

As a graph does, it knows tensors by their memory and everything else by the value it had while it
was recorded: a number that should differ from step to step is found out.
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
    aten._local_scalar_dense,  # a value is read: the host would wait
    aten.nonzero,  # the shape of a result depends on values
    aten.masked_select,
    aten.lift_fresh,  # a tensor of numbers of the host
)


def tensors_of(values: object) -> list[torch.Tensor]:
    return [value for value in tree_flatten(values)[0] if isinstance(value, torch.Tensor)]


class Tape(TorchDispatchMode):
    """A recorder of work on the CPU."""

    made: list[Tape] = []

    @classmethod
    def ignore_compile_internals(cls) -> bool:
        """Compiled work is work, too."""
        return True

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self.operations: list[tuple[Any, tuple[Any, ...], Mapping[str, Any], Any]] = []
        self.generators: list[torch.Generator] = []
        self.replays = 0
        Tape.made.append(self)

    @contextmanager
    def aside(self) -> Iterator[None]:
        yield

    def record(
        self, work: Callable[[], Results], generators: Iterable[torch.Generator]
    ) -> tuple[Results, Callable[[], None]]:
        self.generators = list(generators)
        with self:
            results = work()
        for tensor in self.made_here():
            tensor.untyped_storage().fill_(0xFF)  # not a number: a graph has computed nothing yet
        return results, self.replay

    def made_here(self) -> Iterator[torch.Tensor]:
        """Results in memory of their own, not in that of weights, statistics or the batch."""
        found: set[int] = set()
        made: set[int] = set()
        for _, arguments, options, results in self.operations:
            found |= {memory(one) for one in tensors_of([arguments, options])} - made
            for one in tensors_of(results):
                if memory(one) not in found:
                    made.add(memory(one))
                    yield one

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
            if isinstance(value, torch.Generator) and not self.knows(value):
                raise RuntimeError("the generator is not registered with the graph")
        results = function(*arguments, **options)
        self.operations.append((function, arguments, options, results))
        return results

    def knows(self, generator: torch.Generator) -> bool:
        """By its address: torch hands out another Python object for it."""
        return generator._cdata in [one._cdata for one in self.generators]

    @torch.no_grad()
    def replay(self) -> None:
        self.replays += 1
        for function, arguments, options, results in self.operations:
            found = tensors_of(function(*arguments, **options))
            theirs = {memory(one) for one in tensors_of([arguments, options])}
            for kept, new in zip(tensors_of(results), found, strict=True):
                if memory(new) not in theirs:  # views and what is changed in place are there
                    kept.copy_(new)


def memory(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage().data_ptr()
