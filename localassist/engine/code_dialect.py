"""CodeWatch: code that a model writes in order to have it run. Pure.

Small models write code in a fence, whatever they are asked for; as a string in JSON they squeeze it
into one line and break it. So a fence of Python is what runs.
"""

from __future__ import annotations

OPENER = "```python\n"
_LANGUAGES = ("python", "py", "python3", "ipython", "tool_code")
_FENCE = "```"
_MAX_WORD = 12
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

    def __init__(self, *, begun: bool = False) -> None:
        """Look for a block; with `begun`, its opener has been written already."""
        self.begun = begun
        self.done = False
        self._held = ""
        self._code = ""

    @property
    def code(self) -> str:
        """The code so far, without its fences."""
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
        self.done = self.begun
        return held

    def _add(self, text: str) -> None:
        self._code += text
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


def written(code: str) -> str:
    """The assistant's turn that wrote code."""
    return f"{OPENER}{code}\n{_FENCE}"


def output_text(output: str, *, failed: bool) -> str:
    """The user's turn that shows what the code gave."""
    return _OUTPUT.format(output=output.strip() or _NO_OUTPUT, then=_CORRECT if failed else _ANSWER)
