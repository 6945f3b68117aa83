"""Python in a config: what to write in YAML. Only hints of errors depend on it."""

from __future__ import annotations

import ast
import operator
import re
import warnings
from collections.abc import Callable, Sequence

from pydantic_core import ErrorDetails

from sepcnn.language.edit import to_yaml
from sepcnn.language.yaml_reader import resolve

ArgumentNames = Callable[[str], Sequence[str] | None]
"""name of something that a config chooses → its first arguments in Keras; None if it is unknown"""

MAX_LENGTH = 1000
"""characters; no hint is needed for longer texts, and parsing them may take long"""
_MODULES = {"K", "keras", "tf", "tensorflow", "nn", "layers", "torch", "np", "numpy", "jax", "F"}
_MODULES |= {"activations", "constraints", "initializers", "losses", "optimizers", "regularizers"}
_OPERATORS: dict[type[ast.AST], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Pow: operator.pow,
}
LARGEST = 10**9
"""of the numbers in a calculation, so that a power does not take forever"""
_STRING_PREFIX = re.compile(r"[fFbBrRuU]{1,2}[\"']")
_KEYWORD = re.compile(r"([A-Za-z_]\w*)\s*=(?!=)\s*(\S.*)")
_THOUSANDS = re.compile(r"[-+]?[1-9][0-9]{0,2}(?:,[0-9]{3})+")
_DECIMAL_COMMA = re.compile(r"([-+]?[0-9]+),([0-9]+)")
_PERCENT = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?%")
_SIZES = re.compile(r"[0-9]+(?:(?:\s*[x×*]\s*|\s+)[0-9]+)+")


def hint_for(detail: ErrorDetails, argument_names: ArgumentNames) -> str:
    """The hint for an error about a value that is written as in Python; else an empty text."""
    path, message, value = detail["loc"], detail["msg"], detail["input"]
    if detail["ctx"]["at"] == "parent" or "duration" in message or "% of the run" in message:
        return ""  # a duration is a text
    if isinstance(value, str) and (found := _plain_python(value, argument_names)):
        value = found[0] if isinstance(found[0], list) else value
    expected = message.partition(", found")[0]
    takes_list = not expected.startswith("expected ") or "list" in expected or "[" in expected
    if isinstance(value, list) and len(path) > 1 and not takes_list:
        name, names = str(path[-2]), argument_names(str(path[-2])) or ()
        if [path[-1]] == [*names[:1]] and 1 < len(value) <= len(names):
            fields = to_yaml(dict(zip(names, value, strict=False)))
            return f"a list is the value of {names[0]} alone: write {name}: {fields}"
    wrong = path[-1] if detail["ctx"]["at"] == "key" else detail["input"]
    if not isinstance(wrong, str):
        return ""
    in_list = len(path) > 1 and isinstance(path[-2], int)
    return python_hint(wrong, argument_names, in_list=in_list)


def python_hint(
    text: str, argument_names: ArgumentNames = lambda name: None, *, in_list: bool = False
) -> str:
    """What to write in place of a value that is Python, or is written as for Python; else "".

    ``in_list``: the value is an item of a list, where a mapping needs no braces.
    """
    text = text.strip()
    if not text or len(text) > MAX_LENGTH:
        return ""
    if text == "None":
        return "None of Python is null in YAML; leave the key out for its default"
    if _STRING_PREFIX.match(text):
        return "strings of Python with a prefix do not exist in YAML: write the text itself"
    if re.match(r"lambda\b", text):
        return "a config cannot contain functions of Python"
    if _THOUSANDS.fullmatch(text):
        return f"write {text.replace(',', '')}"
    if comma := _DECIMAL_COMMA.fullmatch(text):
        pair = f"[{comma[1]}, {int(comma[2])}]"
        return f"write {comma[1]}.{comma[2]}, or {pair} if these are two numbers"
    if percent := _PERCENT.fullmatch(text):
        return f"write {float(percent[1]) / 100:g}"
    if re.search(r"[x×\s]", text) and _SIZES.fullmatch(text):
        return f"write [{', '.join(re.findall('[0-9]+', text))}]"
    if text.endswith(",") and "," not in text[:-1]:
        return f"delete the comma: write {text[:-1].rstrip()}"
    if text[0] in "[{" or _is_not_text(text):
        return f"write {text} without quotes"
    if keyword := _KEYWORD.fullmatch(text):
        return _keyword_hint(keyword[1], keyword[2].rstrip(","), argument_names)
    found = _plain_python(text, argument_names)
    if found is None or to_yaml(found[0]) == text:
        return ""
    shown = to_yaml(found[0])
    one_entry = isinstance(found[0], dict) and len(found[0]) == 1
    return f"write {shown[1:-1] if one_entry and in_list else shown}"


