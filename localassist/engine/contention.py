"""Contention: whether other programs want the cores of our threads, by the CPU time these got.

Threads that spin while they wait for one another are on a core all the time, so what is missing of
it is what somebody else had. On a quiet machine two threads get 0.84 to 1 of their time, 0.98 most
often, beside a busy program on the same two cores 0.4 to 0.65 (135M and 0.5B, 1 to 32 rows). How
far into a conversation a step lies, or how fast the machine is just now, makes no difference.
"""

from __future__ import annotations

# Parts of the threads' time that are missing: with more somebody is there, with less nobody is.
_THERE, _GONE = 0.25, 0.175
# While somebody is there threads spin shortly, and sleep. After so many steps they show again how
# it is when they do not.
_BELIEVED_STEPS = 64
_LEAST_S = 0.001  # in less than this a clock tells little


class Contention:
    """Of so many threads. Other threads of this process are not seen, nor who uses half a core.

    Attributes:
        is_there: whether somebody else wants their cores.
    """

    def __init__(self, num_threads: int) -> None:
        """Nobody was met yet; with one thread nobody ever is, for it waits for no other."""
        self._num_threads = num_threads
        self.is_there = False
        self._left = 0

    def met(self, *, seconds: float, cpu_s: float, num_threads: int | None = None) -> bool:
        """Whether a step met somebody else.

        Args:
            seconds: that it took.
            cpu_s: CPU time of this process meanwhile.
            num_threads: that it was computed with; None: all.
        """
        wanted = self._num_threads if num_threads is None else num_threads
        is_told = min(self._num_threads, wanted) > 1 and seconds >= _LEAST_S
        return is_told and 1 - cpu_s / seconds / wanted > _THERE

    def observe(self, *, seconds: float, cpu_s: float) -> None:
        """A step with all threads took so long."""
        if seconds < _LEAST_S:
            return
        if not self.is_there:
            self.is_there = self.met(seconds=seconds, cpu_s=cpu_s)
            self._left = _BELIEVED_STEPS
            return
        self._left -= 1
        if not self._left or 1 - cpu_s / seconds / self._num_threads < _GONE:
            self.is_there = False
