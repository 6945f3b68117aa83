"""What the machine can do at most, measured, and how near to it a net comes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from sepcnn.backends.machine import Machine, multiplies_bfloat16
from sepcnn.benchmark.training import wait_for
from sepcnn.nn.summary import BYTES_A_VALUE, Summary

TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
WIDTH_ON_CPU, WIDTH_ON_GPU = 1536, 8192
"""of the matrices"""
COPIED_BYTES = 128 << 20
"""more than caches hold"""
FLOPS_A_MULTIPLY_ADD = 2
PASSES_OF_MULTIPLY_ADDS = 3
"""forward, and back to the inputs and to the weights"""
PASSES_OVER_ACTIVATIONS = 5
"""each output is written and read forward, read again on the way back, and its gradient written
and read"""


@dataclass(frozen=True, slots=True)
class Roofline:
    """Arithmetic and memory traffic of training, beside what the machine was measured to do."""

    flops: float
    """floating-point operations a second, of convolutions and dense layers"""
    most_flops: float
    """those of a large matrix product in the same precision, or in float32 where the processor does
    not multiply bfloat16"""
    bytes: float
    """a second, if every layer's output went through memory; more than the machine moves where
    layers are computed together or stay in caches"""
    most_bytes: float
    """those of a large copy, read and written"""


def roofline(summary: Summary, machine: Machine, images: float, seconds: float) -> Roofline:
    """For so many images a second; ``seconds`` is about how long to measure the machine."""
    kind, device = TYPES[machine.precision], machine.device
    width = WIDTH_ON_CPU if device.type == "cpu" else WIDTH_ON_GPU
    multiplied = kind if multiplies_bfloat16(device) else torch.float32
    left = torch.randn(width, width, device=device).to(multiplied)
    right, product = left.clone(), left.clone()
    source = torch.zeros(COPIED_BYTES, dtype=torch.uint8, device=device)
    target = source.clone()
    multiply = best(lambda: torch.mm(left, right, out=product), device, seconds / 2)
    copy = best(lambda: target.copy_(source), device, seconds / 2)
    activations = summary.total("activation_bytes") / BYTES_A_VALUE * kind.itemsize
    multiply_adds = PASSES_OF_MULTIPLY_ADDS * summary.total("macs")
    return Roofline(
        flops=FLOPS_A_MULTIPLY_ADD * multiply_adds * images,
        most_flops=FLOPS_A_MULTIPLY_ADD * width**3 / multiply,
        bytes=PASSES_OVER_ACTIVATIONS * activations * images,
        most_bytes=2 * COPIED_BYTES / copy,
    )


def best(work: Callable[[], object], device: torch.device, seconds: float) -> float:
    """The seconds of the quickest of several times, for a limit is looked for."""
    end = time.perf_counter() + seconds
    work()
    found: list[float] = []
    while not found or time.perf_counter() < end:
        wait_for(device)
        start = time.perf_counter()
        work()
        wait_for(device)
        found.append(time.perf_counter() - start)
    return min(found)
