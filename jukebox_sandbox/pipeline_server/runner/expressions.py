"""The expressions in a compiled pipeline: the conditions and selectors that KFP's compiler writes, and no others.

They are CEL (https://cel.dev), of which the compiler uses comparisons of parameters and constants, ``!``, ``&&`` and
``||``, ``int()`` and ``double()``; and ``parseJson(string_value)["key"]`` to take one field of a loop's item.
"""

import json
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from jukebox_sandbox.pipeline_server.runner.values import kind_of, text_of

TOKEN = re.compile(
    r"\s*(?:(?P<parameter>inputs\.parameter_values\['(?P<name>[^']*)'\])"
    r"|(?P<number>-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)"
    r"|(?P<string>'[^'\\]*'|\"[^\"\\]*\")"
    r"|(?P<word>true\b|false\b|null\b|int\b|double\b)"
    r"|(?P<sign>&&|\|\||==|!=|<=|>=|<|>|!|\(|\)))",
    re.IGNORECASE,
)
SELECTOR = re.compile(r"parseJson\(string_value\)((?:\[\"(?:[^\"\\]|\\.)*\"\])+)$")
FIELD = re.compile(r"\[(\"(?:[^\"\\]|\\.)*\")\]")
COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}

Evaluated = Callable[[dict[str, Any]], Any]


class WrongExpression(Exception):
    """An expression that cannot be read, or that has no value for these parameters."""


@dataclass
class _Reader:
    """Reads an expression from left to right, loosest binding first."""

    text: str
    tokens: list[tuple[str, str]]
    place: int = 0

    def next(self, *wanted: str) -> str:
        """The next token if it is one of those that are wanted; else nothing, and it stays."""
        if self.place < len(self.tokens) and self.tokens[self.place][1] in wanted:
            self.place += 1
            return self.tokens[self.place - 1][1]
        return ""

    def need(self, wanted: str) -> None:
        if not self.next(wanted):
            raise WrongExpression(f"{wanted!r} is missing in {self.text!r}")

    def any_of(self) -> Evaluated:
        parts = [self.all_of()]
        while self.next("||"):
            parts.append(self.all_of())
        return parts[0] if len(parts) == 1 else lambda given: any(_bool(part(given)) for part in parts)

    def all_of(self) -> Evaluated:
        parts = [self.comparison()]
        while self.next("&&"):
            parts.append(self.comparison())
        return parts[0] if len(parts) == 1 else lambda given: all(_bool(part(given)) for part in parts)

    def comparison(self) -> Evaluated:
        left = self.operand()
        if not (sign := self.next(*COMPARISONS)):
            return left
        right = self.operand()
        return lambda given: _compare(sign, left(given), right(given))

    def operand(self) -> Evaluated:
        if self.next("!"):
            inner = self.operand()
            return lambda given: not _bool(inner(given))
        if self.next("("):
            inner = self.any_of()
            self.need(")")
            return inner
        if function := self.next("int", "double"):
            self.need("(")
            inner = self.any_of()
            self.need(")")
            return lambda given: _number(function, inner(given))
        if self.place >= len(self.tokens):
            raise WrongExpression(f"{self.text!r} ends too early")
        kind, token = self.tokens[self.place]
        self.place += 1
        if kind == "parameter":
            return lambda given: _lookup(given, token)
        constants = {"true": True, "false": False, "null": None}
        if kind not in ("number", "string", "word") or (kind == "word" and token not in constants):
            raise WrongExpression(f"{token!r} is not expected in {self.text!r}")
        value = constants[token] if kind == "word" else token[1:-1] if kind == "string" else json.loads(token)
        return lambda given: value


def condition(text: str) -> Callable[[dict[str, Any]], bool]:
    """Read the condition of a trigger policy.

    Args:
        text: The expression.

    Returns:
        A function: given the task's parameters, whether the task runs. It raises WrongExpression where it has no value.

    Raises:
        WrongExpression: If it is none that KFP's compiler writes.
    """
    tokens, place = [], 0
    stripped = text.rstrip()
    while place < len(stripped):
        if not (match := TOKEN.match(stripped, place)):
            raise WrongExpression(f"{stripped[place : place + 40]!r} is not expected in {text!r}")
        place = match.end()
        kind = str(match.lastgroup if match.lastgroup != "name" else "parameter")
        tokens.append((kind, match["name"] if match["parameter"] else match[kind]))
    reader = _Reader(text, tokens)
    evaluated = reader.any_of()
    if reader.place != len(tokens):
        raise WrongExpression(f"{tokens[reader.place][1]!r} is not expected in {text!r}")
    return lambda given: _bool(evaluated(given))


def fields(selector: str) -> list[str]:
    """The fields that a selector takes one after the other; WrongExpression if it is none that the compiler writes."""
    if not (match := SELECTOR.match(selector)):
        raise WrongExpression(f"{selector!r} is not a selector that KFP's compiler writes")
    return [json.loads(field) for field in FIELD.findall(match[1])]


def select(value: Any, selector: str) -> Any:
    """One field of a value.

    Args:
        value: The value, or its JSON text.
        selector: The expression.

    Returns:
        The field's value.

    Raises:
        WrongExpression: If there is no such field.
    """
    try:
        found = json.loads(text_of(value))
        for field in fields(selector):
            found = found[field]
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise WrongExpression(f"{selector}: {type(error).__name__}: {error}") from None
    return found


def _bool(value: Any) -> bool:
    if not isinstance(value, bool):
        raise WrongExpression(f"{value!r} is neither true nor false")
    return value


def _lookup(given: dict[str, Any], name: str) -> Any:
    if name not in given:
        raise WrongExpression(f"no such key: {name}")
    return given[name]


def _number(function: str, value: Any) -> int | float:
    try:
        if kind_of(value) not in ("number", "string"):
            raise ValueError(f"{function}() of a {kind_of(value)}")
        return int(value) if function == "int" else float(value)
    except ValueError as error:
        raise WrongExpression(str(error)) from None


def _compare(sign: str, left: Any, right: Any) -> bool:
    if kind_of(left) != kind_of(right):
        if sign in ("==", "!="):
            return sign == "!="
        raise WrongExpression(f"no such overload: {kind_of(left)} {sign} {kind_of(right)}")
    if sign not in ("==", "!=") and kind_of(left) not in ("number", "string", "bool"):
        raise WrongExpression(f"no such overload: {kind_of(left)} {sign} {kind_of(right)}")
    return COMPARISONS[sign](left, right)
