"""``sepcnn predict``: predict the class of images."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import click
import numpy as np

from sepcnn.backends import machine
from sepcnn.cli import console
from sepcnn.cli.options import PATH, as_json
from sepcnn.data.listing.listing import find_images
from sepcnn.errors import DataError
from sepcnn.results.copies import UNSURE, SortedCopies, check_folders, outside
from sepcnn.results.csv_file import (
    check_target,
    path_cell,
    probability_cell,
    text_cell,
    write_csv,
)
from sepcnn.training import prediction
from sepcnn.training.prediction import Predictor
from sepcnn.wording import counted

Result = dict[str, Any]
"""path and predictions or error, and copied_to with --copy-to"""


@click.command(name="predict")
@click.argument("checkpoint", metavar="CHECKPOINT_OR_RUN_DIR", type=PATH)
@click.argument("paths", metavar="PATH...", type=PATH, nargs=-1, required=True)
@click.option(
    "--top",
    type=click.IntRange(min=1),
    metavar="N",
    default=1,
    help="Number of classes per image. Default: 1.",
)
@click.option("--csv", type=PATH, metavar="FILE", help="Write the result to a CSV file.")
@click.option(
    "--copy-to",
    type=PATH,
    metavar="DIR",
    help="Copy each image to a folder of DIR that is named by its class.",
)
@click.option(
    "--min-probability",
    type=click.FloatRange(0, 1),
    metavar="P",
    help="With --copy-to: images whose class is less probable go to the folder unsure.",
)
@as_json
def command(
    checkpoint: Path,
    paths: tuple[Path, ...],
    top: int,
    csv: Path | None,
    copy_to: Path | None,
    min_probability: float | None,
    as_json: bool,
) -> int:
    """Predict the class of image files, or of all image files in folders.

    Images are rotated upright and resized as for training. A file that cannot be read is reported
    and skipped; the exit code is then 1. With --csv or --copy-to, the predictions are not printed.
    """
    if min_probability is not None and copy_to is None:
        raise click.UsageError("--min-probability needs --copy-to DIR")
    if csv is not None and (csv.parent != copy_to or csv.exists()):  # it creates its folder
        check_target(csv, "--csv")
    machine.keep_freed_memory()
    predictor = prediction.load_predictor(checkpoint)
    copies = None
    if copy_to is not None:
        check_folders(copy_to, paths)
        copies = SortedCopies(copy_to, predictor.class_names)
    files, errors = list_files(paths, copy_to)
    prints = not (as_json or csv or copies)
    results: list[Result] = []
    failed = False
    try:
        for result in chain(errors, predict(predictor, files, top, prints)):
            if copies and "error" not in result:
                copy(copies, result, min_probability or 0)
            failed |= "error" in result
            if not as_json:
                show(result, prints)
            if as_json or csv or copies:
                results.append(result)
    except KeyboardInterrupt:
        if copies:
            made = counted(copies.copied, "image")
            console.note(f"interrupted: {made} copied; repeat the command to continue")
        raise
    if csv is not None:
        write_results(csv, results, top)
    if as_json:
        console.data(json.dumps(results))
    else:
        if copies:
            show_copies(copies, results)
        if csv is not None:
            console.line(f"wrote {csv}: {counted(len(results), 'image')}")
    return 1 if failed else 0


def list_files(paths: tuple[Path, ...], copy_to: Path | None) -> tuple[list[Path], list[Result]]:
    """Return the image files, and the errors of paths that have none."""
    files: list[Path] = []
    errors: list[Result] = []
    for path in paths:
        try:
            found, left_out = find_images(path)
        except DataError as error:
            errors.append({"path": str(path), "error": error.message})
            continue
        console.notes(left_out.notes())
        kept = outside(found, copy_to, path) if copy_to else found
        if left := len(found) - len(kept):
            console.notes([f"left out: {counted(left, 'image')} in {copy_to}"])
        files += kept
    return files, errors


def predict(predictor: Predictor, files: list[Path], top: int, prints: bool) -> Iterator[Result]:
    """Yield the result of each file, in order, and show the progress unless results do."""
    with console.ReadingProgress() as progress:

        def on_read(count: int) -> None:
            if not (prints and console.output_is_terminal()):
                progress(count, len(files))

        for file, row in zip(files, predictor.predict_each(files, on_read), strict=True):
            if isinstance(row, DataError):
                progress.close()  # the error is printed in place of the bar
                yield {"path": str(file), "error": row.message}
            else:
                guesses = ranking(row, predictor.class_names, top)
                yield {"path": str(file), "predictions": guesses}


def copy(copies: SortedCopies, result: Result, min_probability: float) -> None:
    """Copy an image and add the place to its result. Errors: `StorageError`."""
    best = result["predictions"][0]
    class_name = best["name"] if best["probability"] >= min_probability else None
    try:
        result["copied_to"] = str(copies.add(Path(result["path"]), class_name))
    except DataError as error:
        del result["predictions"]
        result["error"] = error.message


def ranking(row: np.ndarray, names: tuple[str, ...], top: int) -> list[dict[str, Any]]:
    """Return the ``top`` most probable classes, in descending order."""
    order = np.argsort(-row, kind="stable")[:top]
    return [{"name": names[index], "probability": float(row[index])} for index in order]


def show(result: Result, prints: bool) -> None:
    """Print an error, and the predictions if ``prints``."""
    if "error" in result:
        console.note(f"not read: {result['error']}")
    elif prints:
        guesses = [
            f"{g['name']} {console.percent(g['probability'])}" for g in result["predictions"]
        ]
        console.line(f"{result['path']}  {', '.join(guesses)}")


def show_copies(copies: SortedCopies, results: list[Result]) -> None:
    """Print the number of images in each folder of copies."""
    folders = Counter(Path(r["copied_to"]).parent for r in results if "copied_to" in r)
    for folder, count in sorted(folders.items()):
        console.line(f"{folder}  {counted(count, 'image')}")
    for class_name, name in (*copies.folders.items(), (UNSURE, copies.unsure)):
        if name != class_name and copies.root / name in folders:
            console.notes([f"the images of '{class_name}' are in the folder {name}"])
    if copies.already_there:
        console.notes([f"{counted(copies.already_there, 'image')} had been copied before"])


def write_results(path: Path, results: list[Result], top: int) -> None:
    """Write the results to a CSV file, one row per image. Errors: `StorageError`."""
    most = max((len(r.get("predictions", ())) for r in results), default=top)
    header = ["path", "predicted", "probability"]
    header += [f"{name}_{n}" for n in range(2, most + 1) for name in ("predicted", "probability")]
    header += ["copied_to"] * any("copied_to" in r for r in results) + ["error"]
    rows = []
    for result in results:
        cells = [path_cell(result["path"])]
        for guess in result.get("predictions", ()):
            cells += [text_cell(guess["name"]), probability_cell(guess["probability"])]
        cells += [""] * (1 + 2 * most - len(cells))
        if "copied_to" in header:
            cells.append(path_cell(result.get("copied_to", "")))
        rows.append([*cells, text_cell(result.get("error", ""))])
    write_csv(path, header, rows)
