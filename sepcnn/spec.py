"""Located node → typed spec: the grammar of choices, own value types, and errors mapped to places.

One grammar serves wherever something is chosen (a layer, an optimizer, a data set, …)::

    Name                    the bare name: every field has its default
    Name: value             the first field of the class
    Name: {field: value}    a mapping always means fields

A section (``train:``) is a `Spec`; what is chosen by name is a `Choice` with a `Table` of names.
This module knows the grammar and no entry of any table.
"""

from __future__ import annotations

import difflib
import json
import typing
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ModelWrapValidatorHandler,
    ValidationError,
    ValidationInfo,
    model_validator,
)
from pydantic_core import CoreSchema, ErrorDetails, InitErrorDetails, PydanticCustomError
from pydantic_core import core_schema as schemas

from sepcnn.errors import ConfigError, Problem
from sepcnn.node import Node, format_path

SpecType = TypeVar("SpecType", bound="Spec")


def refuse(message: str, hint: str = "") -> PydanticCustomError:
    """The error a validator raises: what is wrong with the value, and what to do about it."""
    return PydanticCustomError(
        "refused", "{message}", {"message": message, "hint": hint, "unknown": False}
    )


def unknown(message: str, name: str, known: Iterable[str]) -> PydanticCustomError:
    """The error for a key or a name that does not exist, with the nearest that does."""
    choices = sorted(known)
    hint = f"known: {', '.join(choices)}" if choices else "it takes no fields"
    if near := nearest(name, choices):
        hint = f"did you mean '{near}'?"
    return PydanticCustomError(
        "refused", "{message}", {"message": message, "hint": hint, "unknown": True}
    )


def nearest(name: str, known: Iterable[str]) -> str | None:
    choices = {choice.lower(): choice for choice in known}
    near = difflib.get_close_matches(name.lower(), choices, n=1)
    return choices[near[0]] if near else None


def show(value: object) -> str:
    """A value as an error message quotes it: short, in the words of YAML."""
    if isinstance(value, str):
        text = f"'{value}'"
    elif isinstance(value, Spec | Path):
        text = str(value)
    else:
        try:
            text = json.dumps(value, ensure_ascii=False)
        except (TypeError, ValueError):
            text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


@dataclass
class Context:
    """What reading needs beside the text: where relative paths start, and ``model.defaults``."""

    folder: Path = field(default_factory=Path)
    defaults: dict[str, dict[str, Any]] = field(default_factory=dict)

    @staticmethod
    def of(info: ValidationInfo) -> Context:
        return info.context if isinstance(info.context, Context) else Context()


class Spec(BaseModel):
    """A frozen, typed description read from the config. Unknown keys and coercions are refused."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        validate_default=False,
    )

    @classmethod
    def own_fields(cls) -> list[str]:
        """The fields a user fills in, in order; the first is the one of ``Name: value``."""
        return list(cls.model_fields)

    @model_validator(mode="wrap")
    @classmethod
    def _explain(cls, value: Any, handler: ModelWrapValidatorHandler[SpecType]) -> SpecType:
        """Translate pydantic's errors here, where the class and so its known keys are at hand."""
        try:
            return handler(value)
        except ValidationError as error:
            raise explained(cls, (), error) from None


class Table(Mapping[str, type["Choice"]]):
    """The explicit table of one kind of thing: names as the user writes them → classes."""

    def __init__(self, kind: str, entries: Mapping[str, type[Choice]] | None = None) -> None:
        self.kind = kind
        self._entries: dict[str, type[Choice]] = dict(entries or {})

    def fill(self, entries: Mapping[str, type[Choice]]) -> None:
        """Fill a table declared before its classes, where blocks make the kind recursive."""
        self._entries.update(entries)

    def __getitem__(self, name: str) -> type[Choice]:
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def name_of(self, chosen: type[Choice]) -> str:
        return next(name for name, entry in self._entries.items() if entry is chosen)

    def read(self, value: object, info: ValidationInfo) -> Choice:
        """A chosen spec from plain data in one of the three forms."""
        if isinstance(value, Choice):
            return value
        name, content = self._open(value)
        if name not in self:
            error = unknown(f"unknown {self.kind} '{name}'", name, self)
            raise _located(error, (name,), value)
        chosen = self[name]
        if content is None:
            content = {}
        if not isinstance(content, Mapping):
            content = {chosen.shorthand(name): content}
        content = {**Context.of(info).defaults.get(name, {}), **content}
        try:
            return chosen.model_validate(content, context=info.context)
        except ValidationError as error:
            raise explained(chosen, (name,), error) from None

    def _open(self, value: object) -> tuple[str, object]:
        if isinstance(value, str):
            return value, None
        if isinstance(value, Mapping) and len(value) == 1:
            name, content = next(iter(value.items()))
            return str(name), content
        if isinstance(value, Mapping) and value and next(iter(value.values())) is None:
            first, *rest = value
            raise refuse(
                f"expected one {self.kind}, found the keys {', '.join(value)}",
                f"indent {', '.join(rest)} below '{first}:' to make them its fields",
            )
        article = "an" if self.kind[0] in "aeiou" else "a"
        raise refuse(
            f"expected {article} {self.kind}, found {show(value)}",
            "write it as Name, Name: value or Name: {field: value}",
        )


