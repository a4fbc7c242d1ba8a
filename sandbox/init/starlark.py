"""Reads the calls of a Starlark file with what their arguments are, as far as its text says, without running it.

Starlark's grammar is a part of Python's, so `ast` reads it (github.com/bazelbuild/starlark, spec.md). What depends on
anything else is UNKNOWN: variables of the environment, programs, answers of functions that are not given.
"""

from __future__ import annotations

import ast
import posixpath
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

MOST_STEPS, MOST_DEPTH, LONGEST = 20_000, 20, 10_000
UNKNOWN = object()


class Unreadable(ValueError):
    """The text is no Starlark, or would take too long."""


@dataclass(frozen=True)
class Call:
    """A call of the function `name`, such as `docker_build` or `os.path.join`, in a line of the file."""

    name: str
    args: tuple[Any, ...]
    named: Mapping[str, Any]
    line: int

    def bound(self, *names: str) -> dict[str, Any]:
        """Return the arguments by their names; the function takes the first ones in this order."""
        return {**dict(zip(names, self.args, strict=False)), **self.named}


def listed(value: Any) -> list[Any]:
    """Return the values of an argument that may be a list, or one of them."""
    return value if isinstance(value, list) else [] if value in (None, "", UNKNOWN) else [value]


Function = Callable[[Call], Any]


def calls(
    text: str,
    known: Mapping[str, Any],
    functions: Mapping[str, Function],
    module: Callable[[Any], str | None] = lambda _: None,
) -> Iterator[Call]:
    """Yield the calls that are statements, in the order in which they run.

    For an `if` or `for` about something UNKNOWN this is a call of that name, with the functions in it as arguments.
    `known` are values by their dotted names, `functions` those that return one; `module` returns the text of one that
    is loaded by a name, if it is there. Raises Unreadable.
    """
    try:
        with suppress(_Left):
            yield from _Reader(functions, module).run(_parsed(text), dict(known))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise Unreadable(str(error)) from error


def _parsed(text: str) -> list[ast.stmt]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of texts that Starlark reads in another way, such as "\\d"
        return ast.parse(text).body


class _Left(Exception):
    """A loop or function is left by this statement."""

    def __init__(self, by: ast.stmt) -> None:
        self.by = by


