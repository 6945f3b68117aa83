"""A JSON schema of the config, for completion and hints in editors."""

from __future__ import annotations

import inspect
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, models_json_schema
from pydantic_core import PydanticCustomError

from sepcnn.config.config import Config
from sepcnn.data.augmentation import AUGMENTATIONS
from sepcnn.data.sources import SOURCES
from sepcnn.language.spec import Choice, Table, to_plain
from sepcnn.nn.activations import ACTIVATIONS
from sepcnn.nn.constraints import CONSTRAINTS
from sepcnn.nn.initializers import INITIALIZERS
from sepcnn.nn.layers import LAYERS
from sepcnn.nn.losses import LOSSES
from sepcnn.nn.optimizers import OPTIMIZERS
from sepcnn.nn.regularizers import REGULARIZERS
from sepcnn.nn.schedules import SCHEDULES

TABLES = (
    LAYERS,
    ACTIVATIONS,
    INITIALIZERS,
    REGULARIZERS,
    CONSTRAINTS,
    SOURCES,
    AUGMENTATIONS,
    OPTIMIZERS,
    SCHEDULES,
    LOSSES,
)


class Generator(GenerateJsonSchema):
    """pydantic's generator, with defaults as the config would write them."""

    def encode_default(self, dft: Any) -> Any:
        return to_plain(dft)


def schema() -> dict[str, Any]:
    """The schema of a whole config file, draft 2020-12."""
    definitions: dict[str, Any] = {}
    root = fields_of(Config, definitions)
    for table in TABLES:
        for name, chosen in table.items():
            fields = fields_of(chosen, definitions)
            if table is LAYERS:
                fields.pop("required", None)  # model.defaults may give what a layer leaves out
            definitions[f"{key_of(table.kind)}.{name}"] = fields
        definitions[key_of(table.kind)] = choice_of(table, definitions)
    definitions["Model"]["properties"]["defaults"] |= {
        "properties": {name: {"$ref": f"#/$defs/layer.{name}"} for name in LAYERS},
        "additionalProperties": False,
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "sepcnn config",
        **root,
        "$defs": dict(sorted(definitions.items())),
    }


def fields_of(cls: type[BaseModel], definitions: dict[str, Any]) -> dict[str, Any]:
    """The schema of a spec's fields; nested sections go into ``definitions``."""
    _, generated = models_json_schema([(cls, "validation")], schema_generator=Generator)
    parts = {name: with_references(part) for name, part in generated["$defs"].items()}
    own: dict[str, Any] = parts.pop(cls.__name__)
    definitions.update(parts)
    description = inspect.getdoc(cls)
    return {**own, "description": description} if description else own


def with_references(part: Any) -> Any:
    """Placeholders of choices (see `Choice`) as references to the table of their kind."""
    if isinstance(part, list):
        return [with_references(item) for item in part]
    if not isinstance(part, dict):
        return part
    if set(part) >= {"choice"}:
        reference = {"$ref": f"#/$defs/{key_of(part['choice'])}"}
        return {**reference, **{key: part[key] for key in part if key != "choice"}}
    return {key: with_references(item) for key, item in part.items() if key != "title"}


def choice_of(table: Table, definitions: dict[str, Any]) -> dict[str, Any]:
    """``Name``, ``Name: value`` or ``Name: {field: value}`` for every name of a table."""
    named = {}
    for name, chosen in table.items():
        key = f"{key_of(table.kind)}.{name}"
        forms: list[dict[str, Any]] = [{"$ref": f"#/$defs/{key}"}, {"type": "null"}]
        if first := first_field(chosen, name):
            own = definitions[key]["properties"]
            forms.append(own[first])
        summary = (inspect.getdoc(chosen) or "").split("\n")[0]
        named[name] = {"anyOf": forms, "description": summary}
    named |= {spelling: named[name] for spelling, name in table.spellings.items()}
    return {
        "anyOf": [
            {"enum": list(named)},
            {
                "type": "object",
                "properties": named,
                "additionalProperties": False,
                "minProperties": 1,
                "maxProperties": 1,
            },
        ]
    }


def key_of(kind: str) -> str:
    """The kind as a part of a reference."""
    return kind.replace(" ", "_")


def first_field(chosen: type[Choice], name: str) -> str | None:
    """The field of ``Name: value``, if the class has one."""
    try:
        return chosen.shorthand(name)
    except PydanticCustomError:
        return None
