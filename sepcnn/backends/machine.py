"""How this machine computes a model: device, precision, memory format, allocator, threads."""

from __future__ import annotations

import ctypes
import logging
import os
import sys
import warnings
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache
from typing import Literal

import torch

from sepcnn.backends.native import library, processor
from sepcnn.errors import InputError, MemoryExhaustedError
from sepcnn.wording import counted

Precision = Literal["auto", "float32", "bfloat16"]
Form = Literal["plain", "fused", "compiled"]

WORTH_COMPILING = 1000
"""steps of a run above which compiling saves time on a GPU; an estimate, not measured"""

# glibc's parameter numbers and our values: see mallopt(3).
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3
_KEEP_BYTES = 1 << 30
_TOP_PAD_BYTES = 256 << 20


@dataclass(frozen=True, slots=True)
class Machine:
    """The resolved settings of a run. Checkpoints record them."""

    device: torch.device
    precision: Literal["float32", "bfloat16"]
    threads: int
    form: Form = "plain"
    """how a model is computed: module by module, with the kernels of `sepcnn.backends.fused`, or as
    `sepcnn.backends.compiled` has it"""
    graphs: bool = False
    """whether a step's kernels are launched as one, as `sepcnn.backends.cuda_graph` does"""

    def autocast(self) -> AbstractContextManager[object]:
        """Context that computes in the precision of the machine. Weights stay float32."""
        if self.precision == "float32":
            return nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)

    def describe(self) -> str:
        """The machine in one line, for the user."""
        if self.device.type == "cpu":
            where = f"{processor.name()}, {counted(self.threads, 'thread')}"
        elif self.device.type == "cuda":
            where = f"{torch.cuda.get_device_name(self.device)} ({self.device})"
        else:
            where = str(self.device)
        form = "" if self.form == "plain" else f", {self.form}"
        graphs = ", CUDA graphs" if self.graphs else ""
        return f"{where}, {self.precision}, channels_last{form}{graphs}"

    def facts(self) -> dict[str, object]:
        """The settings as a checkpoint and ``environment.json`` store them."""
        return {
            "device": str(self.device),
            "precision": self.precision,
            "memory_format": "channels_last",
            "threads": self.threads,
            "form": self.form,
            "graphs": self.graphs,
            "name": self.describe(),
        }


def choose_machine(
    device: str = "auto", precision: Precision = "auto", fused: bool = True
) -> Machine:
    """The settings for this machine; ``fused`` where it has the kernels.

    Errors: `InputError` for a device that is not there.
    """
    chosen = choose_device(device)
    fused = fused and chosen.type == "cpu"
    if precision == "auto":
        precision = "bfloat16" if trains_in_bfloat16(chosen, fused) else "float32"
    form: Form = "fused" if fused and library.load_kernels(precision) else "plain"
    return Machine(chosen, precision, torch.get_num_threads(), form)


def missing_speedups(machine: Machine, fused: bool) -> list[str]:
    """Notes for the user about speed-ups that are not available here."""
    if machine.device.type != "cpu" or machine.form != "plain" or not fused:
        return []
    if not sys.platform.startswith("linux"):
        return []
    return ["the kernels could not be compiled here: with g++ (GCC), training would be faster"]


def compiling_pays(device: torch.device, steps: int) -> bool:
    """Whether a run of ``steps`` steps saves more time than compiling takes."""
    return device.type == "cuda" and steps >= WORTH_COMPILING and supports_compile(device)


@cache
def supports_compile(device: torch.device) -> bool:
    """Whether torch.compile works on a device. It needs Triton, compilers and their headers."""
    # torch logs warnings here that do not concern the user, such as a CUDA_HOME without a GPU.
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    with warnings.catch_warnings(action="ignore"):
        try:
            torch.compile(torch.square, dynamic=False)(torch.ones(8, device=device))
        except Exception:  # each missing part raises another exception
            return False
    return True


def supports_cuda_graphs(device: torch.device) -> bool:
    """Whether a device supports CUDA graphs."""
    return device.type == "cuda"


def cuda(index: int) -> torch.device:
    """A CUDA device with TF32 switched off: by default, torch rounds convolutions to TF32."""
    torch.backends.cudnn.allow_tf32 = False
    return torch.device("cuda", index)


def use_threads(count: int) -> None:
    """Set the number of threads. The same number adds up sums in the same order."""
    torch.set_num_threads(count)


def choose_device(name: str) -> torch.device:
    """``auto`` is the first GPU, else the CPU.

    Errors: `InputError` for a device that this machine does not have.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return cuda(0)
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    kind, _, number = name.partition(":")
    if kind == "cuda" and (number.isdecimal() or name == "cuda"):
        # torch.device reads a number above 127 as negative.
        index = int(number or 0)
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if index < count:
            return cuda(index)
        found = f"{counted(count, 'CUDA GPU')} found"
        raise InputError(f"there is no device {name}: {found}", "use device: auto or cpu")
    if name == "cpu" or (name == "mps" and torch.backends.mps.is_available()):
        return torch.device(name)
    raise InputError(f"there is no device {name} on this machine", "use device: auto or cpu")


def copy_to(values: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Copy a tensor to a device, unless it is already there.

    The copy to a GPU is from pinned memory, since a copy from pageable memory may wait for all
    earlier work of the GPU.
    """
    if device.type == "cuda" and values.device.type == "cpu":
        values = values.pin_memory()
    return values.to(device, non_blocking=True)


def memory_exhausted(error: BaseException) -> MemoryExhaustedError | None:
    """The error to show if ``error`` means that memory is exhausted, on the CPU or a GPU."""
    signs = ("can't allocate memory", "not enough memory", "Storage size calculation overflowed")
    matches = isinstance(error, RuntimeError) and any(sign in str(error) for sign in signs)
    if not matches and not isinstance(error, MemoryError | torch.OutOfMemoryError):
        return None
    where = "of the GPU " if isinstance(error, torch.OutOfMemoryError) else ""
    hint = "use a smaller train.batch_size, smaller images, or a smaller net"
    return MemoryExhaustedError(f"the memory {where}is not enough", hint)


def processor_count() -> int:
    """Number of processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def free_memory(device: torch.device | None = None) -> int | None:
    """Free bytes of the system's or a GPU's memory; None if they cannot be determined."""
    if device is not None and device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        with open("/proc/meminfo") as file:
            lines = dict(line.split(":", 1) for line in file)
        return int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return None


def multiplies_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 in hardware, without conversion to float32."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return device.type == "cpu" and processor.multiplies_bfloat16()


def trains_in_bfloat16(device: torch.device, fused: bool) -> bool:
    """Whether bfloat16 is faster: if it is multiplied in hardware, or if the kernels store it."""
    if multiplies_bfloat16(device):
        return True
    return fused and processor.unpacks_bfloat16() and library.load_kernels("bfloat16") is not None


def keep_freed_memory() -> bool:
    """Make glibc keep freed memory for the next step. Returns whether it was possible.

    By default, glibc returns every large activation to the system, which maps and zeroes the memory
    again in the next step. That takes a third to a half of the training time on a CPU.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # not glibc
        return False
    settings = {
        _M_MMAP_THRESHOLD: _KEEP_BYTES,
        _M_TRIM_THRESHOLD: _KEEP_BYTES,
        _M_TOP_PAD: _TOP_PAD_BYTES,
    }
    accepted = [mallopt(parameter, value) for parameter, value in settings.items()]
    return accepted == [1, 1, 1]
