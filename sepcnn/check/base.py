"""What a check is given, and what it finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from sepcnn.backends.machine import Machine
from sepcnn.config.config import Config
from sepcnn.data.dataset import Dataset
from sepcnn.data.files.inspection import Picture
from sepcnn.errors import SepcnnError
from sepcnn.nn.graph import Graph
from sepcnn.wording import counted

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
"""training fails, or what it measures is wrong; probably not meant; good to know"""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing found: what it is and means, what to do, and the images it is about."""

    kind: str
    severity: Severity
    message: str
    hint: str = ""
    files: tuple[str, ...] = ()
    """paths, or places such as train[17]; images that belong together follow each other"""

    def to_json(self) -> dict[str, Any]:
        told = f"{self.message}; {self.hint}" if self.hint else self.message
        return {
            "kind": self.kind,
            "severity": self.severity,
            "message": told,
            "files": list(self.files),
        }


@dataclass(frozen=True)
class Subject:
    """A config with its images, as far as they could be read."""

    config: Config
    machine: Machine
    pictures: tuple[Picture, ...]
    """the image files, each looked at; empty where the images are no files"""
    dataset: Dataset | None
    """None where it could not be opened"""
    graph: Graph
    """with the number of classes where the data tells it"""
    problems: tuple[SepcnnError, ...] = ()
    """why the images could not be opened, or do not fit the net"""


def images(count: int) -> str:
    return counted(count, "image")
