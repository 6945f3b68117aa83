"""The table of images that a model classifies wrongly."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sepcnn.data.dataset import Split
from sepcnn.results.csv_file import path_cell, probability_cell, text_cell, write_csv
from sepcnn.training.evaluation import Mistake


def write_mistakes(
    path: Path,
    mistakes: Sequence[Mistake],
    splits: dict[str, Split],
    class_names: tuple[str, ...],
) -> None:
    """Write the mistakes on the images of ``splits`` to a CSV file, in the given order.

    The first column is the path of the file, or the position in its array if there are no files.
    Errors: `StorageError`.
    """
    places = [(name, index) for name, split in splits.items() for index in range(len(split))]
    rows = []
    for mistake in mistakes:
        name, index = places[mistake.index]
        origin = splits[name].origin(index)
        rows.append(
            (
                path_cell(origin) if isinstance(origin, str) else str(origin),
                text_cell(class_names[mistake.label]),
                text_cell(class_names[mistake.predicted]),
                probability_cell(mistake.probability),
                name,
            )
        )
    has_files = any(isinstance(split.origin(0), str) for split in splits.values())
    first = "path" if has_files else "index"
    write_csv(path, (first, "true", "predicted", "probability", "split"), rows)
