"""Interpreter: a kernel for each conversation that runs code, kept warm, and never unconfined.

Kernels start from a spare, live on between runs, and end after a while without use. What one had
in its variables is lost then, and the next cell says so; the files in /mnt/data are kept.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from localassist.errors import ClosedError, SandboxError
from localassist.interpreter.fork_server import open_server
from localassist.interpreter.kernel import SandboxedKernel
from localassist.interpreter.probe import chosen_tier
from localassist.interpreter.sandbox.policy import python_policy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from localassist.interpreter.fork_server import KernelServer
    from localassist.interpreter.outputs import Execution
    from localassist.interpreter.sandbox.policy import Tier
    from localassist.interpreter.session import KernelSession
    from localassist.interpreter.workspace import Collected

log = logging.getLogger("localassist.interpreter")

IDLE_S = 900.0
MAX_KERNELS = 8
# Most cells are done by then, and so do not share their processor with what is done beside.
_LATER_S = 0.03
_RESTARTED = (
    "The Python session was restarted because {why}; variables and imports are lost, files in "
    "/mnt/data are kept."
)


@dataclass(frozen=True)
class Result:
    """What a cell gave, and the files that it wrote."""

    execution: Execution
    files: Sequence[Collected] = ()


@dataclass
class _Conversation:
    """A conversation's kernel, if there is one, and what is put into its next one.

    Attributes:
        put: names of files that are in the kernel's /mnt/data.
        lost: why the last kernel has ended; empty if there was none.
    """

    lock: threading.Lock = field(default_factory=threading.Lock)
    session: KernelSession | None = None
    put: set[str] = field(default_factory=set)
    lost: str = ""
    used_at: float = 0.0


class Interpreter:
    """Runs code for conversations. Every method may be called from any OS thread."""

    def __init__(
        self,
        cache: Path,
        *,
        tier: Tier | None = None,
        max_kernels: int = MAX_KERNELS,
        idle_s: float = IDLE_S,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start nothing yet.

        Args:
            cache: a folder for what makes starting faster.
            tier: the sandbox; None for the best one that this machine has.
            max_kernels: at once; the one that was not used for longest gives way.
            idle_s: after so long without use a kernel ends.
            now: seconds on a clock that is never set.
        """
        self._cache = cache
        self._tier = tier
        self._tier_is_known = False
        self._max_kernels = max_kernels
        self._idle_s = idle_s
        self._now = now
        self._policy = python_policy()
        self._lock = threading.Lock()
        self._starting = threading.Lock()
        self._server: KernelServer | None = None
        self._spare: KernelSession | None = None
        self._conversations: dict[str, _Conversation] = {}
        self._closed = False
        # What is left to be done between cells has an OS thread of its own, which waits for this.
        self._left_to_do = threading.Event()
        self._housekeeper: threading.Thread | None = None
        self._ended: list[KernelSession] = []

    @property
    def tier(self) -> Tier:
        """The sandbox in use; the first call finds it out.

        Raises:
            SandboxError: this machine has none; the message says why.
        """
        with self._starting:
            return self._ready()[1]

    def execute(
        self,
        conversation_id: str,
        code: str,
        *,
        files: Mapping[str, Callable[[], Iterable[bytes]]] | None = None,
        timeout_s: float = 120.0,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> Result:
        """Run a cell in a conversation's kernel.

        Args:
            conversation_id: whose variables it sees.
            code: anything.
            files: what is to be in /mnt/data, by name; opened only if it is not there yet.
            timeout_s: see KernelSession.
            cancelled: see KernelSession.

        Raises:
            SandboxError: code cannot be confined here.
            ClosedError: the interpreter was closed.
        """
        self.reap()
        with self._lock:
            conversation = self._conversations.setdefault(conversation_id, _Conversation())
            if self._housekeeper is None and not self._closed:
                self._housekeeper = threading.Thread(
                    target=self._keep_house, name="kernel-housekeeper", daemon=True
                )
                self._housekeeper.start()
        with conversation.lock:
            notes = self._prepare(conversation, files or {})
            session = conversation.session
            assert session is not None, "it was just prepared"
            execution = session.execute(code, timeout_s=timeout_s, cancelled=cancelled)
            collected, left_out = session.workspace.collect()
            conversation.put.update(each.path for each in collected)
            conversation.used_at = self._now()
            if not session.alive:
                conversation.lost = (execution.notes or ("its code ended it",))[0]
                self._drop(conversation)
                notes = [*notes, _RESTARTED.format(why=conversation.lost)]
                conversation.lost = ""
        if self._spare is None:
            self._left_to_do.set()
        notes = [*notes, *left_out]
        return Result(replace(execution, notes=tuple(notes)), collected)

    def forget(self, conversation_id: str) -> None:
        """End a conversation's kernel: there is nobody left to use it."""
        with self._lock:
            conversation = self._conversations.pop(conversation_id, None)
        if conversation is not None:
            with conversation.lock:
                self._drop(conversation)

    def close(self) -> None:
        """End everything; a cell that runs ends as `died`."""
        with self._lock:
            self._closed = True
            housekeeper, self._housekeeper = self._housekeeper, None
            conversations = list(self._conversations.values())
            self._conversations.clear()
        for conversation in conversations:
            session = conversation.session
            if session is not None:
                session.kernel.sandbox.kill()
            with conversation.lock:
                self._drop(conversation)
        if housekeeper is not None:
            self._left_to_do.set()
            housekeeper.join()
        self._close_ended()
        with self._starting:
            if self._spare is not None:
                self._spare.close()
                self._spare = None
            if self._server is not None:
                self._server.close()
                self._server = None

    # --- kernels ---

    def _prepare(
        self, conversation: _Conversation, files: Mapping[str, Callable[[], Iterable[bytes]]]
    ) -> list[str]:
        """Have a kernel with the conversation's files; what the model should know of it."""
        notes = []
        if conversation.session is not None and not conversation.session.alive:
            conversation.lost = "its process ended"
            self._drop(conversation)
        if conversation.session is None:
            self._make_room()
            conversation.session = self._take_kernel()
            conversation.put.clear()
            if conversation.lost:
                notes.append(_RESTARTED.format(why=conversation.lost))
                conversation.lost = ""
        for name, opened in files.items():
            if name not in conversation.put:
                try:
                    conversation.session.workspace.put(name, opened())
                    conversation.put.add(name)
                except OSError as error:
                    notes.append(f"The file '{name}' could not be put into /mnt/data: {error}.")
        return notes

    def _take_kernel(self) -> KernelSession:
        with self._starting:
            server, tier = self._ready()
            session, self._spare = self._spare, None
            if session is not None and not session.alive:
                session.close()
                session = None
            if session is None:
                session = self._start(server, tier)
        return session

    def _keep_house(self) -> None:
        """End kernels and start a spare, when there are any to be, until the interpreter closes."""
        while True:
            self._left_to_do.wait()
            self._left_to_do.clear()
            if self._closed:
                return
            time.sleep(_LATER_S)
            try:
                self._close_ended()
                self._start_spare()
            except Exception:  # the next cell needs this OS thread again
                log.exception("what is between cells was not done")

    def _close_ended(self) -> None:
        while True:
            with self._lock:
                if not self._ended:
                    return
                session = self._ended.pop()
            session.close()

    def _start_spare(self) -> None:
        with self._starting:
            if self._closed or self._server is None:
                return
            if self._spare is not None:
                if self._spare.alive:
                    return
                self._spare.close()
                self._spare = None
            try:
                self._spare = self._start(*self._ready())
                # The first cell of a kernel does what need not be waited for later.
                self._spare.execute("None", timeout_s=20)
            except ClosedError:  # a moment ago; nobody needs one
                return
            except (SandboxError, OSError) as error:
                log.warning("no spare kernel: %s", error)

    def _start(self, server: KernelServer, tier: Tier) -> KernelSession:
        from localassist.interpreter.session import KernelSession

        return KernelSession(SandboxedKernel(server, self._policy, tier=tier))

    def _ready(self) -> tuple[KernelServer, Tier]:
        """The fork server, and the tier; `_starting` is held."""
        if self._closed:
            raise ClosedError("The interpreter is closed.")
        if self._server is None or not self._server.alive:
            self._server = open_server(self._cache)
        if not self._tier_is_known:
            self._tier = chosen_tier(self._server, self._policy, self._tier)
            self._tier_is_known = True
        assert self._tier is not None, "it was chosen"
        return self._server, self._tier

    def _make_room(self) -> None:
        """End the kernel that was not used for longest, if there are too many."""
        with self._lock:
            idle = [
                each
                for each in self._conversations.values()
                if each.session is not None and not each.lock.locked()
            ]
            running = sum(each.session is not None for each in self._conversations.values())
        if running >= self._max_kernels and idle:
            self._end(min(idle, key=lambda each: each.used_at), "too many were in use")

    def reap(self) -> None:
        """End the kernels that have not been used for long."""
        oldest = self._now() - self._idle_s
        with self._lock:
            idle = [
                each
                for each in self._conversations.values()
                if each.session is not None and each.used_at < oldest and not each.lock.locked()
            ]
        for conversation in idle:
            self._end(conversation, "it was not used for long")

    def _end(self, conversation: _Conversation, why: str) -> None:
        if conversation.lock.acquire(blocking=False):
            try:
                conversation.lost = why
                session, conversation.session = conversation.session, None
                if session is not None:  # nobody waits for its end
                    with self._lock:
                        self._ended.append(session)
                    self._left_to_do.set()
            finally:
                conversation.lock.release()

    @staticmethod
    def _drop(conversation: _Conversation) -> None:
        session, conversation.session = conversation.session, None
        if session is not None:
            session.close()
