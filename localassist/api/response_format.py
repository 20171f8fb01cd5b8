"""Response formats: what is refused before anything is generated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from localassist.engine.constraint import check_grammar
from localassist.engine.json_schema import check_schema, too_deep
from localassist.errors import BadRequestError
from localassist.runs.answer_format import answer_format

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def check_response_format(given: Any, tools: Sequence[Mapping[str, Any]] = ()) -> None:
    """Refuse a format that cannot be honoured, or not together with the tools.

    Raises:
        BadRequestError: see there.
    """
    try:
        wanted = answer_format(given)
    except RecursionError:
        raise _invalid(given, too_deep()) from None
    if wanted.schema is None:
        return
    if any(tool["type"] != "function" for tool in tools):
        raise BadRequestError(
            "Invalid tools: all tools must be of type `function` when `response_format` is of type "
            f"`{given['type']}`."
        )
    try:
        check_schema(wanted.schema)
        check_grammar(wanted.grammar(), allow_lenient=not wanted.strict)
    except BadRequestError as error:
        raise _invalid(given, error) from error


def _invalid(given: Any, error: BadRequestError) -> BadRequestError:
    return BadRequestError(
        f"Invalid schema for response_format '{given['json_schema']['name']}': {error.message}",
        code="invalid_json_schema",
        param="response_format",
    )
