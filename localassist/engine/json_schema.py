"""Schemas: what is enforced while a model writes, and what is checked once it has written.

A grammar does not know every keyword of JSON Schema. Where it knows all of a schema's, it enforces
all of them; where not, it enforces what it can, and the finished value is validated. A schema that
neither can read is refused before there is anything to write.
"""

from __future__ import annotations

import json
from copy import copy
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from math import isfinite
from typing import TYPE_CHECKING, Any

from localassist._lazy import require
from localassist.errors import BadRequestError

if TYPE_CHECKING:
    from collections.abc import Iterator

_OPTIONS_KEY = "x-guidance"
# Without \\u, a key cannot be spelled so that the schema does not know it. White space is
# bounded, since a model that hesitates may write nothing else.
_OPTIONS = {"json_allowed_escapes": 'nrbtf\\"', "whitespace_pattern": r"[ \n]{0,40}"}
_LENIENT = {**_OPTIONS, "lenient": True, "coerce_one_of": True}
_OF_SCHEMAS = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
_OF_DATA = ("enum", "const", "default", "examples")
# Formats that a grammar enforces, as far as it goes: to it 30 February is a date.
GRAMMAR_FORMATS = (
    "date",
    "date-time",
    "time",
    "duration",
    "email",
    "hostname",
    "ipv4",
    "ipv6",
    "uuid",
)
_MAX_ERRORS = 5
_MAX_ERROR_CHARS = 200


@dataclass(frozen=True)
class Problem:
    """Where a value does not fit its schema, and why."""

    path: str
    message: str


def with_options(schema: Any, *, lenient: bool = False) -> Any:
    """The schema with what llguidance is told about it.

    Args:
        schema: any JSON value.
        lenient: leave out what the grammar cannot enforce; the value has to be validated then.

    Raises:
        ValueError: the schema brings such options itself.
    """
    _refuse_options(schema)
    if schema is True:
        schema = {}
    if not isinstance(schema, dict):
        return schema
    return {**schema, _OPTIONS_KEY: _LENIENT if lenient else _OPTIONS}


def check_schema(schema: Any) -> None:
    """Refuse what is not a JSON Schema.

    Raises:
        BadRequestError: code `invalid_schema`; it names the keyword and where it stands.
    """
    jsonschema = require("jsonschema", package="jsonschema")
    draft = schema.get("$schema") if isinstance(schema, dict) else None
    if draft is not None and not isinstance(draft, str):
        raise BadRequestError(
            "Not a JSON Schema: at '$schema': it is not a string.", code="invalid_schema"
        )
    kind = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
    errors = jsonschema.exceptions
    try:
        kind.check_schema(schema)
    except RecursionError:
        raise too_deep() from None
    except errors.SchemaError as error:
        # Of a union's branches, the one that fits best tells what was meant.
        error = errors.best_match(error.context) or error
        where = "/".join(str(part) for part in error.absolute_path) or "the schema"
        raise BadRequestError(
            f"Not a JSON Schema: at '{where}': {_short(error.message)}.", code="invalid_schema"
        ) from None


def too_deep() -> BadRequestError:
    """The error of a schema that is read more deeply than it can be checked or written."""
    return BadRequestError(
        "The schema nests too deeply.", code="invalid_schema", hint="Flatten it."
    )


def problems(value: Any, schema: Any) -> list[Problem]:
    """What is wrong with a value; nothing if it fits. Nothing is fetched for it."""
    found = list(_validator(json.dumps(schema)).iter_errors(value))
    return [
        Problem("/".join(str(part) for part in each.absolute_path), _short(each.message))
        for each in found[:_MAX_ERRORS]
    ]


@cache
def _registry() -> Any:
    return require("referencing", package="referencing").Registry()


def _validator(text: str) -> Any:
    jsonschema = require("jsonschema", package="jsonschema")
    schema = json.loads(text)
    kind = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
    exact = jsonschema.validators.extend(kind, {"multipleOf": _multiple_of})
    formats = copy(kind.FORMAT_CHECKER)
    formats.checkers = {
        name: check for name, check in formats.checkers.items() if name not in GRAMMAR_FORMATS
    }
    # The library's own registry would fetch what a schema refers to.
    return exact(schema, registry=_registry(), format_checker=formats)


def _multiple_of(validator: Any, factor: Any, value: Any, _schema: Any) -> Iterator[Any]:
    """In decimals, as it is written: in binary fractions 19.99 is no multiple of 0.01."""
    errors = require("jsonschema", package="jsonschema").exceptions
    if not validator.is_type(value, "number"):
        return
    # JSON has no infinite numbers, but Python reads 1e999 as one.
    if (isinstance(value, float) and not isfinite(value)) or Fraction(str(value)) % Fraction(
        str(factor)
    ):
        yield errors.ValidationError(f"{value!r} is not a multiple of {factor}")


def _short(message: str) -> str:
    if len(message) <= _MAX_ERROR_CHARS:
        return message
    half = _MAX_ERROR_CHARS // 2
    return f"{message[:half]} ... {message[-half:]}"


def _refuse_options(schema: Any) -> None:
    """Refuse the key by which a schema asks llguidance to ignore its other keys."""
    if isinstance(schema, list):
        for each in schema:
            _refuse_options(each)
    if not isinstance(schema, dict):
        return
    if _OPTIONS_KEY in schema:
        raise ValueError(f"the key '{_OPTIONS_KEY}' is not taken")
    for key, value in schema.items():
        if key in _OF_SCHEMAS and isinstance(value, dict):
            _refuse_options(list(value.values()))
        elif key not in _OF_DATA:
            _refuse_options(value)
