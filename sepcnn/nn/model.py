"""Graph → nn.Module: one module per leaf layer, called in the order of the graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import nn

from sepcnn.nn.graph import INPUT, Graph
from sepcnn.nn.layers.module import initialize


class Executor(Protocol):
    """Calls the modules of a model. The values between modules may have any type."""

    def begin(self, x: torch.Tensor) -> Any:
        """Convert the input of the model to a value."""

    def call(self, module: nn.Module, *inputs: Any) -> Any:
        """Call one module with values."""

    def end(self, value: Any) -> torch.Tensor:
        """Convert the value of the last layer to a tensor."""


class PlainExecutor:
    """Calls each module with tensors."""

    def begin(self, x: torch.Tensor) -> torch.Tensor:
        return x

    def call(self, module: nn.Module, *inputs: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = module(*inputs)
        return y

    def end(self, value: torch.Tensor) -> torch.Tensor:
        return value


PLAIN = PlainExecutor()
LayerCall = tuple[str, tuple[str, ...], list[str]]
"""a layer's name, its inputs, and the values that no later layer needs"""


class Net(nn.Module):
    """The module of a graph. Takes float N×C×H×W pixels from 0 to 255.

    `forward` returns the output of the Keras model, except that a single output becomes two
    columns, one per class. `logits` stops before a final softmax or sigmoid, because the loss is
    exact from logits. Parameters are named ``layer.weight``, ``block/layer.bias``.
    """

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.graph = graph
        self.calls = _layer_calls(graph)
        self.head = graph.head
        for leaf in graph.leaves:
            layer = self.head.layer if leaf is graph.output else leaf.layer
            # Set directly: add_module refuses names of attributes, as 'type' or 'graph'.
            module = layer.build(*leaf.input_shapes) if layer else nn.Identity()
            self._modules[leaf.name] = module.requires_grad_(leaf.layer.trainable)

    def layer_module(self, name: str) -> nn.Module:
        """Return the module of a layer, also if an attribute has its name, as ``graph``."""
        module = self._modules[name]
        assert module is not None
        return module

    def trained_weights(self) -> dict[str, nn.Parameter]:
        """Return the trainable weights by name: all except those of frozen layers."""
        return {name: w for name, w in self.named_parameters() if w.requires_grad}

    def logits(self, x: torch.Tensor, executor: Executor | None = None) -> torch.Tensor:
        """Return the output before a final softmax or sigmoid: N×classes, float32 or wider.

        A single output z becomes [0, z], the logits of two classes. ``executor`` calls the
        modules; by default each is called with tensors.
        """
        executor = executor or PLAIN
        values = self.run_layers(self.calls, {INPUT: executor.begin(x)}, executor)
        return self.to_logits(executor.end(values[self.graph.output.name]))

    def run_layers(
        self, calls: Sequence[LayerCall], values: Mapping[str, Any], executor: Executor
    ) -> dict[str, Any]:
        """Call some of the layers; return the values by name that later layers need."""
        found = dict(values)
        for name, inputs, finished in calls:
            module = self.layer_module(name)
            found[name] = executor.call(module, *(found[source] for source in inputs))
            for source in finished:
                del found[source]
        return found

    def to_logits(self, output: torch.Tensor) -> torch.Tensor:
        """Return the logits from the output of the last layer."""
        logits = self.head.logits(output)
        return logits if logits.dtype == torch.float64 else logits.float()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the output, N×classes: probabilities if the model ends in an activation.

        A single sigmoid output p becomes [1 − p, p].
        """
        return self.head.apply_activation(self.logits(x))


def build(graph: Graph, seed: int = 0) -> Net:
    """Build the model of a graph and initialize its weights from the seed."""
    net = Net(graph)
    initialize(net, seed)
    return net.to(memory_format=torch.channels_last)


def with_shared_weights(net: Net, graph: Graph) -> Net:
    """Build the model of ``graph``, as for another image size, with the tensors of ``net``."""
    device = next(iter(net.state_dict().values())).device
    other = Net(graph).to(device)
    other.load_state_dict(net.state_dict(keep_vars=True), assign=True)
    return other


def _layer_calls(graph: Graph) -> list[LayerCall]:
    last = {source: names[-1] for source, names in graph.consumers().items() if names}
    return [
        (leaf.name, leaf.inputs, [source for source, name in last.items() if name == leaf.name])
        for leaf in graph.leaves
    ]
