"""``sepcnn benchmark``: how fast a net is on this machine."""

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
from sepcnn.backends.machine import Machine
from sepcnn.benchmark import speed
from sepcnn.benchmark import tune as tuning
from sepcnn.benchmark.background_load import BackgroundLoad
from sepcnn.benchmark.inference import InferenceSpeed, Way, measure_inference
from sepcnn.benchmark.plain_torch import NAME, PlainTorch
from sepcnn.benchmark.rounds import Spread
from sepcnn.benchmark.speed import Speed
from sepcnn.benchmark.tune import WORTH_ANOTHER_BATCH, Setting, Tuning
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
from sepcnn.wording import counted, typed

BUSY = 0.1
"""share of the processors that others may use unmentioned"""
FEW_ROUNDS = 3
"""so few say little about the spread"""


@click.command(name="benchmark")
@click.argument("path", metavar="CONFIG", type=PATH)
@click.option("--seconds", type=click.FloatRange(0.1, 3600), default=20.0, help="How long, about.")
@click.option("--classes", type=click.IntRange(min=1), help="Classes behind units: auto.")
@click.option("--infer", is_flag=True, help="Measure the net in use, not its training.")
@click.option("--against", type=click.Choice(["torch"]), help="Beside the loop of plain PyTorch.")
@click.option("--tune", is_flag=True, help="Look for the settings that are fastest here.")
@click.option("--write", is_flag=True, help="With --tune: put them into CONFIG.")
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
    """Measure how fast the net of CONFIG is trained on this machine.

    Images and labels are random, in the shape of model.input_shape: no data set is read. --tune
    tries precision, kernels, batch size and threads one after the other and keeps the best.
    """
    if infer + tune + bool(against) > 1:
        raise click.UsageError("at most one of --infer, --against and --tune")
    if write and (overrides or not tune):
        raise click.UsageError("--write goes with --tune, and without --set: it changes CONFIG")
    if write and not os.access(path.resolve().parent, os.W_OK):
        hint = "without --write the settings are only told"
        raise InputError(f"the folder of {path} cannot be written", hint)
    machine.keep_freed_memory()
    settings = loading.load_config(path, overrides)
    check_trainable(settings, settings.graph(settings.known_classes))
    graph = graph_of(settings, classes)
    hardware = choose_machine(settings)
    if infer:
        hardware = replace(hardware, precision="float32", form="plain", graphs=False)
    console.note(f"{typed('benchmark', path)} on {hardware.describe()}")
    console.notes(machine.missing_speedups(hardware, settings.train.fused))
    facts = {"machine": hardware.facts()}
    if infer:
        with BackgroundLoad() as company:
            speeds = measure_inference(settings, graph, hardware, seconds)
        forms = {way: asdict(one) for way, one in speeds.items()}
        tell(facts | {"forms": forms}, as_json, lambda: show_inference(speeds))
        doubt(next(iter(speeds.values())).rounds, company)
    elif tune:
        with BackgroundLoad() as company:
            found = tuning.tune(settings, graph, hardware, seconds)
        tuned = facts | asdict(found) | {"changes": found.changes()}
        tell(tuned, as_json, lambda: show_tuning(path, found, write))
        doubt(found.rounds, company)
        if write:
            put_into(path, found.changes())
    else:
        with BackgroundLoad() as company:
            if against:
                result = beside_torch(settings, graph, hardware, seconds)
            else:
                result = speed.measure(settings, graph, hardware, seconds)
        tell(facts | asdict(result), as_json, lambda: show(result))
        doubt(result.rounds, company)


def tell(facts: Mapping[str, Any], as_json: bool, show: Callable[[], None]) -> None:
    """The result, for programs or for people."""
    if as_json:
        console.data(json.dumps(facts))
    else:
        show()


def doubt(rounds: int, company: BackgroundLoad) -> None:
    """What makes figures uncertain: few rounds, and others that use the processors."""
    if rounds < FEW_ROUNDS:
        text = f"{counted(rounds, 'round')} in this time: a higher --seconds tells the spread"
        console.notes([text])
    count = machine.processor_count()
    if company.processors is not None and company.processors > BUSY * count:
        used = f"{company.processors:.1f} of {counted(count, 'processor')}"
        text = f"other programs used {used} meanwhile: figures are low, and ratios uncertain"
        console.notes([text])


def graph_of(settings: Config, classes: int | None) -> Graph:
    """Errors: `InputError` where the number of classes is not known."""
    graph = settings.graph(classes or settings.known_classes)
    if graph.head.classes is None:
        hint = "units: auto takes it from the data, which is not read here: give --classes N"
        raise InputError("the number of classes is not known", hint)
    return graph


