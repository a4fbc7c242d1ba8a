"""Models of documents: frozen dataclasses whose keys say what they accept, checked by pydantic.

Nothing here imports pydantic before a document is checked: that takes a third of the time of a short command, and what
was valid before is not checked again.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import MISSING
from enum import Enum
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, TypeAdapter
    from pydantic_core import CoreSchema


def key(default: Any = MISSING, *, description: str = "", **rules: Any) -> Any:
    """Return the field of a key, with its meaning for users; `rules` are those of pydantic's `Field`.

    A default that can be changed is copied for each instance.
    """
    metadata = {"description": description, **rules} if description else rules
    if isinstance(default, dict):
        metadata = {"json_schema_extra": {"default": default}, **metadata}
        return dataclasses.field(default_factory=default.copy, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


class Checked:
    """What follows the check of a type: `check` returns the value or raises ValueError; `schema` is for editors."""

    def __init__(self, check: Callable[[Any], Any], schema: Mapping[str, Any] | None = None) -> None:
        self._check, self._schema = check, schema or {}

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        from pydantic_core import core_schema

        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(core), **self._schema}


def matching(pattern: str, otherwise: str, **schema: Any) -> Checked:
    """Return the check that a text is of the pattern; `otherwise` says what it must be, with {} for what it is."""

    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(otherwise.format(value))
        return value

    return Checked(check, {"pattern": f"^{pattern}$", **schema})


class Prepared:
    """What comes before the check of a type: `change` returns another way to write the value, or raises ValueError.

    `written` is the type of all ways to write it, for editors.
    """

    def __init__(self, change: Callable[[Any], Any], *, written: Any = None) -> None:
        self._change, self._written = change, written

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        from pydantic_core import core_schema

        written = None if self._written is None else handler.generate_schema(self._written)
        return core_schema.no_info_before_validator_function(
            self._change, handler(source), json_schema_input_schema=written
        )


def alone(name: str) -> Prepared:
    """Return the change of a text that stands alone into the mapping that has it under a key."""
    return Prepared(lambda value: {name: value} if isinstance(value, str) else value)


class Limits:
    """Limits of a number, a text or a list, by the names of pydantic's `Field`."""

    def __init__(self, **limits: Any) -> None:
        self._limits = limits

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return {**handler(source), **self._limits}


class Kinds:
    """A union whose member is told by `kind`: a key of the mapping, or a function of the value that returns a name."""

    def __init__(self, kind: str | Callable[[Any], str], **members: Any) -> None:
        self._kind, self._members = kind, members

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        from pydantic_core import core_schema

        choices = {name: handler.generate_schema(member) for name, member in self._members.items()}
        return core_schema.tagged_union_schema(choices, self._kind)


# Unknown keys are refused, and where it is strict values of another type, such as the text "1" for a number.
LENIENT: Mapping[str, Any] = {"extra": "forbid"}
STRICT: Mapping[str, Any] = {**LENIENT, "strict": True}


class Model:
    """A mapping of known keys, whose values are of their own type and not converted to it.

    Its subclasses are frozen dataclasses. The methods that pydantic's models have too do what they do there.
    """

    __pydantic_config__: ClassVar[Mapping[str, Any]] = STRICT
    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]

    @classmethod
    def model_validate(cls, data: Any) -> Self:
        """Return the document with this data, of which a part may be models. Raises pydantic's ValidationError."""
        written = _plain(data, lambda model: model.model_dump(mode="json", by_alias=True), as_json=True)
        return cls.model_validate_json(json.dumps(written, default=str))

    @classmethod
    def model_validate_json(cls, text: str | bytes) -> Self:
        """Return the document that is written as JSON. Raises pydantic's ValidationError."""
        found: Self = adapter(cls).validate_json(text)
        return found

    def model_dump(
        self,
        *,
        mode: Literal["python", "json"] = "python",
        include: Collection[str] | None = None,
        exclude_defaults: bool = False,
        exclude_none: bool = False,
        by_alias: bool = False,
    ) -> dict[str, Any]:
        """Return the values of the keys, of all or those in `include`, as Python or as JSON has them."""

        def dumped(model: Model) -> dict[str, Any]:
            return model.model_dump(
                mode=mode, exclude_defaults=exclude_defaults, exclude_none=exclude_none, by_alias=by_alias
            )

        found: dict[str, Any] = {}
        for one in dataclasses.fields(self):
            value = getattr(self, one.name)
            left_out = (exclude_none and value is None) or (exclude_defaults and value == _default(one))
            if not left_out and (include is None or one.name in include):
                found[key_of(one) if by_alias else one.name] = _plain(value, dumped, as_json=mode == "json")
        return found

    def model_dump_json(self, *, indent: int | None = None, exclude_none: bool = False) -> str:
        """Return the document as JSON."""
        separators = None if indent else (",", ":")
        found = self.model_dump(mode="json", exclude_none=exclude_none)
        return json.dumps(found, indent=indent, separators=separators, ensure_ascii=False)

    @property
    def values_by_name(self) -> dict[str, Any]:
        """Return the values of its fields, by their names."""
        return {one.name: getattr(self, one.name) for one in dataclasses.fields(self)}

    @property
    def given(self) -> dict[str, Any]:
        """Return the values that differ from their defaults."""
        fields = dataclasses.fields(self)
        return {one.name: value for one in fields if (value := getattr(self, one.name)) != _default(one)}

    def model_copy(self, *, update: Mapping[str, Any]) -> Self:
        """Return a copy with other values, which are not checked."""
        copy = object.__new__(type(self))
        vars(copy).update({**vars(self), **update})
        return copy


def _plain(value: Any, dump: Callable[[Model], dict[str, Any]], *, as_json: bool) -> Any:
    match value:
        case Model():
            return dump(value)
        case tuple() | list():
            inner = [_plain(one, dump, as_json=as_json) for one in value]
            return inner if as_json else tuple(inner)
        case dict():
            return {name: _plain(one, dump, as_json=as_json) for name, one in value.items()}
        case PurePath() if as_json:
            return str(value)
        case Enum() if as_json:
            return value.value
    return value


def key_of(one: dataclasses.Field[Any]) -> str:
    """Return the key of a document for a field of its model."""
    found: str = one.metadata.get("alias", one.name)
    return found


def _default(one: dataclasses.Field[Any]) -> Any:
    return one.default if one.default_factory is MISSING else one.default_factory()


def adapter(model: Any) -> TypeAdapter[Any]:
    """Return what checks documents of a model, or values of a type."""
    from pydantic import TypeAdapter

    if model not in _adapters:
        _adapters[model] = TypeAdapter(model)
    return _adapters[model]


_adapters: dict[Any, TypeAdapter[Any]] = {}
