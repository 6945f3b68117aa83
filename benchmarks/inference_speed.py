"""Inference speed of single images and batches, compared with plain PyTorch and ONNX Runtime.

    python benchmarks/inference_speed.py [CONFIG] [--repeats 5]

ONNX Runtime is measured if onnx, onnxscript and onnxruntime are installed next to sepcnn.

All variants compute the config's model in float32 with torch's number of threads, and must return
the same logits before they are measured. Plain PyTorch runs the model module by module, N×C×H×W, in
inference mode; ONNX Runtime runs an export of it. Both receive floats, sepcnn receives bytes. Each
measurement has its own process, because the memory allocator has settings per process. The variants
take turns, so that a machine that slows down affects all of them. Prints medians and ranges.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sepcnn.backends import machine
from sepcnn.backends.fused import FORMS
from sepcnn.backends.native import library
from sepcnn.benchmark.inference import InferenceForm, inference_forms
from sepcnn.config.loading import load_config
from sepcnn.errors import SepcnnError
from sepcnn.nn.layers.module import weights
from sepcnn.nn.model import Net, build
from sepcnn.training.evaluation import batch_size, to_input

CONFIG = Path(__file__).parents[1] / "configs" / "keras_sequential_bn.yaml"
SECONDS, WARM_UP, MIN_CALLS = 2.0, 3, 5
"""per measurement: duration, number of warm-up calls, minimum number of measured calls"""
TOLERANCE = 1e-4
"""relative to the largest logit"""
CPU = torch.device("cpu")

Variant = tuple[Callable[[torch.Tensor], Any], Callable[[Any], Any]]
"""a function that prepares uint8 images N×H×W×C, and one that returns their logits; only the second
is measured
"""


def floats(pixels: torch.Tensor) -> torch.Tensor:
    """Return contiguous float images N×C×H×W."""
    return to_input(pixels).contiguous()


def plain(net: Net) -> Variant:
    net.to(memory_format=torch.contiguous_format)
    return floats, torch.inference_mode()(net.logits)


def sepcnn(net: Net, inference_form: InferenceForm) -> Variant:
    machine.keep_freed_memory()
    model, form = inference_forms(net, CPU)[inference_form]
    return lambda pixels: pixels, lambda pixels: model.logits(to_input(pixels), FORMS[form])


class Logits(nn.Module):
    """A model without its final softmax."""

    def __init__(self, net: Net) -> None:
        super().__init__()
        self.net = net

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.net.logits(pixels)


def onnx_runtime(net: Net) -> Variant:
    import onnxruntime

    height, width, channels = net.graph.input_shape
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    with tempfile.TemporaryDirectory() as folder:
        file = f"{folder}/net.onnx"
        torch.onnx.export(
            Logits(net).eval(),
            (torch.zeros(2, channels, height, width),),
            file,
            input_names=["pixels"],
            dynamic_shapes=({0: torch.export.Dim.DYNAMIC},),
            verbose=False,
        )
        providers = ["CPUExecutionProvider"]
        session = onnxruntime.InferenceSession(file, options, providers=providers)
    return lambda pixels: {"pixels": floats(pixels).numpy()}, lambda x: session.run(None, x)[0]


PLAIN, ONNX, FUSED = "plain PyTorch, NCHW", "ONNX Runtime", "sepcnn, fused"
VARIANTS: dict[str, Callable[[Net], Variant]] = {
    PLAIN: plain,
    ONNX: onnx_runtime,
    "sepcnn, plain": lambda net: sepcnn(net, "plain"),
    "sepcnn, folded": lambda net: sepcnn(net, "folded"),
    FUSED: lambda net: sepcnn(net, "fused"),
}


def variants() -> list[str]:
    """Return the names of the variants available on this machine."""
    missing = set()
    if not all(find_spec(name) for name in ("onnx", "onnxscript", "onnxruntime")):
        missing.add(ONNX)
    if library.load_kernels("float32") is None:
        missing.add(FUSED)
    return [name for name in VARIANTS if name not in missing]


def model_with_statistics(config: Path) -> Net:
    """Build a config's model with random normalization statistics, so that they have an effect."""
    net = build(load_config(config).graph())
    generator = torch.Generator().manual_seed(0)
    for name, tensor, _ in weights(net):
        if name.endswith("moving_mean"):
            tensor.normal_(0, 0.1, generator=generator)
        elif name.endswith("moving_variance"):
            tensor.uniform_(0.5, 2, generator=generator)
    return net.eval()


@torch.no_grad()
def measure(variant: str, config: Path) -> list[float]:
    """Return the seconds for one image and for a batch, measured in this process."""
    net = model_with_statistics(config)
    shape = net.graph.input_shape
    pixels = torch.randint(256, (batch_size(shape), *shape), dtype=torch.uint8)
    expected = net.logits(to_input(pixels))
    prepare, logits = VARIANTS[variant](net)
    times = []
    for count in (1, len(pixels)):
        x = prepare(pixels[:count])
        difference = (torch.as_tensor(logits(x)) - expected[:count]).abs().max()
        assert difference <= TOLERANCE * expected.abs().max(), f"{variant}: logits differ"
        times.append(seconds(partial(logits, x)))
    return times


def seconds(function: Callable[[], object]) -> float:
    """Return the median seconds of a call; calls take about `SECONDS` in all."""
    times: list[float] = []
    end = time.perf_counter() + SECONDS
    while len(times) < WARM_UP + MIN_CALLS or time.perf_counter() < end:
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return statistics.median(times[WARM_UP:])


def show(title: str, found: dict[str, list[float]], form: str, more_is_better: bool) -> None:
    base = statistics.median(found[PLAIN])
    print(f"\n{title:<24}{'median':>8}  lowest to highest   speed-up")
    for name, values in found.items():
        middle = statistics.median(values)
        spread = f"{min(values):{form}} to {max(values):{form}}"
        faster = middle / base if more_is_better else base / middle
        print(f"{name:<24}{middle:>8{form}}  {spread:<20}{faster:>6.2f} ×")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("config", metavar="CONFIG", nargs="?", type=Path, default=CONFIG)
    parser.add_argument("--repeats", type=int, default=5, help="processes per variant (5)")
    parser.add_argument("--one", choices=VARIANTS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(arguments.one, arguments.config)))
        return
    try:
        size = batch_size(load_config(arguments.config).model.input_shape)
    except SepcnnError as problem:
        parser.error(str(problem))
    names = variants()
    found: dict[str, list[list[float]]] = {name: [] for name in names}
    for _ in range(arguments.repeats):
        for name in names:
            command = [sys.executable, __file__, str(arguments.config), "--one", name]
            output = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
            found[name].append(json.loads(output.splitlines()[-1]))
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {platform.machine()}")
    print(f"{arguments.config.name}, float32, median of {arguments.repeats} processes each")
    singles = {name: [1000 * single for single, _ in times] for name, times in found.items()}
    batches = {name: [size / batch for _, batch in times] for name, times in found.items()}
    show("one image, ms", singles, ".2f", more_is_better=False)
    show(f"images/s of {size}", batches, ",.0f", more_is_better=True)


if __name__ == "__main__":
    main()
