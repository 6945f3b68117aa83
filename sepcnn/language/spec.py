"""Read nodes into typed specs, and report errors at their positions.

Wherever a config chooses something (a layer, an optimizer, a data set, …), it has three forms::

    Name                    every field has its default
    Name: value             the value of the first field
    Name: {field: value}    the values of the fields

A section (``train:``) is a `Spec`. Whatever is chosen by name is a `Choice`; its `Table` maps names
to classes. This module knows no entry of any table.
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
from sepcnn.language.python_syntax import hint_for

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

    @property
    def reads_file(self) -> bool:
        """Whether a file is read, not a stored config, whose values were checked before."""
        return self.folder.is_absolute()

    @staticmethod
    def of(info: ValidationInfo) -> Context:
        return info.context if isinstance(info.context, Context) else Context()


class Spec(BaseModel):
    """A frozen, typed description read from the config.

    Unknown keys are errors, and values are not converted to other types.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        validate_default=False,
    )

    elsewhere: ClassVar[Mapping[str, str]] = {}
    """hints for keys that users may expect here but that belong elsewhere"""

    @classmethod
    def own_fields(cls) -> list[str]:
        """The fields that are specific to this class. ``Name: value`` sets the first."""
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
        """Translate errors of pydantic here, where the class and its fields are known."""
        try:
            # An empty section, or one with all lines commented out, has all defaults.
            return handler({} if value is None else value)
        except ValidationError as error:
            raise translate_errors(cls, (), error) from None


class Table(Mapping[str, type["Choice"]]):
    """The table of one kind: name in a config → class.

    Keras has a second spelling of many names, as ``L2`` for ``l2``. Such a spelling can be looked
    up, but the table does not list it.
    """

    every: ClassVar[list[Table]] = []

    def __init__(self, kind: str, several: str = "keep one") -> None:
        """``several`` is the hint if a config gives several where one is expected."""
        self.kind, self.several = kind, several
        Table.every.append(self)
        self._entries: dict[str, type[Choice]] = {}
        self.spellings: dict[str, str] = {}
        """second spelling → name in the table"""

    def fill(self, entries: Mapping[str, type[Choice]]) -> None:
        """Fill the table. It is declared before its classes, since a block contains layers."""
        self._entries.update(entries)

    def accept(self, spellings: Mapping[str, str]) -> None:
        """Accept other spellings of names in the table."""
        self.spellings.update(spellings)

    def class_names(self) -> dict[str, str]:
        """The name of each class, as a spelling of its name in the table."""
        return {cls.__name__: self.name_of(cls) for cls in self.values()}

    def __getitem__(self, name: str) -> type[Choice]:
        return self._entries[self.spellings.get(name, name)]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def name_of(self, chosen: type[Choice]) -> str:
        return next(name for name, entry in self._entries.items() if entry is chosen)

    def read(self, value: object, info: ValidationInfo) -> Choice:
        """The spec that plain data in one of the three forms describes."""
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
            "write 'Name', 'Name: value' or 'Name: {field: value}'",
        )


def argument_names(name: str) -> list[str] | None:
    """The first arguments in Keras of what a config calls ``name``; None if it is unknown."""
    chosen = next((table[name] for table in Table.every if name in table), None)
    return chosen.own_fields()[: chosen.first_arguments] if chosen else None


class Choice(Spec):
    """A spec that is chosen by its name. The root class of each kind has the table."""

    table: ClassVar[Table]
    first_arguments: ClassVar[int] = 1
    """how many of the first fields are the first arguments in Keras, in the same order"""

    @classmethod
    def shorthand(cls, name: str) -> str:
        """The field that ``Name: value`` sets."""
        fields = cls.own_fields()
        if not fields:
            raise invalid(f"'{name}' takes no value", f"write {name} alone")
        return fields[0]

    @property
    def chosen_name(self) -> str:
        """The name in the table, as in a config."""
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
            details["hint"] = hint_for(detail, argument_names) or details["hint"]
            shown = path if details["at"] == "value" else path[:-1]
            if details["at"] == "value":
                location = node.locate(path)
            else:
                location = node.locate_key(path if details["at"] == "key" else shown)
            problems.append(Problem(detail["msg"], location, format_path(shown), details["hint"]))
        raise ConfigError(problems) from None


def to_plain(value: object) -> Any:
    """A spec as plain data with every default written out. Reading it gives the same spec."""
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
    """The spec class in an annotation such as ``tuple[Layer, ...]`` or ``X | None``."""
    if isinstance(annotation, type) and issubclass(annotation, Spec):
        return annotation
    found = (specs_in(argument) for argument in typing.get_args(annotation))
    return next((cls for cls in found if cls), None)
