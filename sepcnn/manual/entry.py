"""An entry of the manual: its text, and its fields with types, defaults and meanings.

The text is the docstring of the class. The values of a field come from the JSON schema.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sepcnn.config.json_schema import first_field
from sepcnn.language.descriptions import field_descriptions
from sepcnn.language.spec import Choice, Spec, to_plain
from sepcnn.manual.value_description import describe, references
from sepcnn.wording import first_sentence

EXAMPLE_VALUES: dict[str, str | None] = {
    "activation": "relu",
    "alpha_initializer": None,
    "approximate": "true",
    "axis": None,
    "branches": "[[Conv2D: {filters: 8, kernel_size: 1}], [MaxPooling2D: 1]]",
    "cropping": "2",
    "decay_rate": "0.5",
    "decay_steps": "5 epochs",
    "dims": "[2, 1, 3]",
    "every": "10 epochs",
    "factor": "0.1",
    "filters": "32",
    "final": "0.01",
    "Folder.path": "photos",
    "first_decay_steps": "2 epochs",
    "height": "64",
    "height_factor": "0.2",
    "inputs": "[left, right]",
    "keepdims": "true",
    "kernel_size": "3",
    "label_smoothing": "0.1",
    "layers": "[BatchNormalization, ReLU]",
    "max_value": "6",
    "mean": "0.1",
    "mode": "horizontal",
    "Normalization.mean": None,
    "path": "images.npz",
    "peak": "10%",
    "pool_size": "3",
    "RandomRotation.factor": "0.05",
    "rate": "0.2",
    "RandomSaturation.factor": "[0.4, 0.6]",
    "Rescaling.scale": "1/255",
    "size": "2",
    "stddev": "0.1",
    "target_shape": "[8, 8, 4, 16]",
    "times": "3",
    "Torchvision.name": "CIFAR10",
    "train": "2000",
    "units": "10",
    "value": "0.1",
    "variance_scaling.scale": "2",
    "warmup": "500 steps",
    "width": "64",
    "x_factor": "0.2",
    "ZeroPadding2D.padding": "1",
}
"""example values of fields without a default, or with a default that is not a good example"""


@dataclass(frozen=True, slots=True)
class Field:
    """A field as shown in the manual."""

    name: str
    value: str
    """the allowed values, in words"""
    references: frozenset[str]
    """the kinds and sections that the value refers to"""
    default: str | None
    """in YAML; None if the field is required"""
    meaning: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A name of a table, such as a layer, or a section of the config."""

    name: str
    kind: str
    cls: type[Spec]
    definition: Mapping[str, Any]
    """its part of the JSON schema"""
    alias_of: str | None = None

    def paragraphs(self) -> list[str]:
        """Return the docstring, each paragraph as one line."""
        text = inspect.getdoc(self.cls) or ""
        return [" ".join(part.split()) for part in text.split("\n\n")]

    def summary(self) -> str:
        """Return the first sentence of the docstring."""
        return first_sentence(self.paragraphs()[0])

    def fields(self) -> list[Field]:
        """Return all fields: the entry's own, then those that its kind shares."""
        own = self.cls.own_fields()
        names = [*own, *(name for name in self.cls.model_fields if name not in own)]
        return [self.field(name) for name in names]

    def own_fields(self) -> list[Field]:
        """Return the fields that the kind does not share, or that differ from the shared ones."""
        shared = self.shared_fields()
        return [field for field in self.fields() if field not in shared]

    def shared_fields(self) -> list[Field]:
        """Return the fields of the kind's root class."""
        if not issubclass(self.cls, Choice):
            return []
        root = next(cls for cls in self.cls.__mro__ if issubclass(cls, Choice) and cls.is_root())
        return [self.field(name, root) for name in root.model_fields]

    def field(self, name: str, cls: type[Spec] | None = None) -> Field:
        info = (cls or self.cls).model_fields[name]
        default = None if info.is_required() else to_yaml(info.default)
        part = self.definition["properties"][name]
        meaning = " ".join(field_descriptions(cls or self.cls).get(name, "").split())
        return Field(name, describe(part), references(part), default, meaning)

    def example(self) -> str:
        """Return a valid use in YAML, in the short form if there is one."""
        required = [name for name, info in self.cls.model_fields.items() if info.is_required()]
        first = self.first_field()
        if len(required) > 1 or (required and required != [first]):
            fields = ", ".join(f"{name}: {self.example_value(name)}" for name in required)
            return f"{self.name}: {{{fields}}}"
        value = self.example_value(first) if first else None
        return f"{self.name}: {value}" if value else self.name

    def first_field(self) -> str | None:
        """Return the field that ``Name: value`` sets, if there is one."""
        return first_field(self.cls, self.name) if issubclass(self.cls, Choice) else None

    def example_value(self, name: str) -> str | None:
        """Return a value for an example; None if there is none but null."""
        info = self.cls.model_fields[name]
        for key in (f"{self.name}.{name}", name):
            if key in EXAMPLE_VALUES:
                return EXAMPLE_VALUES[key]
        return None if info.is_required() or info.default is None else to_yaml(info.default)


def to_yaml(value: object) -> str:
    """Return a default value in YAML."""
    if isinstance(value, Choice):
        fields = {
            name: to_plain(getattr(value, name))
            for name, info in type(value).model_fields.items()
            if getattr(value, name) != info.default
        }
        return f"{value.chosen_name}: {json.dumps(fields)}" if fields else value.chosen_name
    if isinstance(value, Spec) and value == type(value)():
        return "{}"
    plain = to_plain(value)
    return plain if isinstance(plain, str) else json.dumps(plain)
