"""The standard library's `dataclass`, for frozen classes that are made in a quarter of the time.

It compiles six methods for each class, and every command makes up to 200 of them: a fifth of its start. Here only
`__init__` is compiled, and the others are the same functions for all. For type checkers it is the library's. Python
3.13 compiles a class's methods at once; when that is the oldest supported, this module can go.
"""

from __future__ import annotations

import dataclasses
from dataclasses import FrozenInstanceError
from reprlib import recursive_repr
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
else:

    def dataclass(cls=None, /, *, frozen=False, order=False, kw_only=False):
        """Make a class a dataclass, as the standard library's decorator of that name does."""

        def made(cls):
            if not frozen or order:
                return dataclasses.dataclass(cls, frozen=frozen, order=order, kw_only=kw_only)
            dataclasses.dataclass(cls, eq=False, repr=False, kw_only=kw_only)
            if "__eq__" not in cls.__dict__:
                cls.__eq__ = _equal
            if cls.__dict__.get("__hash__") is None:
                cls.__hash__ = _hash
            if "__repr__" not in cls.__dict__:
                cls.__repr__ = _repr
            cls.__setattr__, cls.__delattr__ = _set_once, _keep
            return cls

        return made if cls is None else made(cls)


def _compared(value: Any) -> tuple[Any, ...]:
    """Return what two values are compared by."""
    return tuple(getattr(value, field.name) for field in dataclasses.fields(value) if field.compare)


def _equal(self: Any, other: object) -> Any:
    if other.__class__ is not self.__class__:
        return NotImplemented
    return self is other or _compared(self) == _compared(other)


def _hash(self: Any) -> int:
    return hash(_compared(self))


@recursive_repr()
def _repr(self: Any) -> str:
    shown = (f"{field.name}={getattr(self, field.name)!r}" for field in dataclasses.fields(self) if field.repr)
    return f"{type(self).__qualname__}({', '.join(shown)})"


def _set_once(self: Any, name: str, value: object) -> None:
    """Let `__init__` set each field, and nothing be set after."""
    if name in self.__dict__ or name not in self.__dataclass_fields__:
        raise FrozenInstanceError(f"cannot assign to field {name!r}")
    self.__dict__[name] = value


def _keep(self: Any, name: str) -> None:
    raise FrozenInstanceError(f"cannot delete field {name!r}")
