"""``sepcnn benchmark``: how fast a net is on this machine."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

import click

from sepcnn import checkpoint, config, console, machine, source
from sepcnn.benchmark import speed
from sepcnn.benchmark import tune as tuning
from sepcnn.benchmark.inference import InferenceSpeed, Way, measure_inference
from sepcnn.benchmark.plain_torch import NAME, PlainTorch
from sepcnn.benchmark.rounds import Spread
from sepcnn.benchmark.speed import Speed
from sepcnn.benchmark.tune import WORTH_ANOTHER_BATCH, Setting, Tuning
from sepcnn.commands.options import PATH, as_json, overrides
from sepcnn.commands.session import check_trainable, choose_machine
from sepcnn.commands.summary import size
from sepcnn.config import Config
from sepcnn.errors import InputError, counted, typed
from sepcnn.graph import Graph
from sepcnn.machine import Machine
from sepcnn.override import apply_override

BUSY = 1.5
"""load for each processor from which others must be running, not only a benchmark before this"""
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
        raise click.UsageError("give one of --infer, --against and --tune")
    if write and (overrides or not tune):
        raise click.UsageError("--write goes with --tune, and without --set: it changes CONFIG")
    machine.keep_memory()
    settings = config.load(path, overrides)
    check_trainable(settings)
    graph = graph_of(settings, classes)
    hardware = choose_machine(settings)
    if infer:
        hardware = replace(hardware, precision="float32", form="plain")
    console.note(f"{typed('benchmark', path)} on {hardware.describe()}")
    console.notes(disturbances())
    if infer:
        speeds = measure_inference(settings, graph, hardware, seconds)
        if as_json:
            forms = {way: asdict(one) for way, one in speeds.items()}
            console.data(json.dumps({"machine": hardware.facts(), "forms": forms}))
        else:
            show_inference(speeds)
        return
    if tune:
        settle(path, tuning.tune(settings, graph, hardware, seconds), write, as_json)
        return
    if against:
        result = beside_torch(settings, graph, hardware, seconds)
    else:
        result = speed.measure(settings, graph, hardware, seconds)
    if as_json:
        console.data(json.dumps({"machine": hardware.facts(), **asdict(result)}))
    else:
        show(result)


def disturbances() -> list[str]:
    """What to say of others that use the processors: they slow down some more than others."""
    load, count = machine.load_average(), machine.processors()
    if load is None or load < BUSY * count:
        return []
    wanted = f"{counted(round(load), 'processor')} of {count}"
    return [f"other programs want {wanted}: figures will be low, and ratios uncertain"]


def graph_of(settings: Config, classes: int | None) -> Graph:
    """Errors: `InputError` where the number of classes is not known."""
    graph = settings.graph(classes or settings.known_classes)
    if graph.ending.classes is None:
        raise InputError("the number of classes is not known", "give --classes N")
    return graph


def beside_torch(settings: Config, graph: Graph, hardware: Machine, seconds: float) -> Speed:
    """Training, and the plain loop of PyTorch in turns with it."""
    if settings.data.augment:
        console.notes([f"{NAME} trains without data.augment, which costs it nothing here"])
    classes = graph.ending.classes
    assert classes is not None
    with PlainTorch(settings, classes, hardware.device, speed.WARMING * seconds) as other:
        return speed.measure(settings, graph, hardware, seconds, {NAME: other})


def show(result: Speed) -> None:
    if result.rounds < FEW_ROUNDS:
        text = (
            f"{counted(result.rounds, 'round')} in this time: a higher --seconds tells the spread"
        )
        console.notes([text])
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


def settle(path: Path, found: Tuning, write: bool, as_json: bool) -> None:
    """Tell what was tried and what is best; write it into the config where that is wanted."""
    changes = found.changes()
    if as_json:
        console.data(json.dumps({**asdict(found), "changes": changes}))
    else:
        show_tuning(path, found, write)
    if write and changes:
        text, node = source.read(path)
        for key, value in changes.items():
            text, node = apply_override(text, node, f"{key}={value}", Config)
        checkpoint.write_whole(path.resolve(), text.encode())
        console.note(f"written into {path}")


def show_tuning(path: Path, found: Tuning, write: bool) -> None:
    rows = []
    for one in found.tries:
        speeds = ["no memory", "–"]
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
        least = f"{WORTH_ANOTHER_BATCH - 1:.0%}"
        console.say(f"batch_size {found.close.batch_size} is faster, too, but by less than {least}")
    if best.threads != own.threads:
        console.say(f"threads have no field: set OMP_NUM_THREADS={best.threads} before training")


def told(setting: Setting) -> tuple[str, str, str, str]:
    """A row's first cells."""
    return setting.precision, setting.form, str(setting.batch_size), str(setting.threads)


def show_inference(speeds: Mapping[Way, InferenceSpeed]) -> None:
    rows = []
    for way, one in speeds.items():
        latency = (f"{one.latency_ms.median:.2f}", f"{one.latency_ms.percentile95:.2f}")
        rows.append([way, *latency, *spread(one.images_per_second, ",.0f")])
    size = next(iter(speeds.values())).batch_size
    columns = ["computed", "1 image, ms", "95 %", f"images/s of {size}", "lowest to highest"]
    console.table(columns, rows)
