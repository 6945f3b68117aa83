"""The command-line reference is current and complete."""

from __future__ import annotations

from sepcnn.cli.main import COMMANDS, group
from sepcnn.manual.command_line import code_in, page
from tests.conftest import ROOT

PAGE = page(group)


def test_the_page_is_current() -> None:
    path = ROOT / "docs" / "reference" / "cli.md"
    assert path.read_text(encoding="utf-8") == PAGE, "run scripts/write-manual"


def test_every_command_has_a_section() -> None:
    headings = [line[3:] for line in PAGE.splitlines() if line.startswith("## ")]
    assert headings == list(COMMANDS)


def test_options_are_listed_with_their_help() -> None:
    section = PAGE.split("\n## train\n")[1].split("\n## ")[0]
    for option in ("--resume RUN_DIR", "--run-dir DIR", "--device D", "--set KEY=VALUE"):
        assert f"| `{option}` | " in section


def test_pipes_in_cells_are_escaped() -> None:
    assert r"| `--split [train\|val\|test\|all]` |" in PAGE


def test_options_in_text_are_code() -> None:
    assert code_in("with --split all, as in `--set x`") == "with `--split all`, as in `--set x`"
