"""What is believed of a kernel's messages: nothing but bounded text and images."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localassist.interpreter.outputs import (
    MAX_IMAGES,
    MAX_MESSAGES,
    MAX_TEXT_CHARS,
    OutputCollector,
    clean,
)

PNG = b"\x89PNG\r\n\x1a\nrest"


def message(kind, content, parent="m"):
    return {"msg_type": kind, "content": content, "parent_header": {"msg_id": parent}}


def collected(*messages):
    collector = OutputCollector("m")
    for each in messages:
        collector.take(each)
    return collector


def stream(text):
    return message("stream", {"name": "stdout", "text": text})


def display(**data):
    return message("display_data", {"data": {key.replace("_", "/"): v for key, v in data.items()}})


def test_text_of_streams_and_values_and_tracebacks():
    found = collected(
        stream("a\n"),
        message("execute_result", {"data": {"text/plain": "5"}}),
        message("error", {"ename": "E", "evalue": "v", "traceback": ["line 1", "E: v"]}),
        message("execute_reply", {"status": "error"}),
        message("status", {"execution_state": "idle"}),
    )
    assert found.logs == "a\n5\nline 1\nE: v"
    assert (found.status, found.replied, found.idle) == ("error", True, True)


def test_messages_of_other_cells_do_not_count():
    found = collected(message("stream", {"text": "x"}, parent="other"), {"msg_type": "stream"})
    assert (found.logs, found.num_messages) == ("", 0)


def test_a_figure_is_taken_for_what_it_is_not_for_what_it_is_called():
    good = base64.b64encode(PNG).decode()
    found = collected(
        display(image_png=good, text_plain="<Figure>"),
        display(image_png=base64.b64encode(b"<svg>").decode(), text_plain="no picture"),
        display(image_png="%%%", text_html="<script>"),
    )
    assert [(image.media_type, image.data) for image in found.images] == [("image/png", PNG)]
    assert found.logs == "no picture\n"


def test_there_is_an_end_to_figures_and_to_messages():
    good = base64.b64encode(PNG).decode()
    found = collected(*[display(image_png=good)] * (MAX_IMAGES + 5))
    assert len(found.images) == MAX_IMAGES
    assert not found.flooded
    assert collected(*[stream("")] * (MAX_MESSAGES + 1)).flooded


@pytest.mark.parametrize("size", [10, 997, 400_000])
def test_of_a_long_text_head_and_tail_are_kept(size):
    total = 1_000_000
    text = "".join(f"{number:07d}\n" for number in range(total // 8))
    found = collected(
        *(stream(text[at : at + size]) for at in range(0, min(total, size * 600), size))
    )
    sent = text[: min(total, -(-min(total, size * 600) // size) * size)]
    if len(sent) <= MAX_TEXT_CHARS:
        assert found.logs == sent
        return
    half = MAX_TEXT_CHARS // 2
    head, _, tail = found.logs.partition("\n[...")
    assert head == sent[:half]
    assert tail.endswith(sent[-half:])
    assert f" {len(sent) - 2 * half:,} characters left out ...]" in tail


def test_what_would_move_a_terminal_or_turn_a_line_around_is_gone():
    assert clean("a\x1b[31mred\x1b[0m\x07\x1b]0;title\x07b\u202ec\x00\x9b\ud800") == "aredbc"
    assert clean("tab\tand\nline é 漢") == "tab\tand\nline é 漢"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(
        st.sampled_from(
            ["msg_type", "content", "parent_header", "msg_id", "data", "text", "traceback",
             "image/png", "text/plain", "execution_state", "status", "payload"]
        ),
        inner,
        max_size=5,
    ),
    max_leaves=25,
)  # fmt: skip


@given(JSON, st.sampled_from(["stream", "error", "display_data", "execute_reply", "status", "x"]))
def test_no_message_is_an_error(content, kind):
    collector = OutputCollector("m")
    collector.take(content)
    collector.take(message(kind, content))
    assert isinstance(collector.logs, str)
