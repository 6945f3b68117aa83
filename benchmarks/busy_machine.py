"""Training speed next to other programs, with and without short waits at barriers.

    python benchmarks/busy_machine.py [--seconds 6] [--rounds 3]

Trains configs/keras_sequential_bn.yaml on random images: alone, next to one busy program, and in
four processes at once. Each case is measured with threads that spin at barriers (OpenMP's default),
with `sepcnn.backends.short_waits`, and with one thread. The cases take turns. Prints the median
images/s of each, per process.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path

ROOT = Path(__file__).parents[1]
CONFIG = ROOT / "configs" / "keras_sequential_bn.yaml"
BUSY = [sys.executable, "-c", "while True: pass"]
WAYS = ("spinning", "short waits", "one thread")
WARM_UP_SECONDS = 3
"""short waits begin a second after the other program"""


def train(way: str, seconds: float) -> None:
    """Print the images per second of training in this process."""
    from sepcnn.backends.machine import choose_machine, keep_freed_memory, use_threads
    from sepcnn.backends.short_waits import ShortWaits
    from sepcnn.benchmark.training import Training
    from sepcnn.config.loading import load_config

    keep_freed_memory()
    if way == "one thread":
        use_threads(1)
    config, machine = load_config(CONFIG), choose_machine("cpu")
    training = Training(config, config.graph(config.known_classes or 10), machine)
    with ShortWaits(machine.threads) if way == "short waits" else nullcontext():
        for limit in (WARM_UP_SECONDS, seconds):
            begin, steps = time.perf_counter(), 0
            while time.perf_counter() < begin + limit:
                training.step()
                steps += 1
    print(steps * training.images / (time.perf_counter() - begin))


def measure(way: str, seconds: float, processes: int, busy: int) -> float:
    """Return the median images per second of ``processes`` that train at the same time."""
    command = [sys.executable, __file__, "--train", way, "--seconds", str(seconds)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    others = [subprocess.Popen(BUSY) for _ in range(busy)]
    try:
        running = [
            subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
            for _ in range(processes)
        ]
        return statistics.median(float(process.communicate()[0]) for process in running)
    finally:
        for other in others:
            other.kill()
            other.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--train", choices=WAYS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.train:
        train(options.train, options.seconds)
        return
    cases = {"alone": (1, 0), "next to one busy program": (1, 1), "four at once": (4, 0)}
    speeds: dict[tuple[str, str], list[float]] = {}
    for _ in range(options.rounds):
        for case, (processes, busy) in cases.items():
            for way in WAYS:
                speed = measure(way, options.seconds, processes, busy)
                speeds.setdefault((case, way), []).append(speed)
    for case in cases:
        texts = [f"{way} {statistics.median(speeds[case, way]):,.0f}" for way in WAYS]
        print(f"{case}: {', '.join(texts)} images/s")


if __name__ == "__main__":
    main()
