"""Error messages about values of a config, each with a hint.

Validators raise what `invalid` and `unknown_name` return. `translate_errors` words the errors of
pydantic in the same way.
"""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from typing import Literal

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

from sepcnn.language.characters import look_alike
from sepcnn.language.descriptions import field_descriptions
from sepcnn.language.edit import to_yaml
from sepcnn.language.node import UNSAFE_TO_SHOW

LONGEST_SHOWN = 60
LONG_NUMBER = 12
"""characters from which a number is shown as the fraction that it was given as"""


def invalid(message: str, hint: str = "") -> PydanticCustomError:
    """The error for a validator to raise: what is wrong with the value, and what to do."""
    return _refusal(message, hint, at="value")


def unknown_name(message: str, name: str, known: Iterable[str]) -> PydanticCustomError:
    """The error for an unknown key or name. The hint is the closest known name, if there is one."""
    choices = sorted(known)
    hint = f"known: {', '.join(choices)}" if choices else "it takes no fields"
    before_colon = name.partition(":")[0]
    if before_colon != name and before_colon in choices:
        hint = f"write a space after the colon of '{before_colon}:'"
    elif latin := look_alike(name, choices):
        hint = f"write '{latin[0]}': {latin[1]}"
    elif near := nearest(name, choices):
        hint = f"did you mean '{near}'?"
    return _refusal(message, hint, at="key")


def _refusal(message: str, hint: str, at: Literal["value", "key", "parent"]) -> PydanticCustomError:
    """``at`` selects the position to show: the value, its key, or the parent of the value."""
    context = {"message": message, "hint": hint, "at": at}
    return PydanticCustomError("refused", "{message}", context)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that the user probably meant."""
    choices = {choice.lower(): choice for choice in known}
    near = difflib.get_close_matches(name.lower(), choices, n=1)
    return choices[near[0]] if near else None


def quote(value: object) -> str:
    """A value as error messages quote it: short, and as YAML."""
    if value is None:
        return "nothing"
    if isinstance(value, str):
        text = f"'{value}'" if value.isprintable() else json.dumps(value, ensure_ascii=False)
        text = UNSAFE_TO_SHOW.sub("\ufffd", text)
    else:
        text = _as_fraction(value) or to_yaml(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[: LONGEST_SHOWN - 3]}…"


def _as_fraction(value: object) -> str:
    """A number that was given as a fraction, such as 4/3; else an empty text."""
    if not isinstance(value, float) or not math.isfinite(value) or len(str(value)) < LONG_NUMBER:
        return ""
    fraction = Fraction(value).limit_denominator(1000)
    return f"{fraction}" if float(fraction) == value else ""


# ── pydantic's errors ─────────────────────────────────────────────────────────────────────────


def error_at(error: PydanticCustomError, path: tuple[str | int, ...], value: object) -> Exception:
    """An error at ``path`` below the value that is being read."""
    details = InitErrorDetails(type=error, loc=path, input=value)
    return ValidationError.from_exception_data("config", [details])


def translate_errors(
    cls: type[BaseModel],
    path: tuple[str | int, ...],
    error: ValidationError,
    unless: Callable[[ErrorDetails], bool] = lambda detail: False,
) -> ValidationError:
    """The errors of reading a ``cls`` at ``path`` with our messages, except those to leave out."""
    details = error.errors(include_url=False)
    found = [detail for detail in details if not (_follows(detail) or unless(detail))]
    misspelt = {nearest(str(d["loc"][-1]), cls.model_fields) for d in found if _extra(d)}
    return ValidationError.from_exception_data(
        "config",
        [
            InitErrorDetails(
                type=_translate(cls, detail), loc=path + detail["loc"], input=detail["input"]
            )
            for detail in found
            # The error for the misspelt key is enough.
            if not (detail["type"] == "missing" and detail["loc"][-1] in misspelt)
        ],
    )


def _extra(detail: ErrorDetails) -> bool:
    return detail["type"] == "extra_forbidden"


def _follows(detail: ErrorDetails) -> bool:
    """Whether an error only follows from another: pydantic drops wrong items of a list, and then
    calls the list too short.
    """
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
_BOUNDS = {
    "greater_than": ("above", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("below", "lt"),
    "less_than_equal": ("at most", "le"),
}


def _translate(cls: type[BaseModel], detail: ErrorDetails) -> PydanticCustomError:
    kind, value, context = detail["type"], detail["input"], detail.get("ctx", {})
    about = _about(cls, detail)
    if kind == "refused":
        return PydanticCustomError(
            "refused", "{message}", {**context, "hint": context["hint"] or about}
        )
    if kind == "extra_forbidden":
        name = str(detail["loc"][-1])
        error = unknown_name(f"unknown key '{name}'", name, cls.model_fields)
        elsewhere: Mapping[str, str] = getattr(cls, "elsewhere", {})
        return _refusal(error.message(), elsewhere[name], "key") if name in elsewhere else error
    if kind == "missing":
        return _refusal(f"'{detail['loc'][-1]}' is required", about, at="parent")
    if kind in _EXPECTED:
        hint = _type_hint(cls, _EXPECTED[kind], value) or about
        return invalid(f"expected {_EXPECTED[kind]}, found {quote(value)}", hint)
    if kind == "literal_error":
        expected = str(context["expected"]).replace("'", "")
        options = [option.strip() for option in expected.replace(" or ", ", ").split(",")]
        near = difflib.get_close_matches(str(value), options, n=1)
        hint = f"did you mean '{near[0]}'?" if near else about
        if latin := look_alike(str(value), options):
            hint = f"write '{latin[0]}': {latin[1]}"
        return invalid(f"expected one of {', '.join(options)}; found {quote(value)}", hint)
    if kind in _BOUNDS:
        words, key = _BOUNDS[kind]
        return invalid(f"must be {words} {context[key]:g}, found {quote(value)}", about)
    if kind in {"too_short", "too_long"}:
        limit = context.get("min_length", context.get("max_length"))
        than = "at least" if kind == "too_short" else "at most"
        items = "item" if limit == 1 else "items"
        return invalid(f"expected {than} {limit} {items}, found {context['actual_length']}", about)
    message = str(context["error"]) if "error" in context else detail["msg"]
    return invalid(message[:1].lower() + message[1:], about)


def _about(cls: type[BaseModel], detail: ErrorDetails) -> str:
    """The description of the field, unless the error is inside its value."""
    field, *inside = detail["loc"] or ("",)
    if field not in cls.model_fields or not all(isinstance(part, int) for part in inside):
        return ""
    description = " ".join(field_descriptions(cls).get(str(field), "").split()).replace("``", "'")
    return f"{field}: {description}" if description else ""


def _type_hint(cls: type[BaseModel], expected: str, value: object) -> str:
    """How to write the value, if the intention is clear."""
    if expected == "true or false" and isinstance(value, str):
        words = {"yes": "true", "on": "true", "y": "true", "no": "false", "off": "false"}
        word = words.get(value.lower())
        return f"write {word}; YAML 1.2 has only true and false" if word else ""
    if expected == "a list":
        if isinstance(value, Mapping) or value is None:
            return "write each item on its own line, after '- '"
        return f"write it as a list: [{to_yaml(value)}]"
    if expected == "a mapping of fields":
        return f"write its fields below it: {', '.join(cls.model_fields)}"
    return ""