class Choice(Spec):
    """A spec that is chosen by its name. The root of each kind carries the kind's table."""

    table: ClassVar[Table]

    @classmethod
    def shorthand(cls, name: str) -> str:
        """The field that ``Name: value`` fills."""
        fields = cls.own_fields()
        if not fields:
            raise refuse(f"'{name}' takes no value", f"write {name} alone")
        return fields[0]

    @property
    def chosen_name(self) -> str:
        """The name in the table, as the user writes it."""
        return self.table.name_of(type(self))

    @classmethod
    def is_root(cls) -> bool:
        return "table" in cls.__dict__

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        if not cls.is_root():
            return handler(source)
        return schemas.with_info_plain_validator_function(
            lambda value, info: cls.table.read(value, info)
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        # A placeholder: sepcnn.schema writes each table once, so that layer lists may recurse.
        return {"choice": cls.table.kind} if cls.is_root() else handler(schema)


def read(cls: type[SpecType], node: Node, *, folder: Path) -> SpecType:
    """Read a spec from a node tree.

    Errors: `ConfigError` with every problem of the whole tree, each at its place.
    """
    try:
        return cls.model_validate(node.plain(), context=Context(folder=folder))
    except ValidationError as error:
        problems = []
        for detail in error.errors(include_url=False):
            path, context = detail["loc"], detail.get("ctx", {})
            locate = node.locate_key if context.get("unknown") else node.locate
            shown = path[:-1] if context.get("unknown") else path
            problems.append(
                Problem(detail["msg"], locate(path), format_path(shown), context.get("hint", ""))
            )
        raise ConfigError(sorted(problems, key=_reading_order)) from None


def _reading_order(problem: Problem) -> tuple[int, int]:
    return (problem.location.line, problem.location.column) if problem.location else (0, 0)


def plain(value: object) -> Any:
    """A spec as plain data that reads back as the same spec: every default explicit."""
    if isinstance(value, Spec):
        fields = {name: plain(getattr(value, name)) for name in type(value).model_fields}
        return {value.chosen_name: fields} if isinstance(value, Choice) else fields
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)


def specs_in(annotation: object) -> type[Spec] | None:
    """The spec class that an annotation such as ``tuple[Layer, ...]`` or ``X | None`` is about."""
    if isinstance(annotation, type) and issubclass(annotation, Spec):
        return annotation
    found = (specs_in(argument) for argument in typing.get_args(annotation))
    return next((cls for cls in found if cls), None)


# ── pydantic's errors in our words ────────────────────────────────────────────────────────────


def _located(error: PydanticCustomError, path: tuple[str | int, ...], value: object) -> Exception:
    details = InitErrorDetails(type=error, loc=path, input=value)
    return ValidationError.from_exception_data("config", [details])


def explained(
    cls: type[Spec],
    path: tuple[str | int, ...],
    error: ValidationError,
    only: Container[str] | None = None,
) -> ValidationError:
    """Errors of reading a ``cls`` at ``path`` in our words; ``only`` those of some fields."""
    found = [detail for detail in error.errors(include_url=False) if not _follows(detail)]
    if only is not None:
        found = [detail for detail in found if detail["loc"] and detail["loc"][0] in only]
    misspelt = {nearest(str(d["loc"][-1]), cls.model_fields) for d in found if _extra(d)}
    details = [
        InitErrorDetails(
            type=_translate(cls, detail), loc=path + detail["loc"], input=detail["input"]
        )
        for detail in found
        # The unknown key right beside it says it all.
        if not (detail["type"] == "missing" and detail["loc"][-1] in misspelt)
    ]
    return ValidationError.from_exception_data("config", details)


def _extra(detail: ErrorDetails) -> bool:
    return detail["type"] == "extra_forbidden"


def _follows(detail: ErrorDetails) -> bool:
    """A list is called too short also when its items were there but wrong."""
    least = detail.get("ctx", {}).get("min_length", 0)
    return detail["type"] == "too_short" and len(detail["input"]) >= least


_EXPECTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "text",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping of fields",
    "model_attributes_type": "a mapping of fields",
    "finite_number": "a finite number",
}


def _translate(cls: type[Spec], detail: ErrorDetails) -> PydanticCustomError:
    kind, value, context = detail["type"], detail["input"], detail.get("ctx", {})
    if kind == "refused":
        return PydanticCustomError("refused", "{message}", context)
    name = str(detail["loc"][-1]) if detail["loc"] else ""
    if kind == "extra_forbidden":
        return unknown(f"unknown key '{name}'", name, cls.model_fields)
    if kind == "missing":
        about = cls.model_fields[name].description if name in cls.model_fields else ""
        return refuse(f"'{name}' is required", f"{name}: {about}" if about else "")
    if kind in _EXPECTED:
        return refuse(f"expected {_EXPECTED[kind]}, found {show(value)}")
    if kind == "literal_error":
        expected = str(context["expected"]).replace("'", "")
        options = [option.strip() for option in expected.replace(" or ", ", ").split(",")]
        near = difflib.get_close_matches(str(value), options, n=1)
        hint = f"did you mean '{near[0]}'?" if near else ""
        return refuse(f"expected one of {', '.join(options)}; found {show(value)}", hint)
    bounds = {"greater_than": "gt", "greater_than_equal": "ge", "less_than": "lt"}
    words = {"gt": "above", "ge": "at least", "lt": "below", "le": "at most"}
    if kind in {*bounds, "less_than_equal"}:
        key = bounds.get(kind, "le")
        return refuse(f"must be {words[key]} {context[key]:g}, found {show(value)}")
    if kind in {"too_short", "too_long"}:
        limit = context.get("min_length", context.get("max_length"))
        than = "at least" if kind == "too_short" else "at most"
        items = "item" if limit == 1 else "items"
        return refuse(f"expected {than} {limit} {items}, found {context['actual_length']}")
    message = str(context["error"]) if "error" in context else detail["msg"]
    return refuse(message[:1].lower() + message[1:])
