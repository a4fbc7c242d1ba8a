"""Models of documents: pydantic models that are frozen, refuse unknown keys and convert no values."""

import re
from typing import Any, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, WithJsonSchema
from pydantic.fields import FieldInfo
from pydantic_core import to_json


class Document(BaseModel):
    """A mapping of known keys, or a part of one.

    A document with lists that stands behind a `BeforeValidator` needs `strict=False`: pydantic then checks Python's
    values instead of JSON's, and a strict tuple refuses a list.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True)

    @classmethod
    def model_validate(cls, obj: Any, **options: Any) -> Self:
        """Check data by JSON's rules: strict models accept lists for tuples and text for paths only from JSON."""
        return cls.model_validate_json(to_json(obj, by_alias=True), **options)

    def __hash__(self) -> int:  # pydantic's fails for a dict
        return hash(self.model_dump_json())


def key_of(name: str, field: FieldInfo) -> str:
    return field.validation_alias if isinstance(field.validation_alias, str) else name


def text_schema(**keywords: Any) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", **keywords})


def matching(pattern: str, message: str) -> tuple[AfterValidator, WithJsonSchema]:
    """Return a validator for texts of a pattern, and its schema; {} in `message` stands for the invalid text."""

    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(message.format(value))
        return value

    return AfterValidator(check), text_schema(pattern=f"^{pattern}$")


def short_form(name: str) -> BeforeValidator:
    """Return a validator that accepts `text` as a short form of `{name: text}`."""
    return BeforeValidator(lambda value: {name: value} if isinstance(value, str) else value)
