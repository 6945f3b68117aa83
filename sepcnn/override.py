"""``--set KEY=VALUE``: an override of the config, as an edit of its text and of its tree.

An override means the same whatever form the file chose: ``train.optimizer.rho`` reaches
``optimizer: RMSprop`` (which becomes ``{RMSprop: {rho: …}}``), ``{RMSprop: 0.01}``,
``{RMSprop: {…}}``, and the default where nothing is written.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace

from sepcnn.edit import graft, splice
from sepcnn.errors import ConfigError, Location, Problem
from sepcnn.node import KeyPath, Node, format_path, parse_path
from sepcnn.source import parse
from sepcnn.spec import Choice, Spec, specs_in


def apply_override(text: str, node: Node, override: str, cls: type[Spec]) -> tuple[str, Node]:
    """The text and its node with ``KEY=VALUE`` applied. Errors: `ConfigError`."""
    name = f"--set {override}"
    place = Location(name, 0, 0)
    key, equals, value = override.partition("=")
    if not equals or not value.strip():
        hint = "as in --set train.epochs=20; null stands for no value"
        raise ConfigError([Problem("expected KEY=VALUE", place, hint=hint)])
    try:
        keys = parse_path(key.strip())
    except ValueError as error:
        raise ConfigError([Problem(str(error), place)]) from None
    try:
        parsed = parse(value, name)
        if isinstance(parsed.value, str):
            value = json.dumps(parsed.value, ensure_ascii=False)
        path, value = _Reach(value).into(node, cls, keys)
        child = _relocated(parse(value, name), place)
        return splice(text, path, value), graft(node, path, child)
    except ConfigError as error:
        problems = [replace(p, location=place) for p in error.problems]
        raise ConfigError(problems) from None


def _relocated(node: Node, place: Location) -> Node:
    """The same values, all standing at one place."""
    value = node.value
    if isinstance(value, dict):
        value = {key: _relocated(child, place) for key, child in value.items()}
    elif isinstance(value, list):
        value = [_relocated(child, place) for child in value]
    return replace(node, value=value, location=place, keys=dict.fromkeys(node.keys, place))


@dataclass
class _Reach:
    """Finds the place in a file that an override means, whatever form the choices there have.

    ``train.optimizer.rho`` reaches ``optimizer: RMSprop`` (which becomes ``{RMSprop: {rho: …}}``),
    ``{RMSprop: 0.01}``, ``{RMSprop: {…}}``, and the default where nothing is written.
    """

    value: str
    path: list[str | int] = field(default_factory=list)

    def into(self, node: Node, cls: type[Spec] | None, keys: KeyPath) -> tuple[KeyPath, str]:
        """The path in the file and the YAML text to put there."""
        if not keys:
            return tuple(self.path), self.value
        if cls and issubclass(cls, Choice) and cls.is_root() and not isinstance(keys[0], int):
            return self._into_choice(node, cls, keys)
        child = node.child(keys[0])
        inner = specs_in(cls.model_fields[keys[0]].annotation) if _has(cls, keys[0]) else None
        inner = cls if isinstance(keys[0], int) else inner
        if child is None:
            if isinstance(keys[0], int) or isinstance(node.value, str | int | float | list):
                where = format_path(tuple(self.path)) or "the config"
                place = format_path((*self.path, keys[0]))
                length = len(node.value) if isinstance(node.value, list) else 0
                kind = f"a list of {length}" if isinstance(node.value, list) else "a single value"
                message = f"there is no {place}: {where} is {kind}"
                raise ConfigError([Problem(message)])
            default = cls.model_fields[keys[0]].get_default() if _has(cls, keys[0]) else None
            return (*self.path, keys[0]), self._nested(inner, default, keys[1:])
        self.path.append(keys[0])
        return self.into(child, inner, keys[1:])

    def _into_choice(self, node: Node, cls: type[Choice], keys: KeyPath) -> tuple[KeyPath, str]:
        if isinstance(node.value, str):
            name, content = node.value, None
        elif isinstance(node.value, dict) and len(node.value) == 1:
            name, content = next(iter(node.value.items()))
        else:
            # Not a choice at all: reading the result tells what is wrong with it.
            return (*self.path, keys[0]), self._nested(None, None, keys[1:])
        chosen = cls.table.get(name)
        keys = keys[1:] if keys[0] == name else keys
        if content is not None:
            self.path.append(name)
        if content is not None and isinstance(content.value, dict):
            return self.into(content, chosen, keys)
        fields = self._nested(chosen, None, keys)
        if content is None:
            return tuple(self.path), f"{{{name}: {fields}}}" if keys else self.value
        if content.value is not None and chosen and keys:
            first = json.dumps(content.plain(), ensure_ascii=False)
            fields = f"{{{chosen.shorthand(name)}: {first}, {fields.removeprefix('{')}"
        return tuple(self.path), fields

    def _nested(self, cls: type[Spec] | None, default: object, keys: KeyPath) -> str:
        """The value below keys that the file does not have yet."""
        if not keys:
            return self.value
        if isinstance(default, Choice) and keys[0] != default.chosen_name:
            return f"{{{default.chosen_name}: {self._nested(type(default), None, keys)}}}"
        inner = specs_in(cls.model_fields[keys[0]].annotation) if _has(cls, keys[0]) else None
        default = cls.model_fields[keys[0]].get_default() if _has(cls, keys[0]) else None
        key = json.dumps(keys[0]) if isinstance(keys[0], str) else keys[0]
        return f"{{{key}: {self._nested(inner, default, keys[1:])}}}"


def _has(cls: type[Spec] | None, key: str | int) -> bool:
    return cls is not None and key in cls.model_fields
