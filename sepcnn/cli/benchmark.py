"""``sepcnn benchmark``: measure the speed of training or inference on this machine."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click

from sepcnn.atomic_file import replace_file
from sepcnn.backends import machine
from sepcnn.backends.background_load import BackgroundLoad
from sepcnn.backends.machine import Machine
from sepcnn.benchmark import speed
from sepcnn.benchmark import tune as tuning
from sepcnn.benchmark.inference import InferenceForm, InferenceSpeed, measure_inference
from sepcnn.benchmark.measurement import MedianRange
from sepcnn.benchmark.plain_torch import NAME, PlainTorchProcess
from sepcnn.benchmark.speed import TrainingSpeed
from sepcnn.benchmark.tune import MIN_BATCH_SIZE_GAIN, SpeedSettings, TuningResult
from sepcnn.cli import console
from sepcnn.cli.options import PATH, as_json, overrides
from sepcnn.cli.summary import size
from sepcnn.config import loading
from sepcnn.config.config import Config
from sepcnn.errors import InputError
from sepcnn.language import yaml_reader
from sepcnn.language.overrides import apply_override
from sepcnn.nn.graph import Graph
from sepcnn.training.session import check_trainable, choose_machine
from sepcnn.wording import counted, shell_command

BACKGROUND_SHARE = 0.1
"""a note is printed if other programs use more than this share of the processors"""
MIN_ROUNDS = 3
"""a note is printed if there are fewer rounds"""


@click.command(name="benchmark")
@click.argument("path", metavar="CONFIG", type=PATH)
@click.option(
    "--seconds",
    type=click.FloatRange(0.1, 3600),
    metavar="SECONDS",
    default=20.0,
    help="Approximate duration. Default: 20.",
)
@click.option(
    "--classes",
    type=click.IntRange(min=1),
    metavar="N",
    help="Number of classes to assume if the config has 'units: auto'.",
)
@click.option("--infer", is_flag=True, help="Measure inference instead of training.")
@click.option(
    "--against", type=click.Choice(["torch"]), help="Compare with a plain PyTorch training loop."
)
@click.option("--tune", is_flag=True, help="Find the fastest settings for this machine.")
@click.option("--write", is_flag=True, help="With --tune: write the settings to CONFIG.")
@overrides
@as_json
def command(
    path: Path,
    seconds: float,
    classes: int | None,
    infer: bool,
    against: str | None,
    tune: bool,
    write: bool,
    overrides: tuple[str, ...],
    as_json: bool,
) -> None:
    """Measure the speed of training the model of CONFIG on this machine.

    Uses random images of model.input_shape and reads no data set. --tune compares
    precisions and kernels, then batch sizes, then numbers of threads. It keeps the fastest choice
    of each step for the next.
    """
    if infer + tune + bool(against) > 1:
        raise click.UsageError("only one of --infer, --against and --tune can be given")
    if write and (overrides or not tune):
        raise click.UsageError("--write needs --tune and cannot be combined with --set")
    if write and not os.access(path.resolve().parent, os.W_OK):
        hint = "without --write the settings are only printed"
        raise InputError(f"the folder of {path} cannot be written", hint)
    machine.keep_freed_memory()
    settings = loading.load_config(path, overrides)
    check_trainable(settings, settings.graph(settings.known_classes))
    graph = graph_of(settings, classes)
    hardware = choose_machine(settings)
    missing = machine.missing_speedups(hardware, settings.train.fused)
    if infer:
        hardware = replace(hardware, precision="float32", form="plain", graphs=False)
    console.note(f"{shell_command('benchmark', path)} on {hardware.describe()}")
    console.notes(missing)
    facts = {"machine": hardware.facts()}
    if infer:
        with BackgroundLoad() as load:
            speeds = measure_inference(settings, graph, hardware, seconds)
        forms = {form: asdict(measured) for form, measured in speeds.items()}
        print_result(facts | {"forms": forms}, as_json, lambda: show_inference(speeds))
        note_uncertainty(next(iter(speeds.values())).rounds, load)
    elif tune:
        with BackgroundLoad() as load:
            result = tuning.tune(settings, graph, hardware, seconds)
        tuned = facts | asdict(result) | {"changes": result.changes()}
        print_result(tuned, as_json, lambda: show_tuning(path, result, write))
        note_uncertainty(result.rounds, load)
        if write:
            write_settings(path, result.changes())
    else:
        with BackgroundLoad() as load:
            if against:
                measured = compare_with_torch(settings, graph, hardware, seconds)
            else:
                measured = speed.measure(settings, graph, hardware, seconds)
        print_result(facts | asdict(measured), as_json, lambda: show(measured))
        note_uncertainty(measured.rounds, load)


def print_result(facts: Mapping[str, Any], as_json: bool, show: Callable[[], None]) -> None:
    """Print the result as JSON, or with ``show``."""
    if as_json:
        console.data(json.dumps(facts))
    else:
        show()


def note_uncertainty(rounds: int, load: BackgroundLoad) -> None:
    """Print a note if there were few rounds, or if other programs used the processors."""
    if rounds < MIN_ROUNDS:
        text = f"only {counted(rounds, 'round')} in this time: a higher --seconds shows the spread"
        console.notes([text])
    count = machine.processor_count()
    if load.processors is not None and load.processors > BACKGROUND_SHARE * count:
        used = f"{load.processors:.1f} of {counted(count, 'processor')}"
        text = f"other programs used {used}: speeds are too low, and ratios are uncertain"
        console.notes([text])


def graph_of(settings: Config, classes: int | None) -> Graph:
    """Return the model's graph. Errors: `InputError` if the number of classes is not known."""
    graph = settings.graph(classes or settings.known_classes)
    if graph.head.classes is None:
        hint = "units: auto depends on the data, which is not read here; set it with --classes N"
        raise InputError("the number of classes is not known", hint)
    return graph


