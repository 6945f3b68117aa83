"""``model.defaults``: fields for every layer of a name that does not say otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import PlainValidator, ValidationError, ValidationInfo, WithJsonSchema
from pydantic_core import InitErrorDetails, PydanticCustomError

from sepcnn.language.messages import refuse, show, unknown
from sepcnn.language.spec import Context
from sepcnn.nn.layers import LAYERS

OF_ONE_LAYER = {"name", "inputs"}


def _defaults(value: Any, info: ValidationInfo) -> dict[str, dict[str, Any]]:
    """Check ``model.defaults`` at their own place, and hand them to the layers read after."""
    if not isinstance(value, dict):
        message = f"expected a mapping of layer names, found {show(value)}"
        raise refuse(message, "as in Conv2D: {padding: same}")
    context, problems = Context.of(info), []
    for name, fields in value.items():
        found = [*_problems_of_default(name, fields, info)]
        wrong = {str(problem["loc"][1]) for problem in found if len(problem["loc"]) > 1}
        if isinstance(fields, dict):
            context.defaults[name] = {k: v for k, v in fields.items() if k not in wrong}
        context.refused_defaults |= {(name, key) for key in wrong}
        problems += found
    if problems:
        raise ValidationError.from_exception_data("config", problems)
    return value


def _problems_of_default(
    name: str, fields: object, info: ValidationInfo
) -> Iterator[InitErrorDetails]:
    """What is wrong with ``name: {field: value, …}``, each at its place below the defaults."""
    if name not in LAYERS:
        error = unknown(f"unknown layer '{name}'", name, LAYERS)
        yield InitErrorDetails(type=error, loc=(name,), input=fields)
    elif not isinstance(fields, dict):
        hint = f"as in {name}: {{field: value}}; defaults have no short form"
        error = refuse(f"expected the fields of {name}, found {show(fields)}", hint)
        yield InitErrorDetails(type=error, loc=(name,), input=fields)
    else:
        for key in sorted(OF_ONE_LAYER & fields.keys()):
            error = refuse(f"'{key}' cannot have a default", "write it in the layer itself")
            yield InitErrorDetails(type=error, loc=(name, key), input=fields[key])
        rest = {key: value for key, value in fields.items() if key not in OF_ONE_LAYER}
        try:
            LAYERS[name].model_validate(rest, context=info.context)
        except ValidationError as error:
            # What the defaults leave out, or say only in part, is each layer's own to complete.
            for detail in error.errors(include_url=False):
                if detail["loc"] and detail["loc"][0] in rest:
                    yield InitErrorDetails(
                        type=PydanticCustomError("refused", "{message}", detail["ctx"]),
                        loc=(name, *detail["loc"]),
                        input=detail["input"],
                    )


Defaults = Annotated[
    dict[str, dict[str, Any]], PlainValidator(_defaults), WithJsonSchema({"type": "object"})
]
