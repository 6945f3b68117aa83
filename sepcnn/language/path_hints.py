"""Hints for the error that there is no file or folder of a path in a config."""

from __future__ import annotations

import os
import re
from pathlib import Path

CHECK = "check the path"
_VARIABLE = re.compile(r"\$\w+|\$\{\w+\}|%\w+%")
_PYTHON_STRING = re.compile(r"(?:^|/)(?:[fFbBrRuU]{1,2}[\"']|(?:os\.path\.join|Path)\()")
_WINDOWS_DRIVE = re.compile(r"(?:^|/)[A-Za-z]:\\")


def missing_path_hint(path: Path | str) -> str:
    """The hint for a path that does not exist."""
    text = str(path)
    if variable := _VARIABLE.search(text):
        written = text[variable.start() :]
        expanded = os.path.expandvars(written)
        reason = f"variables such as {variable.group()} are not replaced in a config"
        return f"{reason}: write {expanded}" if expanded != written else reason
    if _PYTHON_STRING.search(text):
        return "Python is not evaluated in a config: write the path itself"
    if os.sep == "/" and _WINDOWS_DRIVE.search(text):
        return "this is a path of Windows: write the path on this computer"
    if os.sep == "/" and "\\" in text:
        written = os.path.basename(text).replace("\\", "/")
        return f"write {written}: '/' separates folders here"
    return CHECK
