"""ThreadEngine: an EngineLoop in an OS thread of this process."""

from __future__ import annotations

import logging
import secrets
import sys
import threading
from typing import TYPE_CHECKING

from localassist.engine.chat_template import ChatTemplate
from localassist.engine.constraint import GrammarCompiler
from localassist.engine.loop import EngineLoop, LoopSettings, LoopTimes
from localassist.engine.request import Generation, SamplingParams
from localassist.engine.tool_dialect import ToolHabits
from localassist.errors import BadRequestError, ContextOverflowError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from localassist.engine.backend import Backend
    from localassist.engine.chat_template import ChatMessage
    from localassist.engine.constraint import Constraint, Grammar
    from localassist.engine.kv_store import KvStore
    from localassist.engine.request import EngineStats, GenerationRequest

log = logging.getLogger("localassist.engine")

# llama_decode gives the interpreter's lock away and then waits a whole switch interval for it; at
# the default 5 ms, a busy thread beside it halves the speed.
_SWITCH_INTERVAL_S = 0.0005


def _new_seed() -> int:
    return secrets.randbits(32)


class ThreadEngine:
    """A loaded model that answers. Every method may be called from any OS thread."""

    def __init__(
        self,
        backend: Backend,
        *,
        name: str,
        settings: LoopSettings | None = None,
        kv: KvStore | None = None,
        sampling_defaults: SamplingParams | None = None,
        tools: ToolHabits | None = None,
        new_seed: Callable[[], int] = _new_seed,
    ) -> None:
        """Start the worker.

        Args:
            backend: from now on the worker's own.
            name: the model, for people.
            settings: how it computes.
            kv: where idle conversations are hibernated; closed with the engine.
            sampling_defaults: for what a caller leaves open.
            tools: how the model behaves with functions in view.
            new_seed: gives the seed of a generation that names none.
        """
        self.name = name
        self.sampling_defaults = sampling_defaults or SamplingParams()
        self.tools = tools or ToolHabits()
        self._backend = backend
        self._template = ChatTemplate(
            backend.chat_template, bos_text=backend.bos_text, eos_text=backend.eos_text
        )
        self._kv = kv
        self._grammars = GrammarCompiler(backend)
        self._loop = EngineLoop(backend, new_seed=new_seed, settings=settings, kv=kv)
        sys.setswitchinterval(min(sys.getswitchinterval(), _SWITCH_INTERVAL_S))
        self._worker = threading.Thread(target=self._work, name=f"engine-{name}", daemon=True)
        self._worker.start()

    @property
    def n_ctx(self) -> int:
        """Tokens that one conversation can hold, prompt and answer together."""
        return self._backend.n_ctx

    def encode_chat(self, messages: Sequence[ChatMessage]) -> list[int]:
        """Tokens of a conversation, up to where the assistant's answer begins."""
        return self._template.encode(messages, self._backend)

    def encode_text(self, text: str) -> list[int]:
        """Tokens of a text, none of them a control token."""
        return self._backend.tokenize(text, parse_special=False)

    def encode_frame(self, text: str) -> list[int]:
        """Tokens of a text of ours, in which names of control tokens mean these."""
        return self._backend.tokenize(text, parse_special=True)

    def encode_on(self, said: Sequence[int], text: str, *, keep: int) -> list[int]:
        """Tokens of a text whose beginning a model has said; see Engine."""
        head, data = text[:keep].encode(), text.encode()
        count = size = reached = 0
        for number, token in enumerate(said, 1):
            piece = self._backend.token_bytes(token)
            if not piece or not head.startswith(piece, reached):
                break
            reached += len(piece)
            if reached == len(data) or data[reached] & 0xC0 != 0x80:  # no character is cut
                count, size = number, reached
        rest = self.encode_frame(data[size:].decode())
        if b"".join(map(self._backend.token_bytes, rest)) != data[size:]:
            # Some vocabularies put a space before any text, and control tokens have no bytes.
            return self.encode_frame(text)
        return [*said[:count], *rest]

    def constrain(self, grammar: Grammar) -> Constraint:
        """A constraint for one generation; see Engine."""
        return self._grammars.compile(grammar)

    @property
    def stats(self) -> EngineStats:
        """What is running and what waits, and for what."""
        return self._loop.stats

    @property
    def times(self) -> LoopTimes:
        """Where the worker's time went."""
        return self._loop.times

    def submit(self, request: GenerationRequest) -> Generation:
        """Queue a generation and return at once; see Engine."""
        length = len(request.prompt_tokens)
        if length == 0:
            raise BadRequestError("The prompt is empty.", code="empty_prompt")
        if length >= self.n_ctx:
            raise ContextOverflowError(
                f"The prompt has {length} tokens; the context of '{self.name}' holds {self.n_ctx}.",
                code="context_length_exceeded",
                hint="Shorten it, or raise the setting n_ctx.",
            )
        generation = Generation(request, cancel=self._loop.cancel)
        self._loop.submit(generation)
        return generation

    def close(self) -> None:
        """End all generations and free the model."""
        self._loop.stop()
        self._worker.join()

    def _work(self) -> None:
        try:
            while True:
                try:
                    self._loop.run()
                except Exception as error:
                    log.exception("the engine of '%s' failed", self.name)
                    self._loop.fail(error)
                else:
                    return
        finally:
            self._backend.close()
            if self._kv is not None:
                self._kv.close()
