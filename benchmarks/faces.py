"""What the openai SDK costs over the native client: in process and over a socket.

python -m benchmarks.faces [--clients 64 --streams 8]
"""

from __future__ import annotations

import argparse
import asyncio
import math
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import openai

from benchmarks.harness import Target, report, timed_ms
from localassist import Client, ScriptedBackend, Settings, openai_client
from localassist.api.runtime import Runtime
from localassist.http.app import App
from localassist.http.server import listening_socket, server

if TYPE_CHECKING:
    from collections.abc import Iterator

_ROUNDS = 400
_POLL_S = 0.25
_MODEL = "smollm2-135m-instruct"


@contextmanager
def served(runtime: Runtime) -> Iterator[str]:
    """A server on a free port of this machine; its base URL."""
    listening = listening_socket("127.0.0.1", 0)
    running = server(App(runtime))
    worker = threading.Thread(target=running.run, args=([listening],), daemon=True)
    worker.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
    finally:
        running.should_exit = True
        worker.join()


def overhead(home: Path) -> None:
    """A retrieve by each face, in turn."""
    runtime = Runtime(Settings(home=home, api_version="v2"), backend=ScriptedBackend())
    native, in_process = Client.of(runtime), openai_client(runtime=runtime)
    with served(runtime) as url:
        socket = openai.OpenAI(base_url=url, api_key="none")
        assistant = native.beta.assistants.create(model="gpt-4")
        faces: list[tuple[str, Any]] = [
            ("native", native), ("SDK in process", in_process), ("SDK over a socket", socket)
        ]  # fmt: skip
        values: dict[str, list[float]] = {name: [] for name, _ in faces}
        for _ in range(_ROUNDS):
            for name, client in faces:
                retrieve = client.beta.assistants.retrieve
                values[name].append(timed_ms(lambda r=retrieve: r(assistant.id)))  # type: ignore[misc]  # bound at once
        for name, _ in faces:
            report(f"retrieve, {name}", values[name], unit="ms")
        base = statistics.median(values["native"])
        for name, goal in (("SDK in process", 0.4), ("SDK over a socket", 1.5)):
            over = [value - base for value in values[name]]
            report(f"{name}, over the native client", over, unit="ms", target=Target(goal))
        in_process.close()
    native.close()


def crowd(home: Path, num_clients: int, num_streams: int, *, in_step: bool) -> None:
    """Clients that poll and that stream while a model answers; every event is counted.

    With `in_step` all pollers ask in the same instant; else as programs that know nothing of one
    another.

    The server is a process of its own, as it is in use.
    """
    command = [sys.executable, "-m", "localassist", "serve", "--home", str(home), "--port", "0"]
    with subprocess.Popen(
        [*command, "--model", _MODEL], stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None, "it was opened with a pipe"
        server.stdout.readline()
        url = server.stdout.readline().split()[1]
        try:
            waits, lost = asyncio.run(_crowd(url, num_clients, num_streams, in_step=in_step))
        finally:
            server.terminate()
    p99 = sorted(waits)[math.ceil(0.99 * len(waits)) - 1]
    how = "in step" if in_step else "each for itself"
    report(f"retrieve, {num_clients} clients polling {how}", waits, unit="ms")
    report("its p99", [p99], unit="ms", target=Target(50))
    report("events lost or doubled", [float(lost)], unit="", target=Target(0))


async def _crowd(
    url: str, num_clients: int, num_streams: int, *, in_step: bool
) -> tuple[list[float], int]:
    client = openai.AsyncOpenAI(base_url=url, api_key="none")
    await client.models.list()  # tried again until the server listens
    assistant = await client.beta.assistants.create(model="gpt-4", instructions="Tell a story.")
    done = asyncio.Event()
    waits: list[float] = []

    async def poll(after_s: float) -> None:
        await asyncio.sleep(after_s)
        while not done.is_set():
            started = time.perf_counter()
            await client.beta.assistants.retrieve(assistant.id)
            waits.append((time.perf_counter() - started) * 1000)
            await asyncio.sleep(_POLL_S)

    async def stream() -> int:
        thread = await client.beta.threads.create(
            messages=[{"role": "user", "content": "About a ship, in two hundred words."}]
        )
        names, text = [], ""
        async with client.beta.threads.runs.stream(
            thread_id=thread.id, assistant_id=assistant.id, max_completion_tokens=256
        ) as events:
            async for event in events:
                names.append(event.event)
                if event.event == "thread.message.delta":
                    parts: Any = event.data.delta.content
                    text += "".join(part.text.value or "" for part in parts)
            final: Any = await events.get_final_messages()
        once = {name for name in names if names.count(name) == 1}
        expected = {"thread.run.created", "thread.run.in_progress", "thread.message.created"}
        wrong = final[0].content[0].text.value != text
        return len(expected - once) + int(wrong)

    apart_s = 0.0 if in_step else _POLL_S / num_clients
    offsets = [apart_s * number for number in range(num_clients)]
    pollers = [asyncio.ensure_future(poll(offset)) for offset in offsets]
    lost = sum(await asyncio.gather(*(stream() for _ in range(num_streams))))
    done.set()
    await asyncio.gather(*pollers)
    await client.close()
    return waits, lost


_LISTEN = """
import sys, time, warnings, openai
warnings.simplefilter("ignore")
client = openai.OpenAI(base_url=sys.argv[1], api_key="none")
turn = {"role": "user", "content": "Hi"}
for _ in range(int(sys.argv[3])):
    with client.beta.threads.create_and_run_stream(
        assistant_id=sys.argv[2], thread={"messages": [turn]}
    ) as events:
        for event in events:
            if event.event == "thread.message.delta":
                print(events.current_run.id, time.time(), flush=True)
                break
        run = events.current_run
    client.beta.threads.runs.cancel(run.id, thread_id=run.thread_id)
"""


def first_delta(home: Path) -> None:
    """How long after a token exists a client of the socket, another process, has its text."""
    born: dict[str, float] = {}
    runtime = Runtime(Settings(home=home, api_version="v2", model=_MODEL))
    publish = runtime.bus.publish

    def watched(run_id: str, events: Any) -> None:
        if any(event.event == "thread.message.delta" for event in events):
            born.setdefault(run_id, time.time())
        publish(run_id, events)

    runtime.bus.publish = watched  # type: ignore[method-assign]  # to see when a token exists
    assistant = Client.of(runtime).beta.assistants.create(model="gpt-4")
    with served(runtime) as url:
        command = [sys.executable, "-c", _LISTEN, url, assistant.id, "30"]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    runtime.close()
    lines = [line.split() for line in told.splitlines()]
    delays = [(float(at) - born[run_id]) * 1000 for run_id, at in lines]
    report("first delta at a client of the socket", delays, unit="ms", target=Target(5))


def main() -> None:
    """Measure all."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--streams", type=int, default=8)
    chosen = parser.parse_args()
    warnings.simplefilter("ignore", DeprecationWarning)  # the SDK's, at every call of assistants
    with tempfile.TemporaryDirectory() as home:
        overhead(Path(home) / "overhead")
        first_delta(Path(home) / "delta")
        for in_step in (False, True):
            crowd(Path(home) / f"crowd-{in_step}", chosen.clients, chosen.streams, in_step=in_step)


if __name__ == "__main__":
    main()
