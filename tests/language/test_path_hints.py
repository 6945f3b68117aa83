"""Why a path may not exist."""

from __future__ import annotations

import pytest

from sepcnn.language.path_hints import CHECK, missing_path_hint

NOT_REPLACED = "variables such as {} are not replaced in a config"


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("/c/photos", CHECK),
        ("/c/$HOME/photos", NOT_REPLACED.format("$HOME") + ": write /home/a/photos"),
        ("/c/${HOME}/photos", NOT_REPLACED.format("${HOME}") + ": write /home/a/photos"),
        ("/c/$NOT_SET_HERE/photos", NOT_REPLACED.format("$NOT_SET_HERE")),
        ("/c/%USERPROFILE%/photos", NOT_REPLACED.format("%USERPROFILE%")),
        ("/c/photos\\train", "write photos/train: '/' separates folders here"),
        ("/c/C:\\photos", "this is a path of Windows: write the path on this computer"),
        ('/c/f"{root}/x"', "Python is not evaluated in a config: write the path itself"),
        ("/c/os.path.join(a, b)", "Python is not evaluated in a config: write the path itself"),
        ("/c/Path(a)", "Python is not evaluated in a config: write the path itself"),
    ],
)
def test_hints(path: str, hint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/a")
    monkeypatch.delenv("NOT_SET_HERE", raising=False)
    assert missing_path_hint(path) == hint
