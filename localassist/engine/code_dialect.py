"""CodeWatch: code that a model writes in order to have it run. Pure.

Small models write code in a fence, whatever they are asked for; as a string in JSON they squeeze it
into one line and break it. So a fence of Python is what they are asked for. Some write a call of a
tool all the same, tagged, fenced or bare: what it would run is run as well.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from localassist.engine.tool_dialect import ProseWatch

if TYPE_CHECKING:
    from collections.abc import Collection

OPENER = "```python\n"
_LANGUAGES = ("python", "py", "python3", "ipython", "tool_code")
_FENCE = "```"
_MAX_WORD = 12
# What models call the tool that they were never told the name of.
_CALLED = ("python", "code_interpreter")
_CODE_KEY = re.compile(r'"(code|input|source|arguments)"\s*:\s*"')
_STRING = re.compile(r'[^"\\]*(?:\\.[^"\\]*)*', re.DOTALL)
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_KNOWN_ESCAPE = re.compile(r'["\\/bfnrt]|u[0-9a-fA-F]{4}')
# Up to an escape, or the first half of a pair, of which more is to come.
_WHOLE = re.compile(r"(?:[^\\]|\\[^u]|\\u[0-9a-fA-F]{4})*", re.DOTALL)
_HALF_PAIR = re.compile("[\ud800-\udbff]$")
INSTRUCTIONS = """# Code
You can have Python code run. When the user asks for code, or when data, files or a long \
calculation need it, reply with nothing but one block:
```python
<code that prints its results>
```
It is run, and you are shown its output. Files are in /mnt/data; save files there. If no code is \
needed, answer in plain words, and finish with the result."""
_OUTPUT = """Output of the code:
{output}

{then}"""
_ANSWER = "Now answer my request in words, using this output."
_CORRECT = "Correct the code, and write all of it again in one block."
_NO_OUTPUT = "(it printed nothing)"


class CodeWatch:
    """Divides an answer, while it grows, into words and the first block of code in it.

    Attributes:
        begun: a block has begun; nothing that follows is words.
        done: it is closed; nothing follows.
    """

    def __init__(self, *, begun: bool = False, functions: Collection[str] = ()) -> None:
        """Look for a block or a call.

        Args:
            begun: the opener of a block has been written already.
            functions: the caller's own; who calls one of these does not mean code.
        """
        self.begun = begun
        self.done = False
        self._held = ""
        self._code = ""
        self._calls = ProseWatch([name for name in _CALLED if name not in functions])

    @property
    def code(self) -> str:
        """The code so far, without its fences or its JSON."""
        if self._calls.found:
            return called_code(self._code)[0].rstrip()
        text = self._code
        closed = text.startswith(_FENCE) or f"\n{_FENCE}" in text
        if closed:
            text = "" if text.startswith(_FENCE) else text.split(f"\n{_FENCE}", 1)[0]
        return text.rstrip("`").rstrip() if not closed else text.rstrip()

    def feed(self, text: str) -> str:
        """Return what is certainly words."""
        if self.begun:
            self._add(text)
            return ""
        return self._outside_calls(self._outside_fences(text))

    def _outside_calls(self, text: str) -> str:
        words = self._calls.feed(text)
        if self.begun:  # by a fence
            return words + self._calls.flush()
        if self._calls.found:
            self.begun = True
            held, self._held = self._held, ""
            self._add(self._calls.held + held)
        return words

    def _outside_fences(self, text: str) -> str:
        self._held += text
        at = self._held.find(_FENCE[0])
        words = ""
        while at >= 0:
            words += self._held[:at]
            self._held = self._held[at:]
            language, known = self._language()
            if not known:
                return words
            if language in _LANGUAGES:
                self.begun = True
                code, self._held = self._held.split("\n", 1)[1], ""
                self._add(code)
                return words
            # Another fence or quoted word: its ticks are words.
            ticks = len(self._held) - len(self._held.lstrip("`"))
            words += self._held[:ticks]
            self._held = self._held[ticks:]
            at = self._held.find("`")
        words += self._held
        self._held = ""
        return words

    def flush(self) -> str:
        """What was held back and is words after all; the answer is over."""
        held, self._held = self._held, ""
        words = held if self.begun else self._calls.feed(held) + self._calls.flush()
        self.done = self.begun
        return words

    def _add(self, text: str) -> None:
        self._code += text
        if self._calls.found:
            self.done = called_code(self._code)[1]
        else:
            self.done = self._code.startswith(_FENCE) or f"\n{_FENCE}" in self._code

    def _language(self) -> tuple[str, bool]:
        """What the fence at the held text's beginning says, and whether it is certain."""
        if not self._held.startswith(_FENCE):
            return "", len(self._held) >= len(_FENCE) or not _FENCE.startswith(self._held)
        word, end, _ = self._held[len(_FENCE) :].partition("\n")
        word = word.strip().lower()
        if end or len(word) > _MAX_WORD or " " in word:
            return (word if end else ""), True
        return "", False


def called_code(text: str) -> tuple[str, bool]:
    """The code in a call that `text` has begun, and whether it is complete.

    Escapes that JSON does not know, and line ends within strings, mean themselves.
    """
    key = _CODE_KEY.search(text)
    if key is None:
        return "", _complete(text)
    string = _STRING.match(text, key.end())
    assert string is not None, "it matches nothing at least"
    closed = text[string.end() :].startswith('"')
    raw = string[0]
    if not closed and (whole := _WHOLE.match(raw)):
        raw = whole[0]
    code: str = json.loads(f'"{_ESCAPE.sub(_as_json, raw)}"', strict=False)
    if not closed:
        code = _HALF_PAIR.sub("", code)
    # Half of a pair of surrogates is no text.
    code = code.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if key[1] == "arguments" and code.lstrip().startswith("{"):  # JSON in JSON, as OpenAI writes it
        code = called_code(code)[0]
    return code, closed


def _as_json(escape: re.Match[str]) -> str:
    known = _KNOWN_ESCAPE.fullmatch(escape[1])
    return escape[0] if known else f"\\\\{escape[1]}"


def _complete(text: str) -> bool:
    """Whether the first object in a text is closed."""
    begin = text.find("{")
    try:
        json.JSONDecoder().raw_decode(text, begin)
    except (ValueError, RecursionError):
        return False
    return True


def written(code: str) -> str:
    """The assistant's turn that wrote code."""
    return f"{OPENER}{code}\n{_FENCE}"


def output_text(output: str, *, failed: bool) -> str:
    """The user's turn that shows what the code gave."""
    return _OUTPUT.format(output=output.strip() or _NO_OUTPUT, then=_CORRECT if failed else _ANSWER)
