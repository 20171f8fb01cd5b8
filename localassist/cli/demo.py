"""`localassist demo`: the document's example, told while it happens."""

from __future__ import annotations

import json
import tempfile
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from localassist.client.client import Client
    from localassist.types._base import Model
    from localassist.types.assistant import Assistant
    from localassist.types.run import Run
    from localassist.types.thread import Thread

EQUATION = "I need to solve the equation `3x + 11 = 14`. Can you help me?"
AT_ONCE = (EQUATION, "Could you explain linear algebra to me?", "I don't like math. What can I do?")


def demo(
    model: Annotated[str | None, typer.Option(help="A listed model, or a path to a GGUF.")] = None,
    home: Annotated[
        str | None, typer.Option(help="Data folder to leave behind; by default it is temporary.")
    ] = None,
) -> None:
    """Walk through the document's example: answer, follow up, three runs at once."""
    with tempfile.TemporaryDirectory(prefix="localassist-demo-") as folder:
        _walk(home or folder, model)


def _walk(home: str, model: str | None) -> None:
    from localassist import Client

    started = time.perf_counter()
    with Client(home, model=model) as client:
        loaded = client.models.list().data
        _say(f"localassist on {home}; models here: {', '.join(each.id for each in loaded)}")
        assistant = client.beta.assistants.create(
            name="Math Tutor",
            instructions="You are a personal math tutor. Answer questions briefly, in a sentence "
            "or less.",
            model="gpt-4-1106-preview",
        )
        _show("assistant", assistant)
        thread = client.beta.threads.create()
        _show("thread", thread)
        message = client.beta.threads.messages.create(
            thread_id=thread.id, role="user", content=EQUATION
        )
        _show("message", message)
        _say("The first run loads the model.")
        _stream(client, thread, assistant)
        client.beta.threads.messages.create(
            thread_id=thread.id, role="user", content="Could you explain this to me?"
        )
        run = _stream(client, thread, assistant)
        _show("run", run)
        _three_at_once(client, assistant)
    with Client(home, model=model) as client:
        kept = client.beta.threads.messages.list(thread_id=thread.id)
        _say(f"Opened again: the thread still has its {len(kept.data)} messages.")
    _say(f"Done in {time.perf_counter() - started:.1f} s.")


@dataclass
class _Clock:
    started: float
    first: float | None = None

    def tick(self) -> None:
        if self.first is None:
            self.first = time.perf_counter()


def _stream(client: Client, thread: Thread, assistant: Assistant) -> Run:
    """Run the assistant, print its answer as it comes and what it cost."""
    clock = _Clock(time.perf_counter())
    print("\nassistant: ", end="", flush=True)
    with client.beta.threads.runs.stream(thread.id, assistant_id=assistant.id) as stream:
        for text in stream.text_deltas:
            clock.tick()
            print(text, end="", flush=True)
    print()
    page = client.beta.threads.runs.list(thread_id=thread.id, limit=1)
    run = page.data[0]
    _say(_cost(run, clock))
    return run


def _three_at_once(client: Client, assistant: Assistant) -> None:
    """The document's concurrent requests: all are started before the first is waited for."""
    started = time.perf_counter()
    runs = []
    for question in AT_ONCE:
        thread = client.beta.threads.create()
        client.beta.threads.messages.create(thread_id=thread.id, role="user", content=question)
        runs.append(client.beta.threads.runs.create(thread_id=thread.id, assistant_id=assistant.id))
    _say(f"Three runs were started in {1000 * (time.perf_counter() - started):.0f} ms.")
    for run in runs:
        done = client.beta.threads.runs.poll(run.id, thread_id=run.thread_id)
        _print_thread(client, done)
    last = runs[-1].thread_id
    client.beta.threads.messages.create(thread_id=last, role="user", content="Thank you!")
    done = client.beta.threads.runs.create_and_poll(last, assistant_id=assistant.id)
    _print_thread(client, done)
    _say(f"All four runs took {time.perf_counter() - started:.1f} s.")


def _print_thread(client: Client, run: Run) -> None:
    print("\n# Messages")
    for message in client.beta.threads.messages.list(thread_id=run.thread_id, order="asc"):
        print(f"{message.role}: {message.text}")
    usage = run.usage
    if usage is None:
        _say(f"run {run.status}: {run.last_error.message if run.last_error else ''}")
    else:
        cached = usage.prompt_tokens_details.cached_tokens
        _say(f"run {run.status}; {cached} of {usage.prompt_tokens} prompt tokens were reused")


def _cost(run: Run, clock: _Clock) -> str:
    if run.usage is None or clock.first is None:
        return f"run {run.status}: {run.last_error.message if run.last_error else ''}"
    generated, prompt = run.usage.completion_tokens, run.usage.prompt_tokens
    cached = run.usage.prompt_tokens_details.cached_tokens
    speed = (generated - 1) / max(1e-6, time.perf_counter() - clock.first)
    return (
        f"first words after {clock.first - clock.started:.2f} s, {generated} tokens at "
        f"{speed:.1f} a second; {cached} of {prompt} prompt tokens were reused"
    )


def _show(name: str, value: Model) -> None:
    print(f"\n{name} = {json.dumps(json.loads(value.model_dump_json()), indent=1)}")


def _say(text: str) -> None:
    typer.secho(f"# {text}", fg=typer.colors.BRIGHT_BLACK)
