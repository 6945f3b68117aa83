"""The command line as a whole: exit codes, help without torch, bugs, colours."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import sepcnn
from sepcnn.cli import main
from tests.conftest import CONFIGS
from tests.runs import command, environment
from tests.runs import sepcnn as run_sepcnn


def test_help_and_import_do_not_import_torch() -> None:
    code = (
        "import sys, sepcnn.__main__\n"
        "sys.argv[1:] = ['--help']\n"
        "try: sepcnn.__main__.main()\n"
        "except SystemExit as end: assert end.code == 0\n"
        "heavy = {'torch', 'torchvision', 'numpy', 'pydantic', 'rich', 'tqdm', 'yaml'}\n"
        "found = heavy & set(sys.modules)\n"
        "assert not found, found"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    for name in main.COMMANDS:
        assert f"\n  {name} " in result.stdout


@pytest.mark.parametrize("name", main.COMMANDS)
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run([name, "--help"]) == 0
    assert f"Usage: sepcnn {name}" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["--version"]) == 0
    assert capsys.readouterr().out == f"sepcnn, version {sepcnn.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trian"], "Error: No such command 'trian'. Did you mean 'train'?\n"),
        (["xyz"], "Error: No such command 'xyz'.\n"),
        (["train", "--epochs", "3"], "\n   write it as --set train.epochs=3\n"),
        (["train", "--batch-size=8"], "\n   write it as --set train.batch_size=8\n"),
        (["train", "--validation"], "\n   write it as --set data.validation=VALUE\n"),
        (["train", "--x", "3"], "Error: No such option"),
        (["manual", "--epochs", "3"], "Error: No such option"),
        (
            ["eval", "runs/a/1", "my photos"],
            "Error: Got unexpected extra argument (my photos)\n"
            "   to evaluate all images of a folder: sepcnn eval runs/a/1 --split all "
            "--set 'data.source.Folder.path=my photos'\n",
        ),
        (["eval"], "Error: Missing argument 'CHECKPOINT_OR_RUN_DIR'."),
    ],
)
def test_a_wrong_command_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(arguments) == 2
    assert message in capsys.readouterr().err


def test_a_bug_asks_for_a_report(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from sepcnn.cli import layers

    def broken(*_: object) -> str:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(layers, "page", broken)
    assert main.run(["layers", "Dense"]) == 3
    err = capsys.readouterr().err
    assert "ZeroDivisionError: a bug" in err
    assert "This is a bug in sepcnn. Please report it and include the lines above." in err


def test_tracebacks_only_with_debug(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["layers", "Densse"]) == 2
    assert "Traceback" not in capsys.readouterr().err
    assert main.run(["--debug", "layers", "Densse"]) == 2
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.covering("one")
@pytest.mark.parametrize(
    "arguments", [["schema"], ["layers"], ["summary", "keras_sequential.yaml"]]
)
def test_a_closed_pipe_is_not_an_error(arguments: list[str]) -> None:
    process = subprocess.Popen(
        command(*arguments),
        cwd=CONFIGS,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.wait(timeout=60) == 0
    assert process.stderr.read() == b""
    process.stderr.close()


@pytest.mark.covering("one")
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize(
    "arguments", [["schema"], ["layers"], ["summary", "keras_sequential.yaml"], ["--help"]]
)
def test_a_full_disk_is_not_a_bug(arguments: list[str]) -> None:
    with open("/dev/full", "w") as full:
        process = subprocess.run(
            command(*arguments),
            cwd=CONFIGS,
            env=environment(),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert process.returncode == 1
    assert process.stderr == "error: the output could not be written: No space left on device\n"


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_standard_streams(closed: str, tmp_path: Path) -> None:
    """No file that is opened later gets the number of a stream."""
    program = shlex.join(command("summary", CONFIGS / "keras_sequential.yaml"))
    text = f"{program} {closed}"
    result = subprocess.run(
        text, shell=True, env=environment(), capture_output=True, text=True, check=False
    )
    assert result.returncode == 0
    assert result.stderr == ""
    assert bool(result.stdout) == (">&-" not in closed.split())


def test_a_deleted_working_folder(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    program = shlex.join(command("summary", CONFIGS / "keras_sequential.yaml"))
    result = subprocess.run(
        f"rmdir {gone}; {program}",
        shell=True,
        cwd=gone,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 2
    assert result.stderr == "error: the current folder no longer exists\n   cd to another one\n"


@pytest.mark.exhaustive
def test_an_output_encoding_without_our_characters(tmp_path: Path) -> None:
    environment_of_ascii = {**environment(), "PYTHONIOENCODING": "ascii"}
    result = subprocess.run(
        command("summary", CONFIGS / "keras_sequential.yaml"),
        env=environment_of_ascii,
        capture_output=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert b"62?62?32" in result.stdout


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    "override",
    ["model.layers[0].filters=2000000000", "model.layers[0].filters=1000000000000000000"],
)
def test_too_little_memory_is_not_a_bug(
    override: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    config = str(CONFIGS / "keras_sequential.yaml")
    code = main.run(["train", config, "--set", override, "--run-dir", str(tmp_path / "run")])
    assert code == 1
    assert capsys.readouterr().err.splitlines()[-2:] == [
        "error: the memory is not enough",
        "   use a smaller train.batch_size, smaller images, or a smaller net",
    ]
    assert not (tmp_path / "run").exists()


def test_completion_script(tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("sepcnn")
    result = subprocess.run(
        [str(program)],
        env={**environment(), "_SEPCNN_COMPLETE": "bash_source"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0
    assert "complete -o nosort -F _sepcnn_completion sepcnn" in result.stdout


def test_no_colour_without_a_terminal(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("model: 3\n")
    result = run_sepcnn("summary", "bad.yaml", cwd=tmp_path)
    assert result.returncode == 2
    assert "\x1b" not in result.stderr
    assert result.stderr == (
        "bad.yaml:1:8: model: expected a mapping of fields, found 3\n"
        "      1 | model: 3\n"
        "        |        ^\n"
        "   write its fields below it: data_format, input_shape, defaults, layers\n"
    )
