"""The compiled form of a model: its layers through torch.compile.

torch.compile does not support random generators, so layers that draw random numbers stay as they
are. The layers between them are compiled in pieces.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import partial
from itertools import groupby

import torch

from sepcnn.nn.graph import INPUT
from sepcnn.nn.layers.dropout import RandomModule
from sepcnn.nn.model import PLAIN, LayerCall, Net

Values = dict[str, torch.Tensor]
MOST_GRAPHS = 10_000
"""torch stops compiling after 8 recompilations, counted over the pieces of all models"""

NOT_FOR_USERS = (
    "TensorFloat32 tensor cores",  # float32 is not rounded, on purpose
    "The .grad attribute of a Tensor that is not a leaf",  # torch reads it, we do not
)


class Compiled:
    """Computes the logits of a model. Each batch shape is compiled when it first occurs."""

    def __init__(self, net: Net) -> None:
        from torch._dynamo import config  # takes a second to import

        config.recompile_limit = config.accumulated_recompile_limit = MOST_GRAPHS
        for message in NOT_FOR_USERS:
            warnings.filterwarnings("ignore", message)

        def is_random(step: LayerCall) -> bool:
            return isinstance(net.layer_module(step[0]), RandomModule)

        self.net = net
        self.pieces = [
            partial(net.run_layers, steps, executor=PLAIN) if random else compiled(net, steps)
            for random, steps in ((r, list(group)) for r, group in groupby(net.calls, is_random))
        ]

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        """As `Net.logits`."""
        values = {INPUT: x}
        for piece in self.pieces:
            values = piece(values)
        return self.net.to_logits(values[self.net.graph.output.name])


def compiled(net: Net, steps: Sequence[LayerCall]) -> Callable[[Values], Values]:
    """Compile consecutive layers of a model."""

    def walk(values: Values) -> Values:
        return net.run_layers(steps, values, PLAIN)

    return torch.compile(walk, dynamic=False)
