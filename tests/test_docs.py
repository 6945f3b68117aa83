"""Every command and Python example of README and docs is run, and every link leads to a file."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sepcnn.api import load_config
from sepcnn.errors import ConfigError
from sepcnn.language import yaml_reader
from tests.check.photos import write_photos
from tests.runs import environment, sepcnn

ROOT = Path(__file__).parents[1]
TUTORIAL = ROOT / "docs" / "guide" / "tutorial.md"
ALL_PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
PAGES = [page for page in ALL_PAGES if page not in (TUTORIAL, ROOT / "CONTRIBUTING.md")]
"""the pages whose commands and programs run one by one, in a prepared folder"""
SHORT = ["--set", "train.epochs=1", "--set", "data.source.train=64", "--set", "data.source.val=32"]
"""appended to the commands that train: the figures of the docs are measured, not tested"""


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^ *```{language}\n(.*?)^ *```", page.read_text(), re.S | re.M)


def commands(page: Path) -> list[str]:
    lines = [line.strip() for block in blocks(page, "sh") for line in block.splitlines()]
    return [line.split(" #")[0].strip() for line in lines if line and not line.startswith("#")]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the pages mention: configs, a starter, a run, pictures."""
    folder = tmp_path_factory.mktemp("docs")
    shutil.copytree(ROOT / "configs", folder / "configs")
    (folder / "pictures").mkdir()
    Image.new("RGB", (80, 60), "red").save(folder / "pictures" / "a.png")
    write_photos(folder / "photos", cat=30, dog=30)
    assert sepcnn("init", "photos", cwd=folder).returncode == 0
    assert sepcnn("init", cwd=folder).returncode == 0
    result = sepcnn("train", "starter.yaml", *SHORT, cwd=folder)
    assert result.returncode == 0, result.stderr
    return folder


def test_pages_have_commands() -> None:
    assert sum(len(commands(page)) for page in PAGES) >= 12


SEPCNN_COMMANDS = dict.fromkeys(
    line for page in PAGES for line in commands(page) if line.startswith("sepcnn ")
)
"""each once, in the order of the pages"""


@pytest.mark.exhaustive
@pytest.mark.parametrize("line", SEPCNN_COMMANDS)
def test_command(line: str, workplace: Path, tmp_path: Path) -> None:
    arguments = shlex.split(line)[1:]
    folder = workplace
    if arguments[0] == "init":
        folder = tmp_path
        shutil.copytree(workplace / "photos", folder / "photos")
    if arguments[0] == "train" and "--resume" not in arguments:
        short = SHORT[:2] if "photos.yaml" in arguments else SHORT
        arguments += [*short, "--run-dir", str(tmp_path / "run")]
    arguments = ["train.epochs=2" if a == "train.epochs=12" else a for a in arguments]
    result = sepcnn(*arguments, cwd=folder)
    assert result.returncode == 0, result.stderr


def test_other_commands_are_known() -> None:
    """Set-up, which CI runs, and benchmarks."""
    others = {c for page in PAGES for c in commands(page) if not c.startswith("sepcnn ")}
    assert others == {
        "pip install -e . && sepcnn train configs/xception_mini.yaml",
        "pip install -e '.[dev]' && pytest",
        "python benchmarks/augmentation_speed.py",
        "python benchmarks/gpu_training.py",
        "python benchmarks/start_up.py",
        "python benchmarks/inference_speed.py",
        "python benchmarks/training_speed.py --keras PYTHON",
    }
    assert "pip install -e '.[dev]' && pytest\n" in (ROOT / ".ci" / "run").read_text()


@pytest.mark.exhaustive
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_examples(page: Path, workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workplace)
    for block in blocks(page, "python"):
        exec(compile(block, str(page), "exec"), {"np": np})


def numbered_blocks(page: Path) -> list[tuple[str, str]]:
    """The blocks of commands and programs of a page, in reading order: language and text."""
    return re.findall(r"^```(sh|python)\n(.*?)^```", page.read_text(), re.S | re.M)


def python(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.exhaustive
def test_the_tutorial_works_from_beginning_to_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program is saved under the name in its first line; commands run in a shell."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    output = ""
    for language, text in numbered_blocks(TUTORIAL):
        if language == "python":
            (tmp_path / text.partition("\n")[0].removeprefix("# ")).write_text(text)
            continue
        for line in text.splitlines():
            program, *arguments = shlex.split(line)
            run = {"sepcnn": sepcnn, "python": python}[program]
            result = run(*arguments, cwd=tmp_path)
            assert result.returncode == 0, result.stderr
            output = result.stdout
    assert re.findall(r"\w+/\d+\.png: (\w+)", output) == ["circle", "square"]


@pytest.mark.parametrize("page", ALL_PAGES, ids=lambda page: page.name)
def test_yaml_examples_are_yaml(page: Path) -> None:
    for block in blocks(page, "yaml"):
        yaml_reader.parse(block, page.name)


MINE = """\
model:
  input_shape: [16, 16, 3]
  layers:
    - MaxPooling2D
    - MaxPooling2D
    - ReLU
    - MaxPooling2D
    - SeparableConv2D: {filters: 64, kernel_size: 3}
    - Flatten
    - Dense: {units: auto, activation: softmax}
"""


def misspelt_starter() -> str:
    lines = (ROOT / "sepcnn" / "starter" / "starter.yaml").read_text().splitlines()
    number = next(n for n, line in enumerate(lines) if "- Conv2D:" in line)
    lines[number] = lines[number].replace("Conv2D", "Conv2d")
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("page", "name", "text"),
    [
        (ROOT / "README.md", "mine.yaml", MINE),
        (ROOT / "docs" / "guide" / "config.md", "starter.yaml", misspelt_starter()),
    ],
    ids=["README", "config"],
)
def test_an_error_is_shown_as_it_is_printed(
    page: Path, name: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_config(name)
    printed = [textwrap.dedent(block).rstrip() for block in blocks(page, "text")]
    assert str(caught.value) in printed


@pytest.mark.parametrize("page", ALL_PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
        assert (page.parent / target).exists(), target
