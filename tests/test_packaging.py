"""The wheel and the sdist: built from the checkout, installed, and used outside of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from tests.conftest import CONFIGS, ROOT

PACKAGE = ROOT / "sepcnn"
BUILD = "import sys; from setuptools import build_meta; build_meta.build_{}(sys.argv[1])"
TINY = ("train.epochs=1", "train.fused=false", "train.device=cpu")
TINY_DATA = ("data.source.train=64", "data.source.val=32", "data.source.test=32")


def run(*command: str | Path, cwd: Path) -> str:
    """Run a command that finds neither the checkout nor a package index; its standard output."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"PIP_NO_INDEX": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    result = subprocess.run(
        [*map(str, command)],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def build(kind: str, source: Path, target: Path) -> Path:
    """Build a wheel or an sdist with the build backend of this environment."""
    target.mkdir()
    run(sys.executable, "-c", BUILD.format(kind), target, cwd=source)
    (path,) = target.iterdir()
    return path


def copy_checkout(target: Path) -> Path:
    """Copy what a build reads. A build leaves files behind that would end up in the next wheel."""
    target.mkdir()
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, target)
    for name in ("sepcnn", "configs"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, target / name, ignore=ignored)
    return target


def new_environment(folder: Path) -> Path:
    """Create a virtual environment that also finds the packages of this one; its Python.

    ``system_site_packages`` would add the packages of the base interpreter, and this interpreter
    is usually a virtual environment itself. A path in a .pth file comes after the packages of the
    new environment, and the .pth files in it are not read: an editable install stays unknown.
    """
    venv.create(folder, symlinks=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    names = ("site-packages", "dist-packages")
    paths = [path for path in sys.path if Path(path).name in names]
    (packages / "running_environment.pth").write_text("".join(f"{path}\n" for path in paths))
    return folder / "bin" / "python"


def install(python: Path, *what: str | Path) -> None:
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "--quiet")
    run(*pip, "--no-deps", "--no-build-isolation", *what, cwd=python.parent)


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_checkout(tmp_path_factory.mktemp("packaging") / "checkout")


@pytest.fixture(scope="module")
def wheel(checkout: Path) -> Path:
    return build("wheel", checkout, checkout.parent / "wheel")


@pytest.fixture(scope="module")
def installed(wheel: Path) -> Path:
    """The Python of an environment in which the wheel is installed."""
    python = new_environment(wheel.parents[1] / "environment")
    install(python, wheel)
    return python


def test_the_wheel_holds_all_files_of_the_package(wheel: Path) -> None:
    files = contents(wheel)
    expected = {
        path.relative_to(ROOT).as_posix(): path.read_bytes()
        for path in PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {"sepcnn/py.typed", "sepcnn/starter/starter.yaml"} <= set(expected)
    assert {Path(name).suffix for name in expected} >= {".cpp", ".h"}
    configs = {f"sepcnn/configs/{path.name}": path.read_bytes() for path in CONFIGS.iterdir()}
    assert "sepcnn/configs/sepcnn.schema.json" in configs
    found = {name: files[name] for name in files if ".dist-info/" not in name}
    assert found == expected | configs


def test_the_sdist_builds_the_same_wheel(wheel: Path, checkout: Path, tmp_path: Path) -> None:
    sdist = build("sdist", checkout, tmp_path / "sdist")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (source,) = tmp_path.glob("sepcnn-*")
    assert contents(build("wheel", source, tmp_path / "wheel")) == contents(wheel)


def test_the_package_of_the_wheel_is_imported(installed: Path, tmp_path: Path) -> None:
    code = "import sepcnn, torch; print(sepcnn.__file__, torch.__file__, sep='\\n')"
    ours, torch_file = map(Path, run(installed, "-c", code, cwd=tmp_path).splitlines())
    environment = installed.parents[1]
    assert ours.is_relative_to(environment)
    assert not torch_file.is_relative_to(environment)


@pytest.mark.exhaustive
def test_the_wheel_trains_outside_the_checkout(installed: Path, tmp_path: Path) -> None:
    command = installed.with_name("sepcnn")
    configs = run(command, "init", "--list", cwd=tmp_path)
    assert {path.stem for path in CONFIGS.glob("*.yaml")} <= set(configs.split())
    run(command, "init", "--like", "xception_mini", cwd=tmp_path)
    assert (tmp_path / "xception_mini.yaml").read_text() == (
        CONFIGS / "xception_mini.yaml"
    ).read_text()
    overrides = (word for setting in (*TINY, *TINY_DATA) for word in ("--set", setting))
    run(command, "train", "xception_mini.yaml", *overrides, cwd=tmp_path)
    (metrics,) = tmp_path.glob("runs/xception_mini/1/metrics.jsonl")
    events = [json.loads(line)["event"] for line in metrics.read_text().splitlines()]
    assert "epoch" in events


@pytest.mark.exhaustive
def test_an_editable_install_finds_the_configs_of_the_checkout(
    checkout: Path, tmp_path: Path
) -> None:
    python = new_environment(tmp_path / "environment")
    install(python, "--editable", checkout)
    code = "import sepcnn; from sepcnn.starter import shipped; print(shipped.folder())"
    assert Path(run(python, "-c", code, cwd=tmp_path).strip()) == checkout / "configs"