def _keyword_hint(name: str, value: str, argument_names: ArgumentNames) -> str:
    """What to write for ``name=value``, or for several of them."""
    try:
        call = _parsed(f"f({name}={value})")
        assert isinstance(call, ast.Call)
        fields = {
            keyword.arg or "**": _value(keyword.value, argument_names) for keyword in call.keywords
        }
    except (SyntaxError, ValueError, TypeError, ArithmeticError, RecursionError, MemoryError):
        fields = {name: value}
    shown = to_yaml(fields)
    if "=" in shown:
        return "write each name=value as 'name: value' on its own line"
    return f"write '{shown[1:-1]}'" if len(fields) == 1 else f"write {shown}"


def _is_not_text(text: str) -> bool:
    """Whether a text without quotes is a number, true, false or null."""
    try:
        return not isinstance(resolve(text), str)
    except OverflowError:
        return False


def _parsed(text: str) -> ast.expr:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "1if" and other doubtful Python
        return ast.parse(text, mode="eval").body


def _plain_python(text: str, argument_names: ArgumentNames) -> tuple[object] | None:
    """The value of an expression as plain data, in a tuple; None if it is not clear or a name."""
    try:
        tree = _parsed(text)
        return None if isinstance(tree, ast.Name) else (_value(tree, argument_names, top=True),)
    except (SyntaxError, ValueError, TypeError, ArithmeticError, RecursionError, MemoryError):
        return None


def _value(node: ast.expr, argument_names: ArgumentNames, top: bool = False) -> object:
    """Plain data for an expression. Errors: ValueError if there is none, ArithmeticError."""
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float | str | None):
        return node.value
    if isinstance(node, ast.Tuple | ast.List):
        return [_value(item, argument_names) for item in node.elts]
    if isinstance(node, ast.Dict):
        keys = [key.value for key in node.keys if isinstance(key, ast.Constant)]
        if len(keys) == len(node.keys) and all(isinstance(key, str) for key in keys):
            values = [_value(item, argument_names) for item in node.values]
            return dict(zip(keys, values, strict=True))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_number(node.operand, argument_names)
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        sides = _number(node.left, argument_names), _number(node.right, argument_names)
        if isinstance(node.op, ast.Pow) and abs(sides[1]) > 64:
            raise ValueError
        result = _OPERATORS[type(node.op)](*sides)
        if isinstance(node.op, ast.Div) and not result.is_integer():
            raise ValueError  # a fraction is valid where a number is
        return int(result) if isinstance(node.op, ast.Div) else result
    if isinstance(node, ast.Name) and not top:
        return node.id
    if isinstance(node, ast.Attribute) and _root(node) in _MODULES:
        return node.attr
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
        return _call(node, argument_names)
    raise ValueError


def _number(node: ast.expr, argument_names: ArgumentNames) -> float:
    value = _value(node, argument_names)
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > LARGEST:
        raise ValueError
    return value


def _root(node: ast.Attribute) -> str:
    inner = node.value
    return _root(inner) if isinstance(inner, ast.Attribute) else getattr(inner, "id", "")


def _call(node: ast.Call, argument_names: ArgumentNames) -> object:
    """``Dense(10, activation="relu")`` as ``{Dense: {units: 10, activation: relu}}``."""
    assert isinstance(node.func, ast.Name | ast.Attribute)
    name = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id
    names = argument_names(name)
    if names is None or len(node.args) > len(names):
        raise ValueError
    given = [_value(argument, argument_names) for argument in node.args]
    fields = dict(zip(names, given, strict=False))
    for keyword in node.keywords:
        if keyword.arg is None:
            raise ValueError
        fields[keyword.arg] = _value(keyword.value, argument_names)
    if not fields:
        return name
    return {name: given[0] if given and len(fields) == 1 else fields}