class _Reader:
    def __init__(self, functions: Mapping[str, Function], module: Callable[[Any], str | None]) -> None:
        self._functions = functions
        self._module = module
        self._own: dict[str, ast.FunctionDef] = {}
        self._loaded_from: set[str] = set()  # functions of modules
        self._steps = count()

    def run(self, body: Sequence[ast.stmt], names: dict[str, Any], depth: int = 0) -> Iterator[Call]:
        """Yield the calls of statements, which may change the names."""
        for one in body:
            if next(self._steps) > MOST_STEPS or depth > MOST_DEPTH:
                raise Unreadable("it takes too long")
            match one:
                case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr=method), args=args)) if (
                    isinstance(names.get(name), list | dict)
                ):
                    names[name] = _changed(names[name], method, [self._value(each, names) for each in args])
                case ast.Expr(value=ast.Call() as value):
                    yield from self._called(value, names, depth)
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    names[name] = self._value(value, names)
                case ast.AugAssign(target=ast.Name(id=name), op=ast.Add(), value=value):
                    names[name] = _sum(names.get(name, UNKNOWN), self._value(value, names))
                case ast.Assign() | ast.AugAssign():
                    names |= _assigned(one)
                case ast.FunctionDef(name=name):
                    self._own[name] = one
                case ast.If(test=test):
                    decided = self._value(test, names)
                    if _is_known(decided):
                        yield from self.run(one.body if decided else one.orelse, names, depth + 1)
                    else:
                        names |= _assigned(one)
                        yield Call("if", tuple(_mentioned(one)), {}, one.lineno)
                case ast.For(target=target, iter=source):
                    items = self._value(source, names)
                    if not isinstance(items, list | dict):
                        names |= _assigned(one)
                        yield Call("for", tuple(_mentioned(one)), {}, one.lineno)
                    for each in _items(items):
                        names |= _bound(target, each)
                        try:
                            yield from self.run(one.body, names, depth + 1)
                        except _Left as left:
                            if isinstance(left.by, ast.Return):
                                raise
                            if isinstance(left.by, ast.Break):
                                break
                case ast.Continue() | ast.Break() | ast.Return():
                    raise _Left(one)

    def _called(self, node: ast.Call, names: dict[str, Any], depth: int) -> Iterator[Call]:
        call = self._call(node, names)
        if call.name == "load" and call.args and (text := self._module(call.args[0])) is not None:
            yield from self._loaded(text, call, names, depth)
            return
        if (own := self._own.get(call.name)) is None:
            yield call
            return
        parameters = [one.arg for one in own.args.args]
        defaults = [self._value(one, names) for one in own.args.defaults]
        given = dict(zip(reversed(parameters), reversed(defaults), strict=False)) | call.bound(*parameters)
        with suppress(_Left):
            for one in self.run(own.body, {**names, **given}, depth + 1):
                yield replace(one, line=call.line) if call.name in self._loaded_from else one

    def _loaded(self, text: str, call: Call, names: dict[str, Any], depth: int) -> Iterator[Call]:
        """Yield the calls of a module, whose functions and values the names then have."""
        inside: dict[str, Any] = {}
        with suppress(_Left):
            yield from self.run(_parsed(text), inside, depth + 1)
        wanted = {one: one for one in call.args[1:] if isinstance(one, str)} | dict(call.named)
        for name, one in wanted.items():
            if one in self._own:
                self._own[name] = self._own[one]
                self._loaded_from.add(name)
        # What its functions use may be among the others.
        names |= {**inside, **names, **{name: inside[one] for name, one in wanted.items() if one in inside}}

    def _call(self, node: ast.Call, names: Mapping[str, Any]) -> Call:
        return Call(
            _dotted(node.func),
            tuple(self._value(one, names) for one in node.args),
            {one.arg: self._value(one.value, names) for one in node.keywords if one.arg},
            node.lineno,
        )

    def _value(self, node: ast.expr, names: Mapping[str, Any]) -> Any:
        """Return the value of an expression, a Call that nothing answers, or UNKNOWN."""
        if next(self._steps) > MOST_STEPS:
            raise Unreadable("it takes too long")
        match node:
            case ast.Constant(value=str() | int() | bool() | None as value):
                return value
            case ast.List(elts=parts) | ast.Tuple(elts=parts):
                return [self._value(one, names) for one in parts]
            case ast.Dict(keys=keys, values=values):
                pairs = (
                    (self._value(key, names) if key else UNKNOWN, one) for key, one in zip(keys, values, strict=True)
                )
                return {key: self._value(one, names) for key, one in pairs if isinstance(key, str | int)}
            case ast.Name() | ast.Attribute():
                return names.get(_dotted(node), UNKNOWN)
            case ast.Subscript(value=value, slice=place):
                return _at(self._value(value, names), self._value(place, names))
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                return _sum(self._value(left, names), self._value(right, names))
            case ast.BinOp(left=left, op=ast.Mod(), right=right):
                return _percent(self._value(left, names), self._value(right, names))
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() as value)):
                return -value
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                found = self._value(operand, names)
                return not found if _is_known(found) else UNKNOWN
            case ast.Compare(left=left, ops=[how], comparators=[right]):
                return _compared(self._value(left, names), how, self._value(right, names))
            case ast.IfExp(test=test, body=body, orelse=other):
                decided = self._value(test, names)
                return UNKNOWN if not _is_known(decided) else self._value(body if decided else other, names)
            case ast.ListComp(elt=each, generators=[ast.comprehension(target=target, iter=source, ifs=[])]):
                return [
                    self._value(each, {**names, **_bound(target, one)}) for one in _items(self._value(source, names))
                ]
            case ast.Call(func=func):
                return self._answer(node, func, names)
        return UNKNOWN

    def _answer(self, node: ast.Call, func: ast.expr, names: Mapping[str, Any]) -> Any:
        call = self._call(node, names)
        if isinstance(func, ast.Attribute) and call.name not in self._functions:
            return _method(self._value(func.value, names), func.attr, call)
        if call.name in self._own:
            return UNKNOWN
        return self._functions[call.name](call) if call.name in self._functions else call


def _dotted(node: ast.expr) -> str:
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=name):
            return f"{_dotted(value)}.{name}"
    return ""


def _mentioned(node: ast.stmt) -> Iterator[str]:
    return (_dotted(one.func) for one in ast.walk(node) if isinstance(one, ast.Call))


