"""Estimate the memory of a training step from the tensors that a small forward pass keeps."""

from __future__ import annotations

import math

import torch

from sepcnn.backends.machine import Machine, free_memory
from sepcnn.config.config import Config
from sepcnn.data.batch import Batch
from sepcnn.nn.graph import Graph
from sepcnn.nn.summary import summarize
from sepcnn.training.state import new_state
from sepcnn.training.step import TrainingStep

FLOAT_BYTES = 4
TRIAL_IMAGES = 2
PEAK_FACTOR = 1.75
"""peak memory of a step relative to what its forward pass keeps: the backward pass adds gradients.
Measured on a CPU: 1.5 to 2.0 for three models, plain in float32 and fused in bfloat16"""


def memory_of_step(config: Config, graph: Graph, machine: Machine, images: int) -> int:
    """Estimate the bytes of memory of a training step on ``images`` images, to about a quarter.

    Counts weights, gradients, the optimizer's state, and what the forward pass keeps for the
    backward pass. A model that does not fit into memory with `TRIAL_IMAGES` images is not run:
    then all outputs of its layers count.
    """
    summary = summarize(graph)
    trained = summary.total("trainable_params")
    slots = len(config.train.optimizer.slot_names())
    weights = FLOAT_BYTES * (summary.total("params") + trained * (1 + slots))
    outputs = FLOAT_BYTES * sum(math.prod(leaf.shape) for leaf in graph.leaves)
    free = free_memory(machine.device)
    if free is not None and weights + 2 * TRIAL_IMAGES * outputs > free:
        return weights + 2 * images * outputs
    return weights + round(PEAK_FACTOR * images * kept_bytes(config, graph, machine))


def kept_bytes(config: Config, graph: Graph, machine: Machine) -> float:
    """Return the bytes per image that a forward pass keeps for the backward pass."""
    state = new_state(config, graph, machine.device)
    step = TrainingStep(config, machine, steps_per_epoch=1)
    shape = (TRIAL_IMAGES, *graph.input_shape)
    batch = Batch(
        torch.zeros(shape, dtype=torch.uint8, device=machine.device),
        torch.zeros(TRIAL_IMAGES, dtype=torch.int64, device=machine.device),
    )
    sizes: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    net = step.begin(state, batch)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        _logits, loss = step.forward(net, batch)
    weights = {tensor.untyped_storage().data_ptr() for tensor in state.tensors().values()}
    del loss  # it kept the tensors alive, so that no address was used twice
    return sum(size for address, size in sizes.items() if address not in weights) / TRIAL_IMAGES
