"""Channel: hand-over of items between OS threads, from one that must not wait to one that may.

`put` never blocks: a full channel merges the new item into the last one, or grows where items
must not be merged. Any number of OS threads may put; one reads.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

T = TypeVar("T")
DEFAULT_CAPACITY = 256


class Channel(Generic[T]):
    """A closable queue. Iterating it ends when it is closed and empty, or raises its error."""

    def __init__(
        self,
        *,
        capacity: int = DEFAULT_CAPACITY,
        merge: Callable[[T, T], T | None] = lambda _earlier, _later: None,
    ) -> None:
        """Make an open channel.

        Args:
            capacity: items above which `merge` is tried.
            merge: returns one item that says what both say, or None where that is impossible.
        """
        self._items: deque[T] = deque()
        self._capacity = capacity
        self._merge = merge
        self._changed = threading.Condition()
        self._closed = False
        self._error: BaseException | None = None
        self._listener: Callable[[], None] | None = None

    def put(self, item: T) -> None:
        """Append `item`; dropped when the channel is closed."""
        with self._changed:
            if self._closed:
                return
            if len(self._items) >= self._capacity:
                merged = self._merge(self._items[-1], item)
                if merged is not None:
                    self._items[-1] = merged
                    return
            self._items.append(item)
            self._notify()

    def close(self, error: BaseException | None = None) -> None:
        """No more items come; what is there can still be read, then `error` is raised."""
        with self._changed:
            if not self._closed:
                self._closed, self._error = True, error
                self._notify()

    def get(self, *, timeout_s: float | None = None) -> T | None:
        """The next item; None when the time is over or the channel is closed and empty.

        Raises:
            BaseException: the error that the channel was closed with.
        """
        give_up_at = None if timeout_s is None else time.monotonic() + timeout_s
        with self._changed:
            while not self._items and not self._closed:
                left = None if give_up_at is None else give_up_at - time.monotonic()
                if left is not None and left <= 0:
                    return None
                self._changed.wait(left)
            return self._take()

    @property
    def exhausted(self) -> bool:
        """Closed and empty, with no error left to be raised by `get`."""
        return self._closed and not self._items and self._error is None

    def __iter__(self) -> Iterator[T]:
        while (item := self.get()) is not None:
            yield item

    def discard(self, timeout_s: float) -> None:
        """Wait until something comes, at most `timeout_s`, and throw away all that is there."""
        with self._changed:
            if not self._items and not self._closed:
                self._changed.wait(timeout_s)
            self._items.clear()

    async def to_async(self) -> AsyncIterator[T]:
        """The same items for a coroutine, without a waiting OS thread."""
        while not self.exhausted:
            with self._changed:
                item = self._take()
            if item is not None:
                yield item
            elif not self._closed:
                await self.ready_async()

    async def ready_async(self, timeout_s: float | None = None) -> None:
        """Wait, in a coroutine, until there is an item, the channel is closed or the time over."""
        loop = asyncio.get_running_loop()
        ready = asyncio.Event()
        with self._changed:
            if self._items or self._closed:
                return
            self._listener = lambda: _wake(loop, ready)
        try:
            await asyncio.wait_for(ready.wait(), timeout_s)
        except asyncio.TimeoutError:
            return
        finally:
            with self._changed:
                self._listener = None

    def _take(self) -> T | None:
        if self._items:
            return self._items.popleft()
        if self._error is not None:
            raise self._error
        return None

    def _notify(self) -> None:
        self._changed.notify()
        if self._listener is not None:
            self._listener()


def _wake(loop: asyncio.AbstractEventLoop, ready: asyncio.Event) -> None:
    # A loop that was closed meanwhile has nobody left to wake.
    if not loop.is_closed():
        loop.call_soon_threadsafe(ready.set)
