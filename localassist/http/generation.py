"""Generation: what a request of one generation of the API may not say, since only the other knows.

The operations take both; over HTTP the answer is the one that OpenAI's service gave.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from localassist.errors import BadRequestError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from localassist.http.shape import Shape

_OTHERS_PARAMS = {"v1": ("tool_resources", "attachments"), "v2": ("file_ids",)}
_OTHERS_TOOL = {"v1": "file_search", "v2": "retrieval"}
_TOOLS = {
    "v1": "'code_interpreter', 'function', and 'retrieval'",
    "v2": "'code_interpreter', 'function', and 'file_search'",
}
_NESTED = ("messages", "additional_messages")


def refuse_foreign(body: Mapping[str, Any], shape: Shape) -> None:
    """Check the body of a request about assistants or threads.

    Raises:
        BadRequestError: it has a parameter or a tool that its generation does not know.
    """
    version = "v2" if shape == "v2" else "v1"
    thread = body.get("thread")
    objects = [*_objects(body, "")]
    if isinstance(thread, dict):
        objects += _objects(thread, "thread.")
    for path, each in objects:
        for name in _OTHERS_PARAMS[version]:
            if name in each:
                param = path + name
                raise BadRequestError(
                    f"Unknown parameter: '{param}'.", code="unknown_parameter", param=param
                )
        _check_tools(each.get("tools"), version, f"{path}tools")


def _check_tools(tools: Any, version: str, path: str) -> None:
    for index, tool in enumerate(tools if isinstance(tools, list) else ()):
        if isinstance(tool, dict) and tool.get("type") == (other := _OTHERS_TOOL[version]):
            raise BadRequestError(
                f"Invalid value: '{other}'. Supported values are: {_TOOLS[version]}.",
                code="invalid_value",
                param=f"{path}[{index}].type",
            )


def _objects(body: Mapping[str, Any], path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """An object and the messages that are created with it, each behind its path."""
    yield path, body
    for name in _NESTED:
        messages = body.get(name)
        for index, message in enumerate(messages if isinstance(messages, list) else ()):
            if isinstance(message, dict):
                yield f"{path}{name}[{index}].", message
