"""Graph → nn.Module: one module a leaf layer, called in the graph's order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import nn

from sepcnn.nn.graph import INPUT, Graph
from sepcnn.nn.layers.module import initialize


class Form(Protocol):
    """How the modules of a net are called; values between them are the form's own."""

    def begin(self, x: torch.Tensor) -> Any: ...
    def call(self, module: nn.Module, *inputs: Any) -> Any: ...
    def end(self, value: Any) -> torch.Tensor: ...


class Plain:
    """Modules are called with tensors."""

    def begin(self, x: torch.Tensor) -> torch.Tensor:
        return x

    def call(self, module: nn.Module, *inputs: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = module(*inputs)
        return y

    def end(self, value: torch.Tensor) -> torch.Tensor:
        return value


PLAIN = Plain()
Step = tuple[str, tuple[str, ...], list[str]]
"""a leaf's name, its inputs, and the values that nothing below it reads"""


class Net(nn.Module):
    """The plain module of a graph. Takes float N×C×H×W pixels of 0 to 255.

    `forward` gives what Keras would give, but for one output, which is both classes' here;
    `logits` stops before a softmax or sigmoid at the end, since the loss is exact from there.
    Parameters are named ``layer.weight``, ``block/layer.bias``.
    """

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.graph = graph
        self.steps = _steps(graph)
        self.head = graph.head
        for leaf in graph.leaves:
            layer = self.head.layer if leaf is graph.output else leaf.layer
            # Set directly: add_module would refuse a layer called, say, 'type' or 'graph'.
            module = layer.build(*leaf.input_shapes) if layer else nn.Identity()
            self._modules[leaf.name] = module.requires_grad_(leaf.layer.trainable)

    def trained_weights(self) -> dict[str, nn.Parameter]:
        """The weights that training changes, by name: all but those of frozen layers."""
        return {name: w for name, w in self.named_parameters() if w.requires_grad}

    def logits(self, x: torch.Tensor, form: Form | None = None) -> torch.Tensor:
        """The output before a softmax or sigmoid at the end: N×classes, float32 or wider.

        One output z is [0, z], the logits of two classes. ``form`` is another way to compute it.
        """
        form = form or PLAIN
        values = self.walk(self.steps, {INPUT: form.begin(x)}, form)
        return self.finish(form.end(values[self.graph.output.name]))

    def walk(self, steps: Sequence[Step], values: Mapping[str, Any], form: Form) -> dict[str, Any]:
        """Go through some of the layers; the values by name that others below them read."""
        found = dict(values)
        for name, inputs, finished in steps:
            module = self._modules[name]
            assert module is not None
            found[name] = form.call(module, *(found[source] for source in inputs))
            for source in finished:
                del found[source]
        return found

    def finish(self, output: torch.Tensor) -> torch.Tensor:
        """The logits, from what the last layer gives."""
        logits = self.head.logits(output)
        return logits if logits.dtype == torch.float64 else logits.float()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The output: with a softmax at the end, probabilities N×classes.

        With one sigmoid p at the end, too: [1 − p, p].
        """
        return self.head.outcome(self.logits(x))


def build(graph: Graph, seed: int = 0) -> Net:
    """The net of a graph with its first weights, drawn from the seed."""
    net = Net(graph)
    initialize(net, seed)
    return net.to(memory_format=torch.channels_last)


def at_size(net: Net, graph: Graph) -> Net:
    """The net of a graph for images of another size, on the weights and statistics of ``net``."""
    device = next(iter(net.state_dict().values())).device
    other = Net(graph).to(device)
    other.load_state_dict(net.state_dict(keep_vars=True), assign=True)
    return other


def _steps(graph: Graph) -> list[Step]:
    last_reader = {source: readers[-1] for source, readers in graph.readers().items() if readers}
    return [
        (leaf.name, leaf.inputs, [source for source, by in last_reader.items() if by == leaf.name])
        for leaf in graph.leaves
    ]
