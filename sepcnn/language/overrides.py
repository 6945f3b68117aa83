"""``--set KEY=VALUE``: change a config in its text and in its node tree.

An override works for every form that the file may use. ``train.optimizer.rho`` changes
``optimizer: RMSprop`` (to ``{RMSprop: {rho: …}}``), ``{RMSprop: 0.01}``, ``{RMSprop: {…}}``, and
the default if the file has no optimizer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TypeGuard

from pydantic_core import PydanticCustomError

from sepcnn.errors import ConfigError, Location
from sepcnn.language.edit import graft, splice, to_yaml, yaml_scalar
from sepcnn.language.node import (
    FORBIDDEN,
    CommandLineText,
    KeyPath,
    Node,
    children,
    format_path,
    parse_path,
)
from sepcnn.language.spec import Choice, Spec, specs_in
from sepcnn.language.yaml_reader import config_error, parse


def apply_override(text: str, node: Node, override: str, cls: type[Spec]) -> tuple[str, Node]:
    """Apply ``KEY=VALUE``. Returns the new text and node. Errors: `ConfigError`."""
    shown = FORBIDDEN.sub("\ufffd", " ".join(override.splitlines()))
    place = Location(f"--set {shown}", 0, 0)
    key, equals, value = override.partition("=")
    if not equals or not re.match(r"\s*[^\s#]", value):
        hint = "as in --set train.epochs=20; null means no value"
        raise config_error("expected KEY=VALUE", place, hint)
    try:
        keys = parse_path(key.strip())
    except ValueError as error:
        raise config_error(str(error), place, "write it as in model.layers[3].filters") from None
    try:
        if found := _inside(cls, keys[0]):
            hint = f"did you mean {format_path((found, *keys))}?"
            raise config_error(f"unknown key '{keys[0]}'", None, hint)
        given = _on_one_line(value)
        path, value = _Target(given).into(node, cls, keys)
        # A value of the file in the short form becomes a field next to the new one.
        texts: set[str] = {text for text in _texts(node) if isinstance(text, CommandLineText)}
        texts |= _texts(parse(given, "value"))
        child = _relocated(parse(value, "value"), place, texts)
        return splice(text, path, value), graft(node, path, child)
    except ConfigError as error:
        problems = [replace(p, location=place) for p in error.problems]
        raise ConfigError(problems) from None


def _inside(cls: type[Spec], key: str | int) -> str | None:
    """The section with a key that the config itself does not have: ``train`` for ``epochs``."""
    if key in cls.model_fields:
        return None
    sections = {name: specs_in(field.annotation) for name, field in cls.model_fields.items()}
    return next((n for n, spec in sections.items() if spec and key in spec.model_fields), None)


def _on_one_line(value: str) -> str:
    """A value as YAML that is valid inside brackets."""
    node = parse(value, "value")
    if isinstance(node.value, str):
        return yaml_scalar(node.value)
    text = value[node.start : node.end]
    return f"{{{text}}}" if isinstance(node.value, dict) and text[0] != "{" else text


def _texts(node: Node) -> set[str]:
    """All values that are texts."""
    own = {node.value} if isinstance(node.value, str) else set()
    return own.union(*map(_texts, children(node)))


def _relocated(node: Node, place: Location, texts: set[str]) -> Node:
    """The same values, all with the same position; ``texts`` are marked as `CommandLineText`."""
    value = node.value
    if isinstance(value, str):
        value = CommandLineText(value) if value in texts else value
    elif isinstance(value, dict):
        value = {key: _relocated(child, place, texts) for key, child in value.items()}
    elif isinstance(value, list):
        value = [_relocated(child, place, texts) for child in value]
    return replace(node, value=value, location=place, keys=dict.fromkeys(node.keys, place))


@dataclass
class _Target:
    """Finds the value in a file that an override changes, for every form of a choice."""

    value: str
    path: list[str | int] = field(default_factory=list)

    def into(self, node: Node, cls: type[Spec] | None, keys: KeyPath) -> tuple[KeyPath, str]:
        """The path in the file, and the YAML text to write there."""
        if not keys:
            return tuple(self.path), self.value
        first, *rest = keys
        if isinstance(node.value, list) and node.child(first) is None:
            raise self._nothing(first, f"a list of {len(node.value)}", len(node.value))
        if isinstance(first, str) and cls and _is_choice(cls):
            return self._into_choice(node, cls, keys)
        if isinstance(node.value, bool | int | float | str):
            raise self._nothing(first, "a single value")
        if isinstance(first, int) and not isinstance(node.value, list):
            raise self._nothing(first, "not a list")
        inner, default = _field(cls, first)
        child = node.child(first)
        if child is None:
            return (*self.path, first), self._nested(inner, default, tuple(rest))
        self.path.append(first)
        return self.into(child, inner, tuple(rest))

    def _into_choice(self, node: Node, cls: type[Choice], keys: KeyPath) -> tuple[KeyPath, str]:
        if isinstance(node.value, str):
            name, content = node.value, None
        elif isinstance(node.value, dict) and len(node.value) == 1:
            name, content = next(iter(node.value.items()))
        else:
            # Not a valid choice: reading the result reports the problem.
            return (*self.path, keys[0]), self._nested(None, None, keys[1:])
        chosen = cls.table.get(name)
        if keys[0] == name or (chosen and cls.table.get(str(keys[0])) is chosen):
            keys = keys[1:]
        elif keys[0] in cls.table:
            where = format_path(tuple(self.path))
            hint = f"choose it with --set '{where}={{{keys[0]}: {{field: value}}}}'"
            raise config_error(f"{where} is {name}, not {keys[0]}", None, hint)
        if content is None:
            return tuple(self.path), f"{{{yaml_scalar(name)}: {self._nested(chosen, None, keys)}}}"
        self.path.append(name)
        if content.value is None or isinstance(content.value, dict) or chosen is None or not keys:
            return self.into(content, chosen, keys)
        try:
            first = chosen.shorthand(name)
        except PydanticCustomError as error:
            raise config_error(error.message(), None, (error.context or {})["hint"]) from None
        if keys[0] == first:
            # Keep the form ``Name: value``.
            return self.into(content, _field(chosen, first)[0], keys[1:])
        fields = self._nested(chosen, None, keys).removeprefix("{")
        return tuple(self.path), f"{{{first}: {to_yaml(content.plain())}, {fields}"

    def _nested(self, cls: type[Spec] | None, default: object, keys: KeyPath) -> str:
        """The value, nested in keys that the file does not have yet."""
        if not keys:
            return self.value
        first, *rest = keys
        if isinstance(first, int):
            hint = "as in --set 'data.augment=[RandomFlip]'"
            raise config_error(
                "a list that is not in the file can only be set as a whole", None, hint
            )
        if isinstance(default, Choice) and first not in default.table:
            return f"{{{default.chosen_name}: {self._nested(type(default), None, keys)}}}"
        inner, default = _field(cls, first)
        if cls and _is_choice(cls):
            inner = cls.table.get(first)
        return f"{{{yaml_scalar(first)}: {self._nested(inner, default, tuple(rest))}}}"

    def _nothing(self, part: str | int, found: str, length: int = 0) -> ConfigError:
        where = format_path(tuple(self.path)) or "the config"
        place = format_path((*self.path, part))
        hint = f"set {where} as a whole"
        if length:
            last = format_path((*self.path, length - 1))
            hint = f"its last item is {last}"
        return config_error(f"there is no {place}: {where} is {found}", None, hint)


def _is_choice(cls: type[Spec]) -> TypeGuard[type[Choice]]:
    """Whether ``cls`` is the root of a kind, chosen by the names of its table."""
    return issubclass(cls, Choice) and cls.is_root()


def _field(cls: type[Spec] | None, key: str | int) -> tuple[type[Spec] | None, object]:
    """The spec class of a field of ``cls``, and its default. A list item has class ``cls``."""
    if isinstance(key, int) or cls is None or key not in cls.model_fields:
        return cls if isinstance(key, int) else None, None
    found = cls.model_fields[key]
    return specs_in(found.annotation), found.get_default()
