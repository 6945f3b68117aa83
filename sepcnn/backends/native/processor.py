"""The processor of this machine: its name, and what it computes in hardware.

Linux describes it in ``/proc/cpuinfo``. Without that file the flags are empty.
"""

from __future__ import annotations

import platform
from functools import cache
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
FLAGS = ("flags", "Features")
"""keys of the instruction sets, on x86 and on Arm"""
IDENTITY = ("model name", "CPU implementer", "CPU part", *FLAGS)
"""keys of all that decides which code runs, and how fast"""


def _entries() -> list[tuple[str, str]]:
    """Key and value of each line. Cores repeat each other's lines."""
    try:
        lines = CPUINFO.read_text().splitlines()
    except OSError:
        return []
    pairs = (line.partition(":") for line in lines)
    return [(key.strip(), value.strip()) for key, _, value in pairs]


def name() -> str:
    """The model, for people; without one the architecture."""
    names = [value for key, value in _entries() if key == "model name"]
    return names[0] if names else platform.processor() or platform.machine()


def flags() -> set[str]:
    """The names of the instruction sets, as Linux spells them."""
    return {flag for key, value in _entries() if key in FLAGS for flag in value.split()}


def identity() -> list[tuple[str, str]]:
    """What compiled code depends on: machines that share a home folder may differ in it."""
    return sorted({entry for entry in _entries() if entry[0] in IDENTITY})


@cache
def multiplies_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 in hardware, not by way of float32."""
    return bool({"avx512_bf16", "amx_bf16"} & flags())


@cache
def unpacks_bfloat16() -> bool:
    """Whether vectors turn bfloat16 into float32 and back in less time than memory takes."""
    return multiplies_bfloat16() or "avx2" in flags()
