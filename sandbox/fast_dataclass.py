"""The standard library's `dataclass`, for classes that are made in a tenth of the time.

The library compiles up to six methods for each class, and every command makes up to 200 classes: a fifth of its start.
Here nothing is compiled: all classes share the same functions. For type checkers it is the library's. Python 3.13
compiles a class's methods at once; when that is the oldest supported version, this module can go.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from dataclasses import MISSING, FrozenInstanceError
from operator import attrgetter
from reprlib import recursive_repr
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
else:

    def dataclass(cls=None, /, *, frozen=False, order=False, kw_only=False):
        """Make a class a dataclass, as the standard library's decorator of that name does."""

        def made(cls):
            if order:
                return dataclasses.dataclass(cls, frozen=frozen, order=order, kw_only=kw_only)
            own = set(cls.__dict__)
            cls.__doc__ = cls.__doc__ or cls.__name__  # the library writes one of what it parses of a signature
            dataclasses.dataclass(cls, init=False, eq=False, repr=False, kw_only=kw_only)
            methods = {"__init__": _init, "__repr__": _repr, "__eq__": _equal}
            for name, method in methods.items():
                if name not in own:
                    setattr(cls, name, method)
            if cls.__dict__.get("__hash__") is None:
                cls.__hash__ = _hash if frozen else None
            if frozen:
                cls.__setattr__, cls.__delattr__ = _set_once, _keep
            return cls

        return made if cls is None else made(cls)


class _Arguments(NamedTuple):
    """The arguments that make an instance of a class."""

    names: frozenset[str]
    positional: tuple[str, ...]
    defaults: dict[str, Any]
    factories: dict[str, Callable[[], Any]]


@functools.cache
def _arguments(cls: Any) -> _Arguments:
    fields = dataclasses.fields(cls)
    return _Arguments(
        names=frozenset(field.name for field in fields),
        positional=tuple(field.name for field in fields if not field.kw_only),
        defaults={field.name: field.default for field in fields if field.default is not MISSING},
        factories={field.name: field.default_factory for field in fields if field.default_factory is not MISSING},
    )


def _init(self: Any, /, *values: Any, **named: Any) -> None:
    names, positional, defaults, factories = _arguments(self.__class__)
    given = dict(zip(positional, values, strict=False))
    if len(values) > len(positional) or not given.keys().isdisjoint(named) or not named.keys() <= names:
        raise TypeError(f"{type(self).__name__} takes {', '.join(sorted(names))}, each once")
    state = self.__dict__
    state |= defaults | given | named
    for name, factory in factories.items():
        if name not in state:
            state[name] = factory()
    if len(state) < len(names):
        raise TypeError(f"{type(self).__name__} lacks {', '.join(sorted(names - state.keys()))}")
    if finish := getattr(self, "__post_init__", None):
        finish()


@functools.cache
def _compared(cls: Any) -> Callable[[Any], Any]:
    """Return a function that gives the values by which instances of the class are compared."""
    names = [field.name for field in dataclasses.fields(cls) if field.compare]
    return attrgetter(*names) if names else lambda _: ()


def _values(value: Any) -> Any:
    return _compared(value.__class__)(value)


def _equal(self: Any, other: object) -> Any:
    if other.__class__ is not self.__class__:
        return NotImplemented
    return self is other or _values(self) == _values(other)


def _hash(self: Any) -> int:
    return hash(_values(self))


@recursive_repr()
def _repr(self: Any) -> str:
    shown = (f"{field.name}={getattr(self, field.name)!r}" for field in dataclasses.fields(self) if field.repr)
    return f"{type(self).__qualname__}({', '.join(shown)})"


def _set_once(self: Any, name: str, value: object) -> None:
    """Set a field that has no value yet: the `__setattr__` of frozen classes, which refuses all others."""
    if name in self.__dict__ or name not in self.__dataclass_fields__:
        raise FrozenInstanceError(f"cannot assign to field {name!r}")
    self.__dict__[name] = value


def _keep(self: Any, name: str) -> None:
    raise FrozenInstanceError(f"cannot delete field {name!r}")
