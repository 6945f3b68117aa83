"""Start-up time of commands: help, a summary, and the first training step.

    python benchmarks/start_up.py [--repeats 5]

For the first step of configs/xception_mini.yaml, the time ends at its line in metrics.jsonl. It is
measured with kernels and images in the cache, and with an empty cache, which includes compiling
kernels and drawing images. Caches are temporary folders (XDG_CACHE_HOME). All files are read once
before the measurement. Prints medians and ranges.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[1]
CONFIG = str(ROOT / "configs" / "xception_mini.yaml")
PROGRAM = [sys.executable, "-m", "sepcnn"]
POLL_SECONDS = 0.005
"""time between two reads of metrics.jsonl"""
TIMEOUT_SECONDS = 120


def environment(cache: Path) -> dict[str, str]:
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path, "XDG_CACHE_HOME": str(cache)}


def complete_command(*arguments: str) -> Callable[[Path], float]:
    """Return a function that measures a command from start to end."""

    def measure(cache: Path) -> float:
        start = time.perf_counter()
        subprocess.run(
            [*PROGRAM, *arguments], env=environment(cache), stdout=subprocess.DEVNULL, check=True
        )
        return time.perf_counter() - start

    return measure


def first_step(cache: Path) -> float:
    """Measure the time until the first training step is done."""
    with tempfile.TemporaryDirectory() as folder:
        metrics = Path(folder) / "run" / "metrics.jsonl"
        start = time.perf_counter()
        process = subprocess.Popen(
            [*PROGRAM, "train", CONFIG, "--run-dir", str(metrics.parent)],
            env=environment(cache),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            while not (metrics.exists() and '"step"' in metrics.read_text()):
                if process.poll() is not None or time.perf_counter() - start > TIMEOUT_SECONDS:
                    raise SystemExit("sepcnn train failed, or took too long")
                time.sleep(POLL_SECONDS)
            return time.perf_counter() - start
        finally:
            process.kill()
            process.wait()


def with_empty_cache(measure: Callable[[Path], float]) -> Callable[[Path], float]:
    def emptied(cache: Path) -> float:
        empty = cache / "empty"
        try:
            return measure(empty)
        finally:
            shutil.rmtree(empty, ignore_errors=True)

    return emptied


MEASURED: dict[str, Callable[[Path], float]] = {
    "sepcnn --help": complete_command("--help"),
    "sepcnn summary xception_mini.yaml": complete_command("summary", CONFIG),
    "first step of xception_mini.yaml": first_step,
    "the same with an empty cache": with_empty_cache(first_step),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=5, help="rounds (5)")
    repeats = parser.parse_args().repeats
    found: dict[str, list[float]] = {name: [] for name in MEASURED}
    with tempfile.TemporaryDirectory() as folder:
        first_step(Path(folder))  # fills the caches, also the file cache of the system
        for _ in range(repeats):
            for name, measure in MEASURED.items():
                found[name].append(measure(Path(folder)))
    for name, seconds in found.items():
        spread = f"({min(seconds):.2f} to {max(seconds):.2f})"
        print(f"{name:<36}{statistics.median(seconds):>6.2f} s {spread}")


if __name__ == "__main__":
    main()