def beside_torch(settings: Config, graph: Graph, hardware: Machine, seconds: float) -> Speed:
    """Training, and the plain loop of PyTorch in turns with it."""
    if settings.data.augment:
        console.notes([f"{NAME} trains without data.augment, which costs it nothing here"])
    classes = graph.head.classes
    assert classes is not None
    with PlainTorch(settings, classes, hardware.device, speed.WARMING * seconds) as other:
        return speed.measure(settings, graph, hardware, seconds, {NAME: other})


def show(result: Speed) -> None:
    rows = [["sepcnn", *spread(result.images_per_second, ",.0f"), ""]]
    for name, rival in result.rivals.items():
        rows.append([name, *spread(rival.images_per_second, ",.0f"), times(rival.ratio)])
    console.table(["training", "images/s", "lowest to highest", "sepcnn is faster"], rows)
    whole = sum(result.parts_ms.values())
    parts = [[n, f"{ms:.1f}", console.percent(ms / whole)] for n, ms in result.parts_ms.items()]
    console.table([f"a step of {result.batch_size}", "ms", "share"], parts)
    if result.peak_memory_bytes is not None:
        console.say(f"memory      {size(result.peak_memory_bytes)} at most")
    limits = result.roofline
    share = console.percent(limits.flops / limits.most_flops)
    console.say(
        f"arithmetic  {limits.flops / 1e9:,.0f} of {limits.most_flops / 1e9:,.0f} GFLOP/s"
        f" of a matrix product: {share}"
    )
    share = console.percent(limits.bytes / limits.most_bytes)
    console.say(
        f"activations {limits.bytes / 1e9:,.1f} of {limits.most_bytes / 1e9:,.1f} GB/s"
        f" of a large copy: {share}"
    )


def spread(found: Spread, form: str) -> tuple[str, str]:
    """The median, and how far the rounds lie apart."""
    return f"{found.median:{form}}", f"{found.lowest:{form}} to {found.highest:{form}}"


def times(found: Spread) -> str:
    return f"{found.median:.1f} × ({found.lowest:.1f} to {found.highest:.1f})"


def put_into(path: Path, changes: Mapping[str, str]) -> None:
    """Write values into a config, whose comments stay."""
    if not changes:
        return
    text, node = yaml_reader.read_file(path)
    for key, value in changes.items():
        text, node = apply_override(text, node, f"{key}={value}", Config)
    replace_file(path.resolve(), text.encode())
    console.note(f"written into {path}")


def show_tuning(path: Path, found: Tuning, write: bool) -> None:
    rows = []
    for one in found.tries:
        speeds = ["did not run", "–"]
        if one.images_per_second is not None:
            speeds = [f"{one.images_per_second.median:,.0f}", f"{one.relative:.2f} ×"]
        rows.append([*told(one.setting), *speeds, "best" if one.setting == found.best else ""])
    columns = ["precision", "kernels", "batch", "threads", "images/s", "as fast", ""]
    console.table(columns, rows, left=2)
    own, best, changes = found.tries[0].setting, found.best, found.changes()
    if best == own:
        console.say("the settings of the config are the fastest that were tried")
    if changes:
        console.say("fastest: " + ", ".join(f"{key}: {value}" for key, value in changes.items()))
        if not write:
            console.say(f"{typed('benchmark', path, '--tune', '--write')} puts this into the file")
    if best.batch_size != own.batch_size:
        console.say("another batch size is another training: try its learning rate, too")
    if found.close is not None:
        least = f"{100 * (WORTH_ANOTHER_BATCH - 1):.0f} %"
        console.say(f"batch_size {found.close.batch_size} is faster, too, but by less than {least}")
    if best.threads != own.threads:
        console.say(f"threads have no field: set OMP_NUM_THREADS={best.threads} before training")


def told(setting: Setting) -> tuple[str, str, str, str]:
    """A row's first cells."""
    kernels = f"{setting.form}, CUDA graphs" if setting.graphs else setting.form
    return setting.precision, kernels, str(setting.batch_size), str(setting.threads)


def show_inference(speeds: Mapping[Way, InferenceSpeed]) -> None:
    rows = []
    for way, one in speeds.items():
        latency = (f"{one.latency_ms.median:.2f}", f"{one.latency_ms.percentile95:.2f}")
        rows.append([way, *latency, *spread(one.images_per_second, ",.0f")])
    size = next(iter(speeds.values())).batch_size
    columns = ["computed", "1 image, ms", "95 %", f"images/s of {size}", "lowest to highest"]
    console.table(columns, rows)
