"""The input of a check and its result."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from sepcnn.backends.machine import Machine
from sepcnn.config.config import Config
from sepcnn.data.dataset import Dataset
from sepcnn.data.inspection import InspectedImage
from sepcnn.errors import SepcnnError
from sepcnn.nn.graph import Graph
from sepcnn.training.memory import memory_of_step
from sepcnn.wording import counted

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
"""error: training fails or its metrics are wrong; warning: probably a mistake; note: for
information
"""


@dataclass(frozen=True, slots=True)
class Finding:
    """A result of a check: what was found, what to do about it, and the images concerned."""

    kind: str
    severity: Severity
    message: str
    hint: str = ""
    files: tuple[str, ...] = ()
    """paths, or positions such as train[17]; copies of one image are next to each other"""

    def to_json(self) -> dict[str, Any]:
        text = f"{self.message}; {self.hint}" if self.hint else self.message
        return {
            "kind": self.kind,
            "severity": self.severity,
            "message": text,
            "files": list(self.files),
        }


@dataclass(frozen=True)
class CheckContext:
    """The input of every check: a config, its images, and the machine that would train it."""

    config: Config
    machine: Machine
    pictures: tuple[InspectedImage, ...]
    """the image files with their properties; empty if the images are not separate files"""
    dataset: Dataset | None
    """None if it could not be opened"""
    graph: Graph
    """the model's layers, with the number of classes if the data provides it"""
    problems: tuple[SepcnnError, ...] = ()
    """reasons why the images could not be opened or do not fit the model"""

    @property
    def batch_images(self) -> int:
        """Number of images of the largest batch."""
        size = self.config.train.batch_size
        return min(size, len(self.dataset.train)) if self.dataset else size

    @cached_property
    def memory_needed(self) -> int:
        """Bytes of memory of a training step, estimated."""
        return memory_of_step(self.config, self.graph, self.machine, self.batch_images)


def images(count: int) -> str:
    return counted(count, "image")
