"""Scripts: functions, and models that call them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}


def calling(*calls: tuple[str, dict[str, Any]]) -> Callable[[str], str]:
    """A model that makes these calls where the user says "call", and counts what they gave."""
    listed = ", ".join(
        f'{{"name": "{name}", "arguments": {json.dumps(arguments)}}}' for name, arguments in calls
    )

    def reply(text: str) -> str:
        if "It gave this output" in text:
            return f"Done: {text.count('It gave this output')} outputs."
        return f"```json\n[{listed}]" if text.startswith("call") else "Just words."

    return reply


OSLO_AND_ROME = calling(("weather", {"city": "Oslo"}), ("weather", {"city": "Rome"}))
