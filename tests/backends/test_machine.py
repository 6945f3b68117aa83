"""How this machine runs: choices, refusals, and what is asked of the processor."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sepcnn.backends import machine
from sepcnn.backends.machine import (
    Machine,
    Precision,
    choose_device,
    choose_machine,
    missing_speedups,
    multiplies_bfloat16,
    processor_count,
    supports_cuda_graphs,
)
from sepcnn.backends.native import library, processor
from sepcnn.errors import InputError

CPU = torch.device("cpu")
GPUS = torch.cuda.device_count()

on_linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="this is not Linux")
without_gpu = pytest.mark.skipif(GPUS > 0, reason="this machine has a CUDA GPU")
with_gpu = pytest.mark.skipif(GPUS == 0, reason="this machine has no CUDA GPU")


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_cpu_with_a_given_precision(precision: Precision) -> None:
    plain = Machine(CPU, precision, torch.get_num_threads())
    assert choose_machine("cpu", precision, fused=False) == plain
    assert choose_machine("cpu", precision) == (
        replace(plain, form="fused") if library.load_kernels(precision) else plain
    )


@on_linux
def test_what_is_lacking_is_told_where_it_is_wanted() -> None:
    plain = Machine(CPU, "float32", 2)
    told = ["the kernels could not be compiled here: with g++ (GCC), training would be faster"]
    assert missing_speedups(plain, fused=True) == told
    assert missing_speedups(plain, fused=False) == []
    assert missing_speedups(replace(plain, form="fused"), fused=True) == []
    assert replace(plain, form="fused").describe() == f"{plain.describe()}, fused"


def test_compiling_pays_on_a_gpu_in_long_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "supports_compile", lambda device: True)
    gpu = torch.device("cuda", 0)
    assert [machine.compiling_pays(gpu, steps) for steps in (999, 1000)] == [False, True]
    assert not machine.compiling_pays(CPU, 1_000_000)
    monkeypatch.setattr(machine, "supports_compile", lambda device: False)
    assert not machine.compiling_pays(gpu, 1000)


@pytest.mark.parametrize(
    ("multiplies", "unpacks", "kernels", "fused", "plain"),
    [
        (True, True, True, "bfloat16", "bfloat16"),
        (True, True, False, "bfloat16", "bfloat16"),
        (False, True, True, "bfloat16", "float32"),
        (False, True, False, "float32", "float32"),
        (False, False, True, "float32", "float32"),
    ],
)
def test_precision_is_bfloat16_where_it_is_faster(
    monkeypatch: pytest.MonkeyPatch,
    multiplies: bool,
    unpacks: bool,
    kernels: bool,
    fused: Precision,
    plain: Precision,
) -> None:
    """Where the processor multiplies it, or kernels of ours move it."""
    monkeypatch.setattr(processor, "multiplies_bfloat16", lambda: multiplies)
    monkeypatch.setattr(processor, "unpacks_bfloat16", lambda: unpacks)
    monkeypatch.setattr(library, "load_kernels", lambda precision: kernels or None)
    assert choose_machine("cpu").precision == fused
    assert choose_machine("cpu", fused=False).precision == plain


def test_a_cpu_computes_what_its_processor_multiplies() -> None:
    assert multiplies_bfloat16(CPU) is processor.multiplies_bfloat16()


@without_gpu
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cuda", "there is no device cuda: 0 CUDA GPUs found"),
        ("cuda:1", "there is no device cuda:1: 0 CUDA GPUs found"),
        # torch reads this one as -128.
        ("cuda:128", "there is no device cuda:128: 0 CUDA GPUs found"),
        ("cuda:99999999999", "there is no device cuda:99999999999: 0 CUDA GPUs found"),
        ("cuda:", "there is no device cuda: on this machine"),
        ("tpu", "there is no device tpu on this machine"),
        ("meta", "there is no device meta on this machine"),
    ],
)
def test_a_device_that_is_not_there_is_refused(name: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        choose_device(name)
    assert str(caught.value) == f"{message}\n   use device: auto or cpu"


@pytest.mark.skipif(torch.backends.mps.is_available(), reason="this machine has mps")
def test_mps_is_refused_where_it_is_not() -> None:
    with pytest.raises(InputError) as caught:
        choose_machine("mps")
    expected = "there is no device mps on this machine\n   use device: auto or cpu"
    assert str(caught.value) == expected


@without_gpu
@pytest.mark.skipif(torch.backends.mps.is_available(), reason="this machine has mps")
def test_auto_is_the_cpu_where_there_is_nothing_else() -> None:
    assert choose_device("auto") == CPU


@with_gpu
def test_auto_is_the_first_gpu() -> None:
    first = torch.device("cuda", 0)
    assert [choose_device(name) for name in ("auto", "cuda", "cuda:0")] == [first] * 3


@with_gpu
def test_a_gpu_too_many_is_refused() -> None:
    with pytest.raises(InputError) as caught:
        choose_device(f"cuda:{GPUS}")
    found = f"{GPUS} CUDA GPU{'s' if GPUS != 1 else ''} found"
    expected = f"there is no device cuda:{GPUS}: {found}\n   use device: auto or cpu"
    assert str(caught.value) == expected


@pytest.mark.parametrize(
    ("precision", "dtype"), [("float32", torch.float32), ("bfloat16", torch.bfloat16)]
)
def test_autocast_computes_in_the_precision(precision: Precision, dtype: torch.dtype) -> None:
    a = torch.ones(2, 2)
    with choose_machine("cpu", precision).autocast():
        assert (a @ a).dtype == dtype
    assert (a @ a).dtype == torch.float32


def test_a_machine_describes_itself() -> None:
    machine = Machine(CPU, "bfloat16", threads=6)
    assert machine.describe() == f"{processor.name()}, 6 threads, bfloat16, channels_last"
    assert machine.facts() == {
        "device": "cpu",
        "precision": "bfloat16",
        "memory_format": "channels_last",
        "threads": 6,
        "form": "plain",
        "graphs": False,
        "name": machine.describe(),
    }
    assert replace(machine, graphs=True).describe() == f"{machine.describe()}, CUDA graphs"


def test_graphs_are_those_of_cuda() -> None:
    assert [supports_cuda_graphs(torch.device(name)) for name in ("cuda", "cpu", "mps")] == [
        True,
        False,
        False,
    ]


@pytest.mark.exhaustive
@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="only Linux shares so")
def test_no_more_processors_than_may_be_used() -> None:
    code = "import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])\n"
    code += "from sepcnn.backends.machine import processor_count; print(processor_count())"
    root = Path(__file__).parents[2]
    result = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert (result.stdout, result.stderr) == ("1\n", "")
    assert processor_count() >= 1


@pytest.mark.exhaustive
def test_keep_memory_is_possible_with_glibc() -> None:
    # In a process of its own, since the setting stays.
    code = "from sepcnn.backends.machine import keep_freed_memory; print(keep_freed_memory())"
    root = Path(__file__).parents[2]
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    on_glibc = sys.platform.startswith("linux") and platform.libc_ver()[0] == "glibc"
    assert result.stdout.strip() == str(on_glibc)
    assert result.stderr == ""
