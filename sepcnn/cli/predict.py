"""``sepcnn predict``: predict the class of images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import numpy as np

from sepcnn.backends import machine
from sepcnn.cli import console
from sepcnn.cli.options import PATH, as_json
from sepcnn.data.files.listing import find_images
from sepcnn.errors import DataError
from sepcnn.training import prediction
from sepcnn.training.prediction import Predictor

FILES_PER_BATCH = 256


@click.command(name="predict")
@click.argument("checkpoint", metavar="CHECKPOINT_OR_RUN_DIR", type=PATH)
@click.argument("paths", metavar="PATH...", type=PATH, nargs=-1, required=True)
@click.option(
    "--top", type=click.IntRange(min=1), default=1, help="Number of classes per image. Default: 1."
)
@as_json
def command(checkpoint: Path, paths: tuple[Path, ...], top: int, as_json: bool) -> int:
    """Predict the class of image files, or of all image files in folders.

    Images are rotated upright and resized as for training. A file that cannot be read is reported
    and skipped; the exit code is then 1.
    """
    machine.keep_freed_memory()
    predictor = prediction.load_predictor(checkpoint)
    results: list[dict[str, Any]] = []
    files: list[Path] = []
    for path in paths:
        try:
            files += find_images(path)
        except DataError as error:
            results.append({"path": str(path), "error": error.message})
    for first in range(0, len(files), FILES_PER_BATCH):
        results += predictions(predictor, files[first : first + FILES_PER_BATCH], top)
    if as_json:
        console.data(json.dumps(results))
    else:
        show(results)
    return 1 if any("error" in result for result in results) else 0


def predictions(predictor: Predictor, files: list[Path], top: int) -> list[dict[str, Any]]:
    """Return the result of each file, in order."""
    config = predictor.config
    pixels: dict[Path, np.ndarray] = {}
    errors: dict[Path, str] = {}
    for file in files:
        try:
            pixels[file] = config.data.source.read_image(file, config.model.input_shape)
        except DataError as error:
            errors[file] = error.message
    guesses: dict[Path, list[dict[str, Any]]] = {}
    if pixels:
        probabilities = predictor.predict(np.stack(list(pixels.values())))
        guesses = {
            file: ranking(row, predictor.class_names, top)
            for file, row in zip(pixels, probabilities, strict=True)
        }
    return [
        {"path": str(file), "error": errors[file]}
        if file in errors
        else {"path": str(file), "predictions": guesses[file]}
        for file in files
    ]


def ranking(row: np.ndarray, names: tuple[str, ...], top: int) -> list[dict[str, Any]]:
    """Return the ``top`` most probable classes, in descending order."""
    order = np.argsort(-row, kind="stable")[:top]
    return [{"name": names[index], "probability": float(row[index])} for index in order]


def show(results: list[dict[str, Any]]) -> None:
    for result in results:
        if "error" in result:
            console.note(f"not read: {result['error']}")
            continue
        guesses = [
            f"{g['name']} {console.percent(g['probability'])}" for g in result["predictions"]
        ]
        console.say(f"{result['path']}  {', '.join(guesses)}")
