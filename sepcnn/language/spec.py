"""Located node → typed spec: the grammar of choices, own value types, and errors mapped to places.

One grammar serves wherever something is chosen (a layer, an optimizer, a data set, …)::

    Name                    the bare name: every field has its default
    Name: value             the first field of the class
    Name: {field: value}    a mapping always means fields

A section (``train:``) is a `Spec`; what is chosen by name is a `Choice` with a `Table` of names.
This module knows the grammar and no entry of any table.
"""

from __future__ import annotations

import typing
from collections.abc import Iterator, Mapping
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
from pydantic_core import CoreSchema, ErrorDetails, PydanticCustomError
from pydantic_core import core_schema as schemas

from sepcnn.errors import ConfigError, Problem
from sepcnn.language.descriptions import field_descriptions
from sepcnn.language.messages import (
    error_at,
    invalid,
    quote,
    translate_errors,
    unknown_name,
)
from sepcnn.language.node import Node, format_path

SpecType = TypeVar("SpecType", bound="Spec")


@dataclass(frozen=True)
class Context:
    """What is known of a config before its values are validated."""

    folder: Path = field(default_factory=Path)
    """relative paths start here"""
    channels_first: bool = False
    """the file lists the axes of images as channels, height, width (``model.data_format``)"""
    defaults: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """valid fields of ``model.defaults``, by name of the layer"""
    invalid_defaults: frozenset[tuple[str, str]] = frozenset()
    """name of the layer and of the field, for the invalid fields of ``model.defaults``"""

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
        validate_default=False,
    )

    elsewhere: ClassVar[Mapping[str, str]] = {}
    """keys that are looked for here, and where what they mean is said"""

    @classmethod
    def own_fields(cls) -> list[str]:
        """The fields a user fills in, in order; the first is the one of ``Name: value``."""
        return list(cls.model_fields)

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        generated = handler(schema)
        properties = handler.resolve_ref_schema(generated).get("properties", {})
        for name, text in field_descriptions(cls).items():
            if name in properties:
                properties[name]["description"] = text
        return generated

    @model_validator(mode="wrap")
    @classmethod
    def _explain(cls, value: Any, handler: ModelWrapValidatorHandler[SpecType]) -> SpecType:
        """Translate pydantic's errors here, where the class and so its known keys are at hand."""
        try:
            # A section with nothing in it, or with all its lines commented out, is all defaults.
            return handler({} if value is None else value)
        except ValidationError as error:
            raise translate_errors(cls, (), error) from None


class Table(Mapping[str, type["Choice"]]):
    """The explicit table of one kind of thing: names as the user writes them → classes."""

    def __init__(self, kind: str, several: str = "keep one") -> None:
        """``several``: what to do where one is expected and several were written."""
        self.kind, self.several = kind, several
        self._entries: dict[str, type[Choice]] = {}

    def fill(self, entries: Mapping[str, type[Choice]]) -> None:
        """Fill the table, which is declared before its classes: a block holds layers."""
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
            error = unknown_name(f"unknown {self.kind} '{name}'", name, self)
            raise error_at(error, (name,), value)
        chosen = self[name]
        if content is None:
            content = {}
        if not isinstance(content, Mapping):
            try:
                content = {chosen.shorthand(name): content}
            except PydanticCustomError as error:
                raise error_at(error, (name,), content) from None
        context = Context.of(info)
        content = {**context.defaults.get(name, {}), **content}
        try:
            return chosen.model_validate(content, context=info.context)
        except ValidationError as error:

            def follows_from_default(detail: ErrorDetails) -> bool:
                """Whether a field is missing only because its default is invalid."""
                field_name = str(detail["loc"][-1]) if len(detail["loc"]) == 1 else ""
                return (name, field_name) in context.invalid_defaults

            raise translate_errors(chosen, (name,), error, follows_from_default) from None

    def _open(self, value: object) -> tuple[str, object]:
        if isinstance(value, str):
            return value, None
        if isinstance(value, Mapping) and len(value) == 1:
            name, content = next(iter(value.items()))
            return str(name), content
        if isinstance(value, Mapping) and value:
            first, *rest = value
            message = f"expected one {self.kind}, found the keys {', '.join(value)}"
            if any(key in self for key in rest):
                raise invalid(message, self.several)
            hint = f"indent {', '.join(rest)} below '{first}:' to make them its fields"
            if value[first] is not None:
                hint = f"give all fields to {first}, as in {first}: {{field: value}}"
            raise invalid(message, hint)
        article = "an" if self.kind[0] in "aeiou" else "a"
        raise invalid(
            f"expected {article} {self.kind}, found {quote(value)}",
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
            raise invalid(f"'{name}' takes no value", f"write {name} alone")
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
        # A placeholder: `sepcnn.config.json_schema` writes each table once, since layers may nest.
        if cls.is_root():
            return {"choice": cls.table.kind}
        return super().__get_pydantic_json_schema__(schema, handler)


def read_spec(cls: type[SpecType], node: Node, context: Context) -> SpecType:
    """Read a spec from a node tree.

    Errors: `ConfigError` with every problem of the whole tree, each at its place.
    """
    try:
        return cls.model_validate(node.plain(), context=context)
    except ValidationError as error:
        problems = []
        for detail in error.errors(include_url=False):
            path, details = detail["loc"], detail["ctx"]
            shown = path if details["at"] == "value" else path[:-1]
            if details["at"] == "value":
                location = node.locate(path)
            else:
                location = node.locate_key(path if details["at"] == "key" else shown)
            problems.append(Problem(detail["msg"], location, format_path(shown), details["hint"]))
        raise ConfigError(problems) from None


def to_plain(value: object) -> Any:
    """A spec as plain data that reads back as the same spec: every default explicit."""
    if isinstance(value, Spec):
        fields = {name: to_plain(getattr(value, name)) for name in type(value).model_fields}
        return {value.chosen_name: fields} if isinstance(value, Choice) else fields
    if isinstance(value, tuple | list):
        return [to_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)


def specs_in(annotation: object) -> type[Spec] | None:
    """The spec class that an annotation such as ``tuple[Layer, ...]`` or ``X | None`` is about."""
    if isinstance(annotation, type) and issubclass(annotation, Spec):
        return annotation
    found = (specs_in(argument) for argument in typing.get_args(annotation))
    return next((cls for cls in found if cls), None)
