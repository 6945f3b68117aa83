"""A run folder of an older sepcnn still resumes, evaluates and predicts.

``older_run`` was written by the last version in which all modules lay side by side.
``expected.json`` holds what that version then printed: ``sepcnn eval``, ``sepcnn predict`` and the
epochs after ``sepcnn train --resume RUN --set train.epochs=4``.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sepcnn.cli.main import run
from tests.runs import epochs

OLDER_RUN = Path(__file__).parent / "older_run"
EXPECTED = json.loads((OLDER_RUN / "expected.json").read_text())
TOLERANCE = 1e-4
"""processors differ in the last bits of a sum"""


def assert_alike(found: Any, expected: Any) -> None:
    """The same structure, with numbers that agree within `TOLERANCE`."""
    if isinstance(expected, dict):
        for key, value in expected.items():
            assert_alike(found[key], value)
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_alike(one, other)
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=TOLERANCE, abs=TOLERANCE)
    else:
        assert found == expected


def output(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    capsys.readouterr()
    assert run([*arguments, "--json"]) == 0
    out, err = capsys.readouterr()
    assert "not those of the run" not in err
    return json.loads(out)


def test_it_evaluates(capsys: pytest.CaptureFixture[str]) -> None:
    assert_alike(output(capsys, "eval", str(OLDER_RUN)), EXPECTED["eval"])


def test_it_predicts(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    y, x = np.mgrid[0:32, 0:32]
    pixels = np.stack([8 * x, 8 * y, 4 * (x + y)], axis=2).astype(np.uint8)
    picture = tmp_path / "gradient.png"
    Image.fromarray(pixels).save(picture)
    found = output(capsys, "predict", str(OLDER_RUN), str(picture), "--top", "10")
    probabilities = {one["name"]: one["probability"] for one in found[0]["predictions"]}
    assert_alike(probabilities, EXPECTED["predict"])


def test_it_resumes(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(OLDER_RUN, folder)
    assert run(["train", "--resume", str(folder), "--set", "train.epochs=4"]) == 0
    found = epochs(folder)
    assert [epoch["epoch"] for epoch in found] == [1, 2, 3, 4]
    assert_alike(found[2:], EXPECTED["epochs"])
