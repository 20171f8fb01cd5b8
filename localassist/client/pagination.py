"""Pages that go on: iterating one fetches the next ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pydantic import PrivateAttr
from typing_extensions import override

from localassist.types._base import ListPage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator

T = TypeVar("T")


class CursorPage(ListPage[T]):
    """A page; `for item in page` yields its objects and then those of the following pages."""

    _fetch: Callable[..., ListPage[T]] = PrivateAttr()

    @classmethod
    def of(cls, page: ListPage[T], fetch: Callable[..., ListPage[T]]) -> CursorPage[T]:
        """Make `page` continue with `fetch(after=...)`."""
        made: CursorPage[T] = cls.model_construct(**_fields(page))
        made._fetch = fetch
        made._api_version = page._api_version
        return made

    def has_next_page(self) -> bool:
        """Whether there is more behind this page."""
        return self.has_more and bool(self.data)

    def get_next_page(self) -> CursorPage[T]:
        """The page behind this one."""
        return CursorPage.of(self._fetch(after=self.last_id), self._fetch)

    def iter_pages(self) -> Iterator[CursorPage[T]]:
        """This page and those behind it."""
        page = self
        while True:
            yield page
            if not page.has_next_page():
                return
            page = page.get_next_page()

    @override
    def __iter__(self) -> Iterator[T]:  # type: ignore[override]  # pydantic's yields fields
        for page in self.iter_pages():
            yield from page.data


class AsyncCursorPage(ListPage[T]):
    """A page; `async for item in page` yields its objects and then those of the following ones."""

    _fetch: Callable[..., Awaitable[AsyncCursorPage[T]]] = PrivateAttr()

    @classmethod
    def of(
        cls, page: ListPage[T], fetch: Callable[..., Awaitable[AsyncCursorPage[T]]]
    ) -> AsyncCursorPage[T]:
        """Make `page` continue with `fetch(after=...)`."""
        made: AsyncCursorPage[T] = cls.model_construct(**_fields(page))
        made._fetch = fetch
        made._api_version = page._api_version
        return made

    def has_next_page(self) -> bool:
        """Whether there is more behind this page."""
        return self.has_more and bool(self.data)

    async def get_next_page(self) -> AsyncCursorPage[T]:
        """The page behind this one."""
        return await self._fetch(after=self.last_id)

    async def __aiter__(self) -> AsyncIterator[T]:
        page = self
        while True:
            for item in page.data:
                yield item
            if not page.has_next_page():
                return
            page = await page.get_next_page()


class AsyncPaginator(Generic[T]):
    """A list that was asked for: `await` it for a page, or `async for` over all of it."""

    def __init__(self, fetch: Callable[..., Awaitable[AsyncCursorPage[T]]]) -> None:
        self._fetch = fetch

    def __await__(self) -> Generator[Any, None, AsyncCursorPage[T]]:
        return self._fetch().__await__()

    async def __aiter__(self) -> AsyncIterator[T]:
        async for item in await self._fetch():
            yield item


def _fields(page: ListPage[T]) -> dict[str, Any]:
    return {name: getattr(page, name) for name in type(page).model_fields}
