"""The compiled form of a net: the plain one's layers through torch.compile.

Layers that draw random numbers are left as they are, since generators cannot be compiled: the net
is compiled in the pieces between them.
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
"""torch counts the pieces of all nets together, and goes on without compiling from 8 on"""

NOT_FOR_USERS = (
    "TensorFloat32 tensor cores",  # float32 that is not rounded is meant
    "The .grad attribute of a Tensor that is not a leaf",  # read by torch, not by us
)


class Compiled:
    """Computes the logits of a net; each shape of a batch is compiled when it first comes."""

    def __init__(self, net: Net) -> None:
        from torch._dynamo import config  # takes a second

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
    """Some layers of a net in a row."""

    def walk(values: Values) -> Values:
        return net.run_layers(steps, values, PLAIN)

    return torch.compile(walk, dynamic=False)
