"""CodeWatch: words and code told apart while they come."""

from __future__ import annotations

import json

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
    "a tagged call": (
        '<tool_call>\n{"name": "python", "arguments": {"code": "x = 1\\nprint(x)"}}\n</tool_call>',
        "",
        "x = 1\nprint(x)",
    ),
    "a fenced call": (
        'Let me see.\n```json\n[{"name": "code_interpreter", "arguments": {"code": "x"}}]\n```\nOk',
        "Let me see.\n",
        "x",
    ),
    "a bare call": ('{"name": "python", "arguments": {"input": "a\\tb"}} so', "", "a\tb"),
    "a call with its code as arguments": ('{"name": "python", "arguments": "x"}', "", "x"),
    "a call as OpenAI prints it": (
        '{"name": "python", "arguments": "{\\"code\\": \\"print(1)\\\\nx\\"}"}',
        "",
        "print(1)\nx",
    ),
    "a call that is not closed": ('{"name": "python", "arguments": {"code": "x = 1', "", "x = 1"),
    "a call without code": ('{"name": "python", "arguments": {}}', "", ""),
    "a call with what is no JSON": (
        '{"name": "python", "arguments": {"code": "re.search(\'\\d+\', s)\ny"}}',
        "",
        "re.search('\\d+', s)\ny",
    ),
    "a call with escapes": (
        '{"name": "python", "arguments": {"code": "print(\\"\\u00e9\\\\n\\ud800\\")"}}',
        "",
        'print("é\\n�")',
    ),
    "a call of something else": (
        '{"name": "add", "arguments": {}}',
        '{"name": "add", "arguments": {}}',
        None,
    ),
    "a call in the middle of a line": (
        'It is {"name": "python"} there',
        'It is {"name": "python"} there',
        None,
    ),
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


def test_a_call_that_nests_without_end_is_no_error():
    watch = CodeWatch()
    watch.feed('{"name": "python", "arguments": ' + "[" * 100_000)
    assert (watch.begun, watch.done, watch.code) == (True, False, "")


def test_a_function_of_the_caller_is_not_code():
    call = '{"name": "python", "arguments": {"code": "x"}}'
    watch = CodeWatch(functions=["python"])
    assert watch.feed(call) + watch.flush() == call
    assert not watch.begun


@given(st.text(), st.integers(1, 9))
def test_code_in_a_call_grows_and_is_what_was_meant(code, size):
    call = json.dumps({"name": "python", "arguments": {"code": code}})
    watch, before = CodeWatch(), ""
    for start in range(0, len(call), size):
        assert watch.feed(call[start : start + size]) == ""
        grown = watch.code
        assert grown.rstrip().startswith(before.rstrip())
        before = grown
    assert watch.done
    assert watch.code == code.rstrip()


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
