"""CodeWatch: words and code told apart while they come."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localassist.engine.code_dialect import CodeWatch, output_text, written


def divided(text, size, *, begun=False):
    watch = CodeWatch(begun=begun)
    words = ""
    for start in range(0, len(text), size):
        words += watch.feed(text[start : start + size])
        if watch.done:
            break
    return watch, words + watch.flush()


CASES = {
    "a block": ("```python\nprint(1)\n```", "", "print(1)"),
    "words before": (
        "Let me see:\n\n```python\nx = 1\nx\n```\nDone",
        "Let me see:\n\n",
        "x = 1\nx",
    ),
    "short name": ("```py\nx\n```", "", "x"),
    "not closed": ("```python\nprint(1)\nprint(2)", "", "print(1)\nprint(2)"),
    "half closed": ("```python\nprint(1)\n``", "", "print(1)"),
    "empty": ("```python\n```", "", ""),
    "ticks inside": ("```python\nprint('`')\n```", "", "print('`')"),
    "another language": ("```json\n{}\n``` and so on", "```json\n{}\n``` and so on", None),
    "no language": ("```\nls\n```", "```\nls\n```", None),
    "quoted": ("use `x` and ``y``.", "use `x` and ``y``.", None),
    "words": ("nothing here", "nothing here", None),
    "a tick at the end": ("the end `", "the end `", None),
    "after another": ("```json\n{}\n```\n```python\nx\n```", "```json\n{}\n```\n", "x"),
}


@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize(("text", "words", "code"), CASES.values(), ids=CASES.keys())
def test_an_answer_is_divided_into_words_and_code(text, words, code, size):
    watch, found = divided(text, size)
    assert found == words
    assert watch.begun == watch.done == (code is not None)
    assert code is None or watch.code == code


def test_code_whose_opener_was_written_for_the_model():
    watch, words = divided("print(1)\n```\nmore", 4, begun=True)
    assert (watch.code, words, watch.done) == ("print(1)", "", True)


@given(st.lists(st.sampled_from(["`", "```", "a", " ", "\n", "json", "py"])))
def test_nothing_is_lost_where_there_is_no_code(parts):
    watch = CodeWatch()
    words = "".join(watch.feed(part) for part in parts) + watch.flush()
    if not watch.begun:
        assert words == "".join(parts)


def test_what_the_model_is_shown():
    assert written("x = 1") == "```python\nx = 1\n```"
    assert "Output of the code:\n3\n" in output_text("3\n", failed=False)
    assert "printed nothing" in output_text("", failed=False)
    assert "Correct the code" in output_text("NameError", failed=True)