def _assigned(node: ast.stmt) -> dict[str, Any]:
    """Return the names that a statement may give a value, as UNKNOWN."""
    stored = (one for one in ast.walk(node) if isinstance(getattr(one, "ctx", None), ast.Store))
    named = (one.value if isinstance(one, ast.Subscript) else one for one in stored)
    return dict.fromkeys((one.id for one in named if isinstance(one, ast.Name)), UNKNOWN)


def _changed(value: Any, method: str, given: list[Any]) -> Any:
    """Return a list or a map after a call of its method."""
    if method == "append" and len(given) == 1:
        return _sum(value, given)
    return _sum(value, given[0]) if method == "extend" and len(given) == 1 else UNKNOWN


def _is_known(value: Any) -> bool:
    return value is not UNKNOWN and not isinstance(value, Call)


def _compared(left: Any, how: ast.cmpop, right: Any) -> Any:
    """Return whether it is so, for texts and numbers that are equal and texts that are in something."""
    if isinstance(how, ast.Eq | ast.NotEq) and _is_plain(left) and _is_plain(right):
        return (left == right) is isinstance(how, ast.Eq)
    if isinstance(how, ast.In | ast.NotIn) and isinstance(left, str) and isinstance(right, str | list | dict):
        return (left in right) is isinstance(how, ast.In)
    return UNKNOWN


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, str | int)


def _items(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else list(value) if isinstance(value, dict) else ()


def _bound(target: ast.expr, value: Any) -> dict[str, Any]:
    """Return the names that a value gives to the target of a loop."""
    if isinstance(target, ast.Name):
        return {target.id: value}
    parts = target.elts if isinstance(target, ast.Tuple | ast.List) else []
    values = value if isinstance(value, list) and len(value) == len(parts) else [UNKNOWN] * len(parts)
    return {name: one for part, each in zip(parts, values, strict=True) for name, one in _bound(part, each).items()}


def _at(value: Any, place: Any) -> Any:
    if isinstance(value, dict) and isinstance(place, str | int):
        return value.get(place, UNKNOWN)
    if isinstance(value, list) and isinstance(place, int) and -len(value) <= place < len(value):
        return value[place]
    return UNKNOWN


def _sum(left: Any, right: Any) -> Any:
    if isinstance(left, str) and isinstance(right, str):
        return _short(left + right)
    if isinstance(left, list) and isinstance(right, list) and len(left) + len(right) < LONGEST:
        return left + right
    return UNKNOWN


def _percent(text: Any, values: Any) -> Any:
    """Return the text with `%s` and `%d` filled in, without widths and other forms."""
    given = values if isinstance(values, list) else [values]
    parts = re.split(r"%[sd]", text) if isinstance(text, str) else []
    if len(parts) != len(given) + 1 or "%" in "".join(parts) or not all(map(_is_plain, given)):
        return UNKNOWN
    return _short("".join(f"{part}{value}" for part, value in zip(parts, [*given, ""], strict=True)))


def _method(value: Any, name: str, call: Call) -> Any:
    match value, name:
        case str(), "format":
            return _formatted(value, call)
        case str(), "join" if len(call.args) == 1 and all(isinstance(one, str) for one in _items(call.args[0])):
            return _short(value.join(_items(call.args[0])))
        case str(), "strip" | "lower" | "upper" if not call.args:
            return getattr(value, name)()
        case dict(), "get" if call.args and isinstance(call.args[0], str | int):
            return value.get(call.args[0], call.args[1] if len(call.args) > 1 else None)
        case dict(), "items":
            return [list(one) for one in value.items()]
        case dict(), "keys" | "values":
            return list(getattr(value, name)())
    return UNKNOWN


def _formatted(text: str, call: Call) -> Any:
    """Return the text with its fields filled in, if none has a form of its own."""
    numbers = count()
    given = {**{str(number): one for number, one in enumerate(call.args)}, **call.named}
    fields = [name or str(next(numbers)) for name in re.findall(r"\{(\w*)\}", text)]
    if re.search(r"[{}]", re.sub(r"\{\w*\}", "", text)) or not all(
        _is_plain(given.get(one, UNKNOWN)) for one in fields
    ):
        return UNKNOWN
    filled = iter([*(str(given[one]) for one in fields), ""])
    return _short("".join(part + next(filled) for part in re.split(r"\{\w*\}", text)))


def _short(text: str) -> Any:
    return text if len(text) < LONGEST else UNKNOWN


def joined(call: Call) -> Any:
    """Answer `os.path.join`."""
    return posixpath.join(*call.args) if call.args and all(isinstance(one, str) for one in call.args) else UNKNOWN
