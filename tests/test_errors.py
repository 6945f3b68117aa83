"""Text of errors and problems, and their exit codes."""

from __future__ import annotations

import pytest

from sepcnn import errors
from sepcnn.errors import ConfigError, Location, Problem, SepcnnError
from sepcnn.wording import counted, shell_command

PLACE = Location("c.yaml", 3, 5, "    epochs: ten", 6)


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        (Problem("it is wrong"), "it is wrong"),
        (Problem("it is wrong", hint="fix it"), "it is wrong\n   fix it"),
        (Problem("it is wrong", path="train.epochs"), "train.epochs: it is wrong"),
        (Problem("it is wrong", Location("--set a=1", 0, 0)), "--set a=1: it is wrong"),
        (Problem("it is wrong", Location("c.yaml", 1, 1)), "c.yaml:1:1: it is wrong"),
        (Problem("it is wrong", Location("c.yaml", 2, 1, "   ")), "c.yaml:2:1: it is wrong"),
        (
            Problem("it is wrong", PLACE, "train.epochs", "fix it"),
            "c.yaml:3:5: train.epochs: it is wrong\n"
            "      3 |     epochs: ten\n"
            "        |     ^^^^^^\n"
            "   fix it",
        ),
        (
            Problem("a tab is used as a space", Location("c.yaml", 12345678, 3, "\ta\t#", 0)),
            "c.yaml:12345678:3: a tab is used as a space\n12345678 | \ta\t#\n        | \t ^",
        ),
    ],
)
def test_a_problem_shows_its_line_and_underlines_the_span(problem: Problem, text: str) -> None:
    assert str(problem) == text


def test_problems_are_sorted_by_location() -> None:
    places = [Location("c", 2, 1), Location("c", 1, 9), None, Location("c", 1, 2)]
    error = ConfigError([Problem("wrong", place) for place in places])
    assert str(error) == "wrong\nc:1:2: wrong\nc:1:9: wrong\nc:2:1: wrong"
    assert [problem.location for problem in error.problems] == [
        places[2],
        places[3],
        places[1],
        places[0],
    ]


def test_the_text_of_an_error_is_its_message_and_hint() -> None:
    assert str(errors.DataError("no images", "check the path")) == "no images\n   check the path"
    assert str(errors.RunError("stopped")) == "stopped"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.InputError, 2),
        (errors.ConfigError, 2),
        (errors.DataError, 2),
        (errors.CheckpointError, 2),
        (errors.RunError, 1),
        (errors.DivergedError, 1),
        (errors.StorageError, 1),
    ],
)
def test_exit_codes(error: type[SepcnnError], code: int) -> None:
    assert error.exit_code == code
    assert error.__name__ in (errors.__doc__ or "")


def test_counts_have_a_singular_and_a_plural() -> None:
    found = [counted(1, "class"), counted(0, "class"), counted(1, "epoch"), counted(2000, "image")]
    assert found == ["1 class", "0 classes", "1 epoch", "2,000 images"]


def test_printed_commands_are_quoted_for_a_shell() -> None:
    assert shell_command("train", "--resume", "runs/my photos/1") == (
        "sepcnn train --resume 'runs/my photos/1'"
    )
