"""What /proc/cpuinfo says about a processor: here, on an Arm machine, and without the file."""

from __future__ import annotations

import platform
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from sepcnn.backends.native import processor

on_linux = pytest.mark.skipif(
    not processor.CPUINFO.exists(), reason="there is no /proc/cpuinfo here"
)
X86 = """\
processor\t: 0
model name\t: AMD EPYC 9B14
cpu MHz\t\t: 2600.000
flags\t\t: fpu avx2 avx512f avx512_bf16
"""
ARM = """\
processor\t: 0
BogoMIPS\t: 243.75
Features\t: fp asimd bf16
CPU implementer\t: 0x41
CPU part\t: 0xd40
"""


@pytest.fixture(autouse=True)
def _answers_of_this_test_only() -> Iterator[None]:
    questions = processor.multiplies_bfloat16, processor.unpacks_bfloat16
    for question in questions:
        question.cache_clear()
    yield
    for question in questions:
        question.cache_clear()


def describe(monkeypatch: pytest.MonkeyPatch, folder: Path, cpuinfo: str) -> None:
    path = folder / "cpuinfo"
    path.write_text(cpuinfo)
    monkeypatch.setattr(processor, "CPUINFO", path)


@on_linux
def test_this_processor() -> None:
    text = processor.CPUINFO.read_text()
    names = re.findall(r"^model name\s*: (.*)$", text, re.M)
    flags = set(re.search(r"^(flags|Features)\s*:(.*)$", text, re.M)[2].split())
    assert processor.name() == (names[0] if names else platform.processor() or platform.machine())
    assert processor.flags() == flags
    assert processor.multiplies_bfloat16() is bool(flags & {"avx512_bf16", "amx_bf16"})
    assert processor.unpacks_bfloat16() is bool(flags & {"avx2", "avx512_bf16", "amx_bf16"})


@pytest.mark.parametrize(
    ("flags", "multiplies", "unpacks"),
    [
        ("avx2 avx512_bf16", True, True),
        ("amx_bf16", True, True),
        ("avx avx2", False, True),
        ("avx", False, False),
    ],
)
def test_bfloat16_depends_on_the_flags(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, flags: str, multiplies: bool, unpacks: bool
) -> None:
    describe(monkeypatch, tmp_path, f"flags : fpu {flags}\n")
    assert processor.multiplies_bfloat16() is multiplies
    assert processor.unpacks_bfloat16() is unpacks


def test_identity_is_that_of_one_core(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    describe(monkeypatch, tmp_path, X86)
    one = processor.identity()
    assert one == [("flags", "fpu avx2 avx512f avx512_bf16"), ("model name", "AMD EPYC 9B14")]
    # A second core, at another clock rate.
    second = X86.replace("processor\t: 0", "processor\t: 1").replace("2600", "3100")
    describe(monkeypatch, tmp_path, f"{X86}\n{second}")
    assert processor.identity() == one


def test_an_arm_processor(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    describe(monkeypatch, tmp_path, ARM)
    assert processor.name() == (platform.processor() or platform.machine())
    assert processor.flags() == {"fp", "asimd", "bf16"}
    assert [key for key, _ in processor.identity()] == ["CPU implementer", "CPU part", "Features"]


def test_without_the_file_nothing_is_known(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(processor, "CPUINFO", tmp_path / "missing")
    assert processor.name() == (platform.processor() or platform.machine())
    assert processor.flags() == set()
    assert processor.identity() == []
    assert not processor.unpacks_bfloat16()
