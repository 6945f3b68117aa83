"""Compare training with the measured limits of the machine, as in a roofline model."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from sepcnn.backends.machine import Machine, multiplies_bfloat16
from sepcnn.benchmark.training import synchronize
from sepcnn.nn.summary import BYTES_PER_VALUE, Summary

TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
CPU_MATRIX_SIDE, GPU_MATRIX_SIDE = 1536, 8192
COPIED_BYTES = 128 << 20
"""larger than the caches"""
FLOPS_PER_MULTIPLY_ADD = 2
PASSES_OF_MULTIPLY_ADDS = 3
"""forward pass, gradients of the inputs, gradients of the weights"""
PASSES_OVER_ACTIVATIONS = 5
"""each output is written and read in the forward pass and read in the backward pass, and its
gradient is written and read
"""


@dataclass(frozen=True, slots=True)
class Roofline:
    """Arithmetic and memory traffic of training, with the measured limits of the machine."""

    flops: float
    """floating-point operations per second, in convolutions and dense layers"""
    most_flops: float
    """limit: a large matrix product in the same precision, or in float32 if the processor does not
    multiply bfloat16
    """
    bytes: float
    """per second, if every layer's output went through memory; the actual traffic is less if layers
    are fused or their outputs stay in the caches
    """
    most_bytes: float
    """limit: a large copy, bytes read and written"""


def roofline(summary: Summary, machine: Machine, images: float, seconds: float) -> Roofline:
    """Measure the machine for about ``seconds``; training runs at ``images`` per second."""
    dtype, device = TYPES[machine.precision], machine.device
    side = CPU_MATRIX_SIDE if device.type == "cpu" else GPU_MATRIX_SIDE
    matrix_dtype = dtype if multiplies_bfloat16(device) else torch.float32
    left = torch.randn(side, side, device=device).to(matrix_dtype)
    right, product = left.clone(), left.clone()
    source = torch.zeros(COPIED_BYTES, dtype=torch.uint8, device=device)
    target = source.clone()
    multiply_seconds = shortest_time(
        lambda: torch.mm(left, right, out=product), device, seconds / 2
    )
    copy_seconds = shortest_time(lambda: target.copy_(source), device, seconds / 2)
    activations = summary.total("activation_bytes") / BYTES_PER_VALUE * dtype.itemsize
    multiply_adds = PASSES_OF_MULTIPLY_ADDS * summary.total("macs")
    return Roofline(
        flops=FLOPS_PER_MULTIPLY_ADD * multiply_adds * images,
        most_flops=FLOPS_PER_MULTIPLY_ADD * side**3 / multiply_seconds,
        bytes=PASSES_OVER_ACTIVATIONS * activations * images,
        most_bytes=2 * COPIED_BYTES / copy_seconds,
    )


def shortest_time(work: Callable[[], object], device: torch.device, seconds: float) -> float:
    """Return the shortest seconds of several calls, because the result is a limit."""
    end = time.perf_counter() + seconds
    work()
    times: list[float] = []
    while not times or time.perf_counter() < end:
        synchronize(device)
        start = time.perf_counter()
        work()
        synchronize(device)
        times.append(time.perf_counter() - start)
    return min(times)
