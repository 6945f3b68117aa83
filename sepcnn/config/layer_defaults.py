"""``model.defaults``: fields for every layer with a given name that does not set them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Annotated, Any

from pydantic import PlainValidator, ValidationError, ValidationInfo, WithJsonSchema
from pydantic_core import InitErrorDetails, PydanticCustomError

from sepcnn.language.messages import invalid, quote, unknown_name
from sepcnn.language.spec import Context
from sepcnn.nn.layers import LAYERS

OF_ONE_LAYER = {"name", "inputs"}
"""fields that cannot have a default"""


def with_defaults(context: Context, defaults: object) -> Context:
    """The context for reading a config whose ``model.defaults`` are ``defaults``.

    Invalid fields are left out, so that each is reported once, at its own place.
    """
    if not isinstance(defaults, Mapping):
        return context
    given = {name: fields for name, fields in defaults.items() if isinstance(fields, Mapping)}
    # Layers inside a default, such as those of a Residual, have defaults as well.
    trial = replace(context, defaults=given)
    wrong = frozenset(
        (name, str(problem["loc"][1]))
        for name, fields in given.items()
        for problem in _problems(name, fields, trial)
        if len(problem["loc"]) > 1
    )
    valid = {
        name: {key: value for key, value in fields.items() if (name, key) not in wrong}
        for name, fields in given.items()
    }
    return replace(context, defaults=valid, invalid_defaults=wrong)


def _check_defaults(value: Any, info: ValidationInfo) -> dict[str, dict[str, Any]]:
    """Report what is wrong with ``model.defaults``, at its own place."""
    if not isinstance(value, dict):
        message = f"expected a mapping from layer names to fields, found {quote(value)}"
        raise invalid(message, "as in {Conv2D: {padding: same}}")
    context = Context.of(info)
    problems = [
        problem for name, fields in value.items() for problem in _problems(name, fields, context)
    ]
    if problems:
        raise ValidationError.from_exception_data("config", problems)
    return value


def _problems(name: str, fields: object, context: Context) -> Iterator[InitErrorDetails]:
    """What is wrong with ``name: {field: value, …}``, each at its place below the defaults."""
    if name not in LAYERS:
        error = unknown_name(f"unknown layer '{name}'", name, LAYERS)
        yield InitErrorDetails(type=error, loc=(name,), input=fields)
    elif not isinstance(fields, dict):
        hint = f"as in {name}: {{field: value}}; defaults have no short form"
        error = invalid(f"expected the fields of {name}, found {quote(fields)}", hint)
        yield InitErrorDetails(type=error, loc=(name,), input=fields)
    else:
        for key in sorted(OF_ONE_LAYER & fields.keys()):
            error = invalid(f"'{key}' cannot have a default", "write it in the layer itself")
            yield InitErrorDetails(type=error, loc=(name, key), input=fields[key])
        rest = {key: value for key, value in fields.items() if key not in OF_ONE_LAYER}
        try:
            LAYERS[name].model_validate(rest, context=context)
        except ValidationError as error:
            # A layer completes what its defaults leave out, so missing fields are no problem.
            for detail in error.errors(include_url=False):
                if detail["loc"] and detail["loc"][0] in rest:
                    yield InitErrorDetails(
                        type=PydanticCustomError("refused", "{message}", detail["ctx"]),
                        loc=(name, *detail["loc"]),
                        input=detail["input"],
                    )


Defaults = Annotated[
    dict[str, dict[str, Any]],
    PlainValidator(_check_defaults),
    WithJsonSchema({"type": "object"}),
]
