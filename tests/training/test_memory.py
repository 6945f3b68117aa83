"""The estimated memory of a training step is near the memory that a process needs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sepcnn.backends.machine import choose_machine
from sepcnn.config.loading import load_config
from sepcnn.training import memory
from tests.runs import environment

CONFIG = """\
model:
  input_shape: [64, 64, 3]
  layers:
    - Rescaling: 1/255
    - Conv2D: {filters: 32, kernel_size: 3, padding: same, activation: relu}
    - SeparableConv2D: {filters: 64, kernel_size: 3, padding: same, use_bias: false}
    - BatchNormalization
    - ReLU
    - Conv2D: {filters: 64, kernel_size: 5, strides: 2, padding: same, activation: silu}
    - DepthwiseConv2D: {kernel_size: 5, padding: same}
    - BatchNormalization
    - Activation: silu
    - GlobalAveragePooling2D
    - Dense: {units: auto, activation: softmax}
data: {source: Shapes}
train: {device: cpu, batch_size: 64}
"""
PEAK = """
import sys, threading, time
from pathlib import Path
from sepcnn.backends import machine
from sepcnn.backends.native import processor
config, precision, fused, multiplies = sys.argv[1:]
if multiplies == "no":  # as without AVX-512
    processor.multiplies_bfloat16 = lambda: False
from sepcnn.benchmark.training import Training
from sepcnn.config.loading import load_config
from sepcnn.training.memory import memory_of_step
machine.keep_freed_memory()
config = load_config(Path(config))
chosen, graph = machine.choose_machine("cpu", precision, fused == "fused"), config.graph(10)
estimate = memory_of_step(config, graph, chosen, config.train.batch_size)
training = Training(config, graph, chosen)
page, peak, ended = 4096, 0, False
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * page
before = resident()
def watch():
    global peak
    while not ended:
        peak = max(peak, resident())
        time.sleep(0.0005)
watcher = threading.Thread(target=watch)
watcher.start()
training.step()
training.step()
ended = True
watcher.join()
print(estimate, peak - before)
"""


@pytest.mark.exhaustive
@pytest.mark.filterwarnings("ignore")
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
@pytest.mark.parametrize(
    "form", [("float32", "plain", "yes"), ("bfloat16", "fused", "yes"), ("bfloat16", "fused", "no")]
)
def test_the_estimate_is_near_the_peak(form: tuple[str, ...], tmp_path: Path) -> None:
    """``no``: the processor does not multiply bfloat16, so layers without kernels use float32."""
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG)
    result = subprocess.run(
        [sys.executable, "-c", PEAK, str(path), *form],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    estimate, peak = map(int, result.stdout.split())
    assert peak / 1.5 < estimate < peak * 1.5


def test_a_model_that_does_not_fit_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG)
    config = load_config(path)
    monkeypatch.setattr(memory, "free_memory", lambda _: 1 << 20)
    monkeypatch.delattr(memory, "kept_bytes")
    machine, graph = choose_machine("cpu"), config.graph(10)
    small, large = (memory.memory_of_step(config, graph, machine, n) for n in (1, 1000))
    assert 1 << 20 < small < large / 100
