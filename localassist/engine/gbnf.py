"""GBNF, llama.cpp's notation of grammars, written so that llguidance's converter reads it right."""

from __future__ import annotations

import re
from itertools import count

_PART = re.compile(
    r"""(?P<text>"(?:\\.|[^"\\])*"|\[(?:\\.|[^\]\\])*\])|(?P<comment>\#[^\n]*)|(?P<name>\w[\w-]*)""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|.)", re.DOTALL)
# The converter calls the first rule so, and knows no other one of that name.
_TAKEN = "start"
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def readable(source: str) -> str:
    """The same language.

    The converter loses zeros of a character's number, so the character stands in its place; and
    rules may have the name that it gives to the first one.
    """
    names = sorted({part["name"] for part in _PART.finditer(source) if part["name"]})
    taken = {_lowered(name) for name in names}
    others: dict[str, str] = {}
    for name in names:
        if _lowered(name) == _TAKEN:
            number = next(n for n in count(1) if f"{_TAKEN}_{n}" not in taken)
            taken.add(f"{_TAKEN}_{number}")
            others[name] = f"{_TAKEN}-{number}"

    def rewritten(part: re.Match[str]) -> str:
        if part["text"]:
            return _ESCAPE.sub(_character, part["text"])
        return others.get(part["name"], part[0])

    return _PART.sub(rewritten, source)


def _lowered(name: str) -> str:
    """As the converter writes it."""
    return _HUMP.sub("_", name.replace("-", "_")).lower()


def _character(escape: re.Match[str]) -> str:
    number = int(escape[1] or escape[2] or "0", 16)
    if not number or 0xD800 <= number < 0xE000 or number > 0x10FFFF:
        return escape[0]
    # Signs may mean something where they stand.
    return chr(number) if number >= 0x80 else f"\\x{number:02x}"
