"""What a call costs: scripted answers, so that nothing but the API is measured.

The last figure needs a model that computes while the calls are made: the smallest listed one.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.harness import Bench, Target, model_facts, report
from localassist import Client, ScriptedBackend, Settings
from localassist.engine.cores import usable_cores
from localassist.engine.model_files import ModelFiles
from localassist.errors import ModelFileError
from localassist.store import messages
from localassist.types.message import Message, Text, TextContent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from localassist.types.run import Run

NUM_MESSAGES = 100_000
PAGE = 20
MODEL = "smollm2-135m-instruct"
N_CTX = 2048
CALLS_BESIDE_RUN = 1000
THINK_S = 0.002  # between two calls beside a run, as of a caller that polls
CREATE, RETRIEVE, LIST = Target(1), Target(0.3), Target(2)
BESIDE_RUN = Target(5, statistic="p99")
bench = Bench()


def _finished_run(client: Client) -> Run:
    assistant = client.beta.assistants.create(model="gpt-4", instructions="Be brief.")
    turn: Any = {"role": "user", "content": "Say something."}
    run = client.beta.threads.create_and_run_poll(
        assistant_id=assistant.id, thread={"messages": [turn]}
    )
    assert run.status == "completed", run
    return run


def _fill(client: Client, thread_id: str) -> list[str]:
    """Store the messages, and return their ids, oldest first."""
    ids = [f"msg_{number:024}" for number in range(NUM_MESSAGES)]
    content: Any = [TextContent(text=Text(value="A question of an ordinary length. " * 4))]
    with client._runtime.store.write() as tx:
        for each in ids:
            message = Message(
                id=each, thread_id=thread_id, role="user", content=content, created_at=1_700_000_000
            )
            messages.TABLE.insert(tx, message)
    return ids


def short_calls(client: Client) -> None:
    """Creating and retrieving."""
    threads = client.beta.threads
    thread = threads.create()
    bench(
        "create a message",
        lambda: threads.messages.create(thread.id, role="user", content="How are you?"),
        target=CREATE,
    )
    run = _finished_run(client)
    bench(
        "retrieve a run",
        lambda: threads.runs.retrieve(run.id, thread_id=run.thread_id),
        target=RETRIEVE,
    )


def pages(client: Client) -> None:
    """Listing a long thread, everywhere and in both directions."""
    thread = client.beta.threads.create()
    oldest_first = _fill(client, thread.id)
    list_messages: Any = client.beta.threads.messages.list
    for order, ids in (("desc", oldest_first[::-1]), ("asc", oldest_first)):
        middle, last = NUM_MESSAGES // 2, NUM_MESSAGES - PAGE
        places = {
            "first page": (0, {}),
            "after, middle page": (middle, {"after": ids[middle - 1]}),
            "after, last page": (last, {"after": ids[last - 1]}),
            "before, first page": (0, {"before": ids[PAGE]}),
            "before, middle page": (middle, {"before": ids[middle + PAGE]}),
            "before, last page": (last - 1, {"before": ids[-1]}),
            "both, middle": (middle, {"after": ids[middle - 1], "before": ids[middle + PAGE]}),
        }
        for place, (begin, cursors) in places.items():
            call = partial(list_messages, thread.id, limit=PAGE, order=order, **cursors)
            found = [message.id for message in call().data]
            assert found == ids[begin : begin + PAGE], (order, place)
            bench(f"list {PAGE} of {NUM_MESSAGES:,}, {order}: {place}", call, target=LIST)


def beside_a_run(home: Path) -> None:
    """Retrieving a run while a real model computes its answer, calls `THINK_S` apart."""
    settings = replace(Settings.from_env(), home=home, model=MODEL, n_ctx=N_CTX)
    try:
        model = ModelFiles(settings.models, default=MODEL).resolve(MODEL)
    except ModelFileError as error:
        print(f"retrieve a run beside a run: not measured: {error}")
        return
    values: list[float] = []
    with Client(settings=settings) as client:
        while len(values) < CALLS_BESIDE_RUN:
            values += islice(_calls_beside(client), CALLS_BESIDE_RUN - len(values))
    threads = settings.n_threads or usable_cores()
    facts: dict[str, Any] = {**model_facts(model.path), "threads": threads, "n_ctx": N_CTX}
    name = "retrieve a run beside a run of smollm2-135m"
    report(name, values, unit="ms", target=BESIDE_RUN, **facts)


def _calls_beside(client: Client) -> Iterator[float]:
    """Times of calls while the model generates; ends with its answer."""
    threads = client.beta.threads
    assistant = client.beta.assistants.create(model=MODEL, temperature=0)
    thread = threads.create()
    threads.messages.create(thread.id, role="user", content="Write a very long story.")
    run = threads.runs.create(thread.id, assistant_id=assistant.id)
    while not threads.messages.list(thread.id, limit=1).data[0].run_id:
        time.sleep(THINK_S)  # the model is being loaded
    while run.status in ("queued", "in_progress"):
        started = time.perf_counter()
        run = threads.runs.retrieve(run.id, thread_id=thread.id)
        yield (time.perf_counter() - started) * 1000
        time.sleep(THINK_S)


def main() -> None:
    """Measure."""
    with tempfile.TemporaryDirectory() as folder:
        with Client(folder, backend=ScriptedBackend()) as client:
            short_calls(client)
            pages(client)
        beside_a_run(Path(folder) / "model")


if __name__ == "__main__":
    main()