def compare_with_torch(
    settings: Config, graph: Graph, hardware: Machine, seconds: float
) -> TrainingSpeed:
    """Measure training, interleaved with a plain PyTorch training loop."""
    if settings.data.augment:
        console.notes([f"{NAME} trains without data.augment, so its augmentation takes no time"])
    classes = graph.head.classes
    assert classes is not None
    with PlainTorchProcess(
        settings, classes, hardware.device, speed.WARM_UP_SHARE * seconds
    ) as other:
        return speed.measure(settings, graph, hardware, seconds, {NAME: other})


def show(result: TrainingSpeed) -> None:
    rows = [["sepcnn", *spread(result.images_per_second, ",.0f"), ""]]
    for name, rival in result.rivals.items():
        rows.append([name, *spread(rival.images_per_second, ",.0f"), factor(rival.ratio)])
    console.table(["training", "images/s", "lowest to highest", "sepcnn is faster"], rows)
    whole = sum(result.parts_ms.values())
    parts = [[n, f"{ms:.1f}", console.percent(ms / whole)] for n, ms in result.parts_ms.items()]
    console.table([f"step of {result.batch_size} images", "ms", "share"], parts)
    if result.peak_memory_bytes is not None:
        console.say(f"memory      {size(result.peak_memory_bytes)} at the peak")
    limits = result.roofline
    share = console.percent(limits.flops / limits.most_flops)
    console.say(
        f"arithmetic  {limits.flops / 1e9:,.0f} of {limits.most_flops / 1e9:,.0f} GFLOP/s"
        f" measured for a matrix product: {share}"
    )
    share = console.percent(limits.bytes / limits.most_bytes)
    console.say(
        f"activations {limits.bytes / 1e9:,.1f} of {limits.most_bytes / 1e9:,.1f} GB/s"
        f" measured for a large copy: {share}"
    )


def spread(values: MedianRange, form: str) -> tuple[str, str]:
    """Return the median and the range as text; ``form`` is the number format."""
    return f"{values.median:{form}}", f"{values.lowest:{form}} to {values.highest:{form}}"


def factor(ratio: MedianRange) -> str:
    return f"{ratio.median:.1f} × ({ratio.lowest:.1f} to {ratio.highest:.1f})"


def write_settings(path: Path, changes: Mapping[str, str]) -> None:
    """Change values in a config file and keep its comments."""
    if not changes:
        return
    text, node = yaml_reader.read_file(path)
    for key, value in changes.items():
        text, node = apply_override(text, node, f"{key}={value}", Config)
    replace_file(path.resolve(), text.encode())
    console.note(f"settings written to {path}")


def show_tuning(path: Path, result: TuningResult, write: bool) -> None:
    rows = []
    for trial in result.tries:
        speeds = ["did not run", "–"]
        if trial.images_per_second is not None:
            speeds = [f"{trial.images_per_second.median:,.0f}", f"{trial.relative:.2f} ×"]
        mark = "best" if trial.setting == result.best else ""
        rows.append([*setting_cells(trial.setting), *speeds, mark])
    columns = ["precision", "kernels", "batch", "threads", "images/s", "speed", ""]
    console.table(columns, rows, left=2)
    own, best, changes = result.tries[0].setting, result.best, result.changes()
    if best == own:
        console.say("the settings of the config are the fastest of those tried")
    if changes:
        console.say("fastest: " + ", ".join(f"{key}: {value}" for key, value in changes.items()))
        if not write:
            console.say(
                f"{shell_command('benchmark', path, '--tune', '--write')} writes this to the file"
            )
    if best.batch_size != own.batch_size:
        console.say("another batch size changes the training: it may need another learning rate")
    if result.close is not None:
        least = f"{100 * (MIN_BATCH_SIZE_GAIN - 1):.0f} %"
        console.say(
            f"batch_size {result.close.batch_size} is also faster, but by less than {least}"
        )
    if best.threads != own.threads:
        console.say(
            f"the config has no key for threads: set OMP_NUM_THREADS={best.threads} before training"
        )


def setting_cells(setting: SpeedSettings) -> tuple[str, str, str, str]:
    """Return the first cells of a table row."""
    kernels = f"{setting.form}, CUDA graphs" if setting.graphs else setting.form
    return setting.precision, kernels, str(setting.batch_size), str(setting.threads)


def show_inference(speeds: Mapping[InferenceForm, InferenceSpeed]) -> None:
    rows = []
    for form, measured in speeds.items():
        latency = (f"{measured.latency_ms.median:.2f}", f"{measured.latency_ms.percentile95:.2f}")
        rows.append([form, *latency, *spread(measured.images_per_second, ",.0f")])
    size = next(iter(speeds.values())).batch_size
    columns = ["form", "1 image, ms", "95th percentile", f"images/s of {size}", "lowest to highest"]
    console.table(columns, rows)
