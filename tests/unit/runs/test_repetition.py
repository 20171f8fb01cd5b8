"""A model that says the same for ever is stopped, one that says much alike is not."""

from __future__ import annotations

import pytest

from localassist import Client, ScriptedBackend
from localassist.runs.repetition import Repetition


def stopped(text):
    """At which character, or None."""
    repetition = Repetition()
    return next((at for at, char in enumerate(text, 1) if repetition.feed(char) is not None), None)


@pytest.mark.parametrize("piece", ["a", "I see. ", "The passages do not say it, " * 6])
def test_one_piece_again_and_again_is_stopped(piece):
    text = "It begins well, with words of its own. " + piece * 4000
    assert 2000 <= stopped(text) <= 2600
    assert Repetition().feed(text) == stopped(text)


@pytest.mark.parametrize(
    "text",
    [
        "I will not talk in class.\n" * 70,
        "\n".join(f"{number}. ship number {number}" for number in range(400)),
        " ".join(f"{number:04}" for number in range(1000)),
    ],
)
def test_what_changes_or_is_short_goes_on(text):
    assert stopped(text) is None


def test_the_run_ends_as_incomplete_with_its_text(home):
    backend = ScriptedBackend(lambda _: "The same again. " * 2000, n_ctx=32768)
    with Client(home, backend=backend) as client:
        assistant = client.beta.assistants.create(model="gpt-4")
        run = client.beta.threads.create_and_run_poll(
            assistant_id=assistant.id, thread={"messages": [{"role": "user", "content": "Go on."}]}
        )
        assert run.status == "incomplete"
        assert run.incomplete_details.reason == "max_completion_tokens"
        (message,) = client.beta.threads.messages.list(run.thread_id, limit=1).data
        assert message.status == "incomplete"
        assert message.text.startswith("The same again.")
        assert len(message.text) < 2600
