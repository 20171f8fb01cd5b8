"""The peers of the engine's benchmarks: other ways to have a GGUF file answer the same prompts.

Each is in the child that `engine_sides` starts; what this project does not depend on is looked for
where an environment variable says, and never imported into this process.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from typing_extensions import override

N_BATCH = 512
_HERE = Path(__file__).parent


class Streaming(ABC):
    """Asks several prompts in threads and notes when what came."""

    @abstractmethod
    def stream(self, prompt: str, **arguments: Any) -> Any:
        """Yield (text, number of tokens, cached tokens)."""

    def ask(self, prompts: list[str], **arguments: Any) -> dict[str, Any]:
        results: list[Any] = [None] * len(prompts)
        started = time.perf_counter()

        def follow(index: int) -> None:
            times, texts, count, cached = [], [], 0, 0
            for text, num_tokens, num_cached in self.stream(prompts[index], **arguments):
                times.append(time.perf_counter() - started)
                texts.append(text)
                count, cached = count + num_tokens, num_cached
            results[index] = (times, count, cached, "".join(texts))

        workers = [threading.Thread(target=follow, args=(i,)) for i in range(len(prompts))]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        wall_s = time.perf_counter() - started
        times, counts, cached, texts = zip(*results, strict=True)
        return {
            "wall_s": wall_s, "firsts_s": [each[0] for each in times], "times_s": times,
            "num_tokens": counts, "num_cached": cached, "texts": texts,
        }  # fmt: skip


class Locked(Streaming):
    """llama-cpp-python's `Llama`, one request at a time."""

    needs = "llama-cpp-python"

    def __init__(self, path: str, options: dict[str, Any]) -> None:
        from llama_cpp import Llama

        self._lock = threading.Lock()
        self._llama = Llama(
            path, n_ctx=options["n_ctx"], n_threads=options["n_threads"],
            n_threads_batch=options["n_threads"], n_batch=N_BATCH, verbose=False,
        )  # fmt: skip

    @staticmethod
    def installed() -> bool:
        return True

    @override
    def stream(self, prompt: str, **arguments: Any) -> Any:
        with self._lock:
            chunks: Any = self._llama.create_completion(
                self._llama.tokenize(prompt.encode(), add_bos=False, special=True),
                max_tokens=arguments["num_tokens"],
                temperature=arguments.get("temperature", 0.0),
                stream=True,
            )
            for chunk in chunks:
                # The last chunk says only why it ended.
                yield chunk["choices"][0]["text"], int(not chunk["choices"][0]["finish_reason"]), 0

    def close(self) -> None:
        """Nothing."""


class _Served(Streaming):
    """llama.cpp's server, whoever runs it."""

    _process: subprocess.Popen[str]
    _port: int

    def _request(self, method: str, route: str, body: Any) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection("127.0.0.1", self._port)
        connection.request(method, route, json.dumps(body), {"Content-Type": "application/json"})
        return connection.getresponse()

    @override
    def stream(self, prompt: str, **arguments: Any) -> Any:
        body = {
            "prompt": prompt, "n_predict": arguments["num_tokens"], "stream": True,
            "temperature": arguments.get("temperature", 0.0), "cache_prompt": True,
        }  # fmt: skip
        with self._request("POST", "/completion", body) as response:
            for line in response:
                if line.startswith(b"data: {"):
                    event = json.loads(line[6:])
                    if not event.get("stop"):
                        yield event["content"], len(event.get("tokens") or [0]), 0

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()


class Server(_Served):
    """llama-server."""

    needs = "LLAMA_SERVER names the program llama-server"

    def __init__(self, path: str, options: dict[str, Any]) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        threads = str(options["n_threads"])
        self._process = subprocess.Popen(
            [
                os.environ["LLAMA_SERVER"], "-m", path, "-c", str(options["n_ctx"]),
                "-np", str(options["slots"]), "-t", threads, "-tb", threads, "-b", str(N_BATCH),
                "--host", "127.0.0.1", "--port", str(self._port),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
        )  # fmt: skip
        while not self._healthy():
            time.sleep(0.1)

    @staticmethod
    def installed() -> bool:
        return bool(os.environ.get("LLAMA_SERVER"))

    def _healthy(self) -> bool:
        try:
            return self._request("GET", "/health", None).status == http.client.OK
        except OSError:
            return False


class Xllamacpp(_Served):
    """The server within the package xllamacpp; with one slot, its cache of prompts in RAM."""

    needs = "XLLAMACPP_PYTHON names a Python that has it"

    def __init__(self, path: str, options: dict[str, Any]) -> None:
        settings = json.dumps({**options, "n_batch": N_BATCH})
        self._process = _converse(self._python(), "peer_xllamacpp.py", path, settings)
        self._port = int(_line(self._process).rpartition(":")[2])

    @staticmethod
    def _python() -> str:
        return os.environ.get("XLLAMACPP_PYTHON") or sys.executable

    @classmethod
    def installed(cls) -> bool:
        command = [cls._python(), "-c", "import xllamacpp"]
        return not subprocess.run(command, capture_output=True, check=False).returncode


class NodeLlamaCpp:
    """The package node-llama-cpp: a sequence for each conversation, batched by itself."""

    needs = "NODE_LLAMA_CPP names the folder whose node_modules has it; node runs it"

    def __init__(self, path: str, options: dict[str, Any]) -> None:
        settings = json.dumps({**options, "n_batch": N_BATCH})
        self._process = _converse("node", "peer_node_llama_cpp.mjs", path, settings)
        _line(self._process)

    @staticmethod
    def installed() -> bool:
        folder = os.environ.get("NODE_LLAMA_CPP")
        package = Path(folder or "", "node_modules", "node-llama-cpp", "package.json")
        return bool(folder and package.is_file() and shutil.which("node"))

    def ask(self, prompts: list[str], **arguments: Any) -> dict[str, Any]:
        times: list[list[float]] = [[] for _ in prompts]
        texts, cached = [""] * len(prompts), [0] * len(prompts)
        running = len(prompts)
        started = time.perf_counter()
        print(json.dumps({"prompts": prompts, **arguments}), file=self._process.stdin, flush=True)
        while running:
            event = json.loads(_line(self._process))
            index = event["index"]
            if "text" in event:
                texts[index], cached[index] = event["text"], event["num_cached"]
                running -= 1
            else:
                times[index].append(time.perf_counter() - started)
        return {
            "wall_s": time.perf_counter() - started, "firsts_s": [each[0] for each in times],
            "times_s": times, "num_tokens": [len(each) for each in times], "num_cached": cached,
            "texts": texts,
        }  # fmt: skip

    def close(self) -> None:
        self._process.communicate()


def _converse(program: str, script: str, *arguments: str) -> subprocess.Popen[str]:
    """Start what reads lines and answers with lines, and ends when there are no more to read."""
    return subprocess.Popen(
        [program, str(_HERE / script), *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"'{process.args!r}' ended")
    return line


PEERS: dict[str, Any] = {
    "lock": Locked, "server": Server, "xllamacpp": Xllamacpp, "node-llama-cpp": NodeLlamaCpp,
}  # fmt: skip


def installed(*kinds: str) -> list[str]:
    """Those of the peers that are there; a line is printed for each of the others."""
    found = []
    for kind in kinds:
        if PEERS[kind].installed():
            found.append(kind)
        else:
            print(f"{kind}: not installed, skipped ({PEERS[kind].needs})")
    return found
