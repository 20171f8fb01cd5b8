"""Governor: how many CPU threads the engine uses, by what they yield just now.

llama.cpp's threads wait for one another several hundred times a token. As soon as another program
takes one of their cores, all of them wait for the one that lost it, and fewer threads are faster.
"""

from __future__ import annotations

from collections import deque
from statistics import fmean

_WINDOW = 6  # steps whose mean is believed
_TRIAL = 4  # steps that another number of threads is tried for
_SLOWER = 1.25  # a mean this much above the last one believed means that something has changed
_SUSPICIOUS = 1.35  # a mean this much above the quiet machine's: somebody may have been here first
_QUIET = 1.2  # two lanes that take less than this times their time have the machine for themselves
_HOPELESS = 1.25  # a trial ends at the first step that is so much slower
_BETTER = 0.95  # another number must be this much faster to be kept
_FIRST_PAUSE, _LONGEST_PAUSE = 24, 384  # steps between trials; doubled when a trial fails
_IDLE = 0.8  # with so much of a core idle, another thread would find one


class Governor:
    """Chooses a number of threads from the times of steps. Owned by the engine's loop.

    Only steps that decode are judged: reading a prompt waits less for barriers, and gains from
    every thread even on a busy machine.
    """

    def __init__(self, most: int) -> None:
        """Begin with `most` threads, which is never exceeded."""
        self._most = max(1, most)
        self.num_threads = self._most
        self._recent: deque[float] = deque(maxlen=_WINDOW)
        self._fewer: deque[float] = deque(maxlen=_WINDOW)  # the same steps with a thread fewer
        self._recent_apart: deque[float] = deque(maxlen=_WINDOW)
        self._believed: float | None = None
        self._trial: list[float] | None = None
        self._before_trial = self._most
        self._pause = _FIRST_PAUSE
        self._left = _FIRST_PAUSE
        self._down_step = self._up_step = 1
        self._num_idle = 0  # cores that the next trial, or this one, takes because they were idle
        self._idle_pause = _FIRST_PAUSE  # between such trials

    @property
    def has_all(self) -> bool:
        """Whether all threads pay, as far as is known: they are used, and not only tried."""
        settled = self.num_threads if self._trial is None else self._before_trial
        return settled >= self._most

    def observe(
        self, *, num_rows: int, seconds: float, expected_s: float, fewer_s: float = 0.0
    ) -> None:
        """A step that only decoded took `seconds`.

        Args:
            num_rows: of the step.
            seconds: that it took.
            expected_s: that it takes on a quiet machine with all threads; the ratio of the two
                makes steps of different numbers of rows comparable.
            fewer_s: that it takes there with one thread fewer; 0: fewer threads are tried as soon
                as steps are slower than before.
        """
        if self._most == 1 or num_rows < 1 or expected_s <= 0:
            return
        ratio = seconds / expected_s
        if self._trial is not None:
            self._trial.append(ratio)
            hopeless = len(self._trial) > 1 and ratio > _HOPELESS * fmean(self._recent)
            if hopeless or len(self._trial) > _TRIAL:  # the first one pays for the change of team
                self._judge()
            return
        self._recent.append(ratio)
        self._fewer.append(fewer_s / expected_s)
        self._left -= 1
        if len(self._recent) < _WINDOW:
            return
        mean = fmean(self._recent)
        if self._believed is None:
            self._believed = mean
        # Undisturbed, a thread fewer takes so much longer; before all of them do, none is gained by
        # it. More than a thread's share it cannot be, or it was measured beside another program.
        fewer = min(max(self._fewer), self._most / (self._most - 1))
        slower = mean > max(_SLOWER, fewer) * self._believed
        suspicious = self._left <= 0 and mean > max(_SUSPICIOUS, fewer)
        if self.num_threads > 1 and (slower or (suspicious and self.num_threads == self._most)):
            self._begin_trial(max(1, self.num_threads - self._down_step))
        elif (self._left <= 0 or self._num_idle) and self.num_threads < self._most:
            more = self._num_idle or self._up_step
            self._begin_trial(min(self._most, self.num_threads + more))
        elif self._left <= 0:
            self._believed, self._left = mean, self._pause

    def observe_apart(self, *, seconds: float, expected_s: float) -> None:
        """A step of two rows, each on cores of its own, took `seconds`.

        Its lanes do not wait for one another, so there is nothing to be gained by fewer threads;
        but where both have all of their cores, nobody else needs one.
        """
        self._recent_apart.append(seconds / expected_s if expected_s > 0 else _SLOWER)
        quiet = len(self._recent_apart) == _WINDOW and fmean(self._recent_apart) < _QUIET
        if quiet and self.num_threads < self._most:
            self.num_threads = self._most
            self._believed = self._trial = None
            self._num_idle = 0
            self._pause = self._left = _FIRST_PAUSE
            self._recent.clear()

    def observe_idle(self, num_cores: float) -> None:
        """So many cores were idle during the last steps: whoever wanted them may have gone.

        Trials come soon then, but become rare where they fail all the same.
        """
        wanted = self._trial is None and self.num_threads < self._most
        if wanted and num_cores >= _IDLE and self._pause - self._left >= self._idle_pause:
            self._num_idle = int(num_cores + 1 - _IDLE)

    def rebased(self) -> None:
        """What steps are expected to take has changed: ratios of before say nothing any more."""
        if self._trial is not None:
            self.num_threads = self._before_trial
        self._trial = self._believed = None
        self._num_idle = 0
        self._recent.clear()
        self._recent_apart.clear()

    def _begin_trial(self, num_threads: int) -> None:
        self._before_trial, self.num_threads = self.num_threads, num_threads
        self._trial = []

    def _judge(self) -> None:
        assert self._trial is not None, "a trial is judged at its end"
        tried, before = fmean(self._trial[1:]), fmean(self._recent)
        down = self.num_threads < self._before_trial
        # Where all are there again nobody disturbs them, however little the last ones may add.
        pays = tried < _BETTER * before or (self.num_threads == self._most and tried <= before)
        if not down and not pays:
            # Of many threads one adds little; but where all are too many, fewer may still do.
            self._up_step = 1 if self.num_threads == self._most else 2 * self._up_step
        elif down:
            self._up_step = 1
        if self._num_idle and not down:
            self._idle_pause = _FIRST_PAUSE if pays else min(2 * self._idle_pause, _LONGEST_PAUSE)
        self._num_idle = 0
        if pays:
            self._believed, self._pause, self._down_step = tried, _FIRST_PAUSE, 1
        elif down and self.num_threads > 1:
            # Several cores may be taken: one thread fewer then still meets them.
            self._down_step *= 2
            self.num_threads, self._pause = self._before_trial, _FIRST_PAUSE
        else:
            self.num_threads, self._down_step = self._before_trial, 1
            self._believed = before
            self._pause = min(2 * self._pause, _LONGEST_PAUSE)
        self._trial, self._left = None, self._pause
        self._recent.clear()
