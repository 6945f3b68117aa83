"""Training speed on a GPU, compared with a plain PyTorch script with a DataLoader.

    python benchmarks/gpu_training.py [CONFIG] [--batch-size 512] [--seconds 120] [--workers 8]
    python benchmarks/gpu_training.py --device cpu --batch-size 32 --seconds 5 --no-compile

The plain script trains the same model module by module: pinned float images N×C×H×W from worker
processes, torch's optimizer and default settings with TF32, without augmentation. sepcnn augments
as in the config. The measurements are interleaved in one process. Workers pass batches through
shared memory: a container needs some GB of it (--shm-size), or fewer --workers. Prints medians,
ranges and ratios to the plain script, and the memory traffic of the activations as a share of the
bandwidth of a copy.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from torch.utils.data import DataLoader, Dataset, RandomSampler

from sepcnn.backends import machine
from sepcnn.backends.machine import Machine, Precision
from sepcnn.benchmark.measurement import MedianRange, Runner, measure_interleaved, ratio
from sepcnn.benchmark.plain_torch import PlainTraining
from sepcnn.benchmark.roofline import roofline
from sepcnn.benchmark.training import RandomImages, Training, random_images
from sepcnn.config.config import Config
from sepcnn.config.loading import load_config
from sepcnn.errors import SepcnnError
from sepcnn.nn.graph import Graph
from sepcnn.nn.summary import summarize

CONFIG = Path(__file__).parents[1] / "configs" / "xception_mini.yaml"
PLAIN = "plain PyTorch, DataLoader"
PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16")
WARM_UP_SHARE, ROOFLINE_SHARE, ENDLESS = 0.05, 0.02, 1 << 40


class Images(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """One image at a time, as a float tensor."""

    def __init__(self, images: RandomImages) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        pixels = self.images.images[index].permute(2, 0, 1).float()
        return pixels.contiguous(), self.images.labels[index]


class LoaderTraining(PlainTraining):
    """The loop of ``sepcnn benchmark --against torch``, with images from a DataLoader."""

    def __init__(self, config: Config, graph: Graph, device: torch.device, workers: int) -> None:
        super().__init__(config, graph, device)
        assert graph.head.classes is not None
        images = Images(random_images(config, graph.head.classes))
        self.loader: Iterator[list[torch.Tensor]] = iter(
            DataLoader(
                images,
                config.train.batch_size,
                sampler=RandomSampler(images, replacement=True, num_samples=ENDLESS),
                num_workers=workers,
                pin_memory=device.type == "cuda",
            )
        )

    def batch(self) -> tuple[torch.Tensor, torch.Tensor]:
        pixels, labels = (values.to(self.device, non_blocking=True) for values in next(self.loader))
        return pixels, labels

    def timed(self, steps: int) -> float:
        torch.backends.cudnn.allow_tf32 = True  # torch's default, which sepcnn turns off
        try:
            return super().timed(steps)
        finally:
            torch.backends.cudnn.allow_tf32 = False


def machine_settings(device: str, compiled: bool, graphs: bool) -> dict[str, Machine]:
    """Return the machine settings to measure, by their printed name."""
    machines = {}
    for precision in PRECISIONS:
        chosen = machine.choose_machine(device, precision)
        machines[f"sepcnn, {precision}"] = chosen
        if compiled and machine.supports_compile(chosen.device):
            machines[f"sepcnn, {precision}, compiled"] = replace(chosen, form="compiled")
    if graphs and machine.supports_cuda_graphs(machine.choose_device(device)):
        machines |= {
            f"{name}, CUDA graphs": replace(chosen, graphs=True)
            for name, chosen in machines.items()
        }
    return machines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("config", nargs="?", type=Path, default=CONFIG)
    parser.add_argument("--batch-size", type=int, default=512, help="images per step (512)")
    parser.add_argument("--seconds", type=float, default=120.0, help="approximate duration (120)")
    parser.add_argument("--device", default="cuda", help="as train.device (cuda)")
    parser.add_argument("--classes", type=int, help="number of classes, for units: auto")
    parser.add_argument(
        "--workers", type=int, default=machine.processor_count(), help="processes of the DataLoader"
    )
    parser.add_argument(
        "--compile",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="also measure compiled kernels",
    )
    parser.add_argument(
        "--graphs",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="also measure with CUDA graphs",
    )
    arguments = parser.parse_args()
    try:
        config = load_config(arguments.config, [f"train.batch_size={arguments.batch_size}"])
        graph = config.graph(arguments.classes or config.known_classes)
        chosen = machine_settings(arguments.device, arguments.compile, arguments.graphs)
    except SepcnnError as problem:
        parser.error(str(problem))
    first, summary = next(iter(chosen.values())), summarize(graph)
    runners: dict[str, Runner] = {}
    plain = LoaderTraining(config, graph, first.device, arguments.workers)
    for name, steps in [
        (PLAIN, plain),
        *((name, Training(config, graph, hardware)) for name, hardware in chosen.items()),
    ]:
        steps.step()  # compiles
        steps.warm_up(WARM_UP_SHARE * arguments.seconds)
        runners[name] = steps
    measured = measure_interleaved(runners, arguments.seconds)
    print(f"torch {torch.__version__}, {first.describe()}, {arguments.workers} workers")
    print(f"{arguments.config.name}, batch {arguments.batch_size}, {len(measured[PLAIN])} rounds")
    width = max(map(len, measured))
    for name, speeds in measured.items():
        speed, times = MedianRange.of(speeds), ratio(speeds, measured[PLAIN]).median
        spread = f"({speed.lowest:,.0f} to {speed.highest:,.0f})"
        line = f"{name:<{width}}{speed.median:>9,.0f} images/s {spread:<22}{times:>6.2f} ×"
        if name in chosen:
            seconds = ROOFLINE_SHARE * arguments.seconds
            limits = roofline(summary, chosen[name], speed.median, seconds)
            step = limits.bytes / speed.median * arguments.batch_size
            line += (
                f"  {step / 1e9:.2f} GB per step, {limits.bytes / 1e9:,.0f} of"
                f" {limits.most_bytes / 1e9:,.0f} GB/s: {limits.bytes / limits.most_bytes:.0%}"
            )
        print(line)
    for name, runner in runners.items():
        if isinstance(runner, Training) and (failure := runner.train_step.graphed.failure):
            print(f"{name}: measured without CUDA graphs, which failed: {failure}")


if __name__ == "__main__":
    main()
