"""Tools of assistants and runs: how they are stored, and what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from localassist.engine.constraint import check_grammar
from localassist.engine.json_schema import check_schema, too_deep
from localassist.engine.tool_dialect import FENCE
from localassist.errors import BadRequestError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_KEYS = ("name", "parameters", "description", "strict")  # the order in which the API prints them


def stored_tools(tools: Sequence[Mapping[str, Any]] | None) -> list[dict[str, Any]]:
    """The tools as they are stored and printed.

    Raises:
        BadRequestError: two functions of one name, or a schema that cannot be honoured.
    """
    stored: list[dict[str, Any]] = [
        {"function": _given(tool["function"]), "type": "function"}
        if tool["type"] == "function"
        else dict(tool)
        for tool in tools or ()
    ]
    names: set[str] = set()
    for index, tool in enumerate(stored):
        if tool["type"] != "function":
            continue
        _check(tool["function"], names, f"tools[{index}].function")
        names.add(tool["function"]["name"])
    return stored


def _given(function: Mapping[str, Any]) -> dict[str, Any]:
    return {key: function[key] for key in _KEYS if function.get(key) is not None}


def _check(function: Mapping[str, Any], names: set[str], path: str) -> None:
    if function["name"] in names:
        raise BadRequestError(
            f"Invalid '{path}.name': there are two functions '{function['name']}'.",
            code="invalid_value",
            param=f"{path}.name",
        )
    schema = function.get("parameters") or {}
    if schema.get("type", "object") != "object":
        raise BadRequestError(
            f"Invalid schema for function '{function['name']}': schema must have type 'object', "
            f"but got {schema['type']!r}.",
            code="invalid_function_parameters",
            param=f"{path}.parameters",
        )
    try:
        check_schema(schema)
        try:
            grammar = FENCE.grammar([function], most=1)
        except RecursionError:
            raise too_deep() from None
        check_grammar(grammar, allow_lenient=not function.get("strict"))
    except BadRequestError as error:
        raise BadRequestError(
            f"Invalid schema for function '{function['name']}': {error.message}",
            code="invalid_function_parameters",
            param=f"{path}.parameters",
        ) from error


def check_tool_choice(choice: Any, tools: Sequence[Mapping[str, Any]]) -> None:
    """Refuse a choice that names no tool of the run.

    Raises:
        BadRequestError: see there.
    """
    if isinstance(choice, dict) and choice["type"] == "function":
        named = choice["function"]["name"]
        functions = [tool["function"] for tool in tools if tool["type"] == "function"]
        missing = all(each["name"] != named for each in functions)
        what = f"function '{named}'"
    elif isinstance(choice, dict):
        missing = all(tool["type"] != choice["type"] for tool in tools)
        what = f"the tool '{choice['type']}'"
    else:
        missing, what = choice == "required" and not tools, "any tool"
    if missing:
        raise BadRequestError(
            f"Invalid 'tool_choice': the run does not have {what}.",
            code="invalid_value",
            param="tool_choice",
        )
