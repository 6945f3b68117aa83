"""init writes value_range for images whose values use a small part of their type, or have none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sepcnn.language.yaml_reader import parse
from sepcnn.starter import config_text, survey


def write_images(root: Path, top: float, dtype: Any, width: int, suffix: str) -> Path:
    values = np.linspace(0, top, 32 * width).reshape(32, width).astype(dtype)
    for name in ("a", "b"):
        (root / name).mkdir(parents=True)
        for index in range(3):
            Image.fromarray(values).save(root / name / f"{index}{suffix}")
    return root


@pytest.mark.parametrize("width", [32, 200], ids=["square", "long"])
@pytest.mark.parametrize(
    ("top", "dtype", "suffix", "needed"),
    [
        (4095, np.uint16, ".png", True),
        (1, np.uint8, ".png", True),
        (1, np.float32, ".tif", True),
        (65535, np.uint16, ".png", False),
        (255, np.uint8, ".png", False),
    ],
    ids=["12-bit", "mask", "float", "16-bit", "8-bit"],
)
def test_the_range_is_measured_if_it_is_needed(
    tmp_path: Path, top: float, dtype: Any, suffix: str, needed: bool, width: int
) -> None:
    root = write_images(tmp_path / "scans", top, dtype, width, suffix)
    listing = survey.list_folder(root)
    assert survey.is_readable(listing)
    facts = survey.gather(root, listing)
    text = config_text.write(facts, str(root))
    assert ("value_range: auto" in text) == facts.needs_range == needed
    parse(text, "config")
